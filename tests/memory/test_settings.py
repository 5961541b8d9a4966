import pytest
from pydantic import ValidationError

from endoscope_memory.settings import MemorySettings


def test_every_field_has_a_default_and_a_docstring():
    MemorySettings()
    assert all(field.description for field in MemorySettings.model_fields.values())


@pytest.mark.parametrize(
    ("interval", "logarithm"), [(1, 0), (524288, 19), (500_000, 19), (700_000, 19), (800_000, 20)]
)
def test_the_interval_is_rounded_to_the_nearest_power_of_two(interval, logarithm):
    assert MemorySettings(sample_interval_bytes=interval).lg_sample_interval == logarithm


@pytest.mark.parametrize("path", ["/opt/my libs/libjemalloc.so", "/a:b/libjemalloc.so"])
def test_a_path_that_ld_so_would_split_is_refused(path):
    with pytest.raises(ValidationError, match="cannot be preloaded"):
        MemorySettings(jemalloc_path=path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"profiler": "massif"},
        {"stacks": "c"},
        {"overhead_budget_percent": -1},
        {"keep_dumps": 0},
        {"keep_bytes": 0},
        {"keep": 1},
    ],
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(ValidationError):
        MemorySettings(**wrong)
