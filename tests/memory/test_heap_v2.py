import pytest

from endoscope_memory import heap_v2

WHOLE = b"""heap_v2/524288
  t*: 3: 4096 [0: 0]
  t0: 3: 4096 [0: 0]
@ 0x1 0x2
  t*: 3: 4096 [0: 0]
  t0: 3: 4096 [0: 0]

MAPPED_LIBRARIES:
00400000-00500000 r-xp 00000000 fe:00 1   /usr/bin/python3
"""


@pytest.fixture
def inspect(tmp_path):
    def inspect(content):
        path = tmp_path / "x.prof"
        path.write_bytes(content)
        with path.open("rb") as file:
            return heap_v2.inspect(file.fileno())

    return inspect


def test_a_whole_dump_is_complete_and_tells_its_samples(inspect):
    assert inspect(WHOLE) == heap_v2.HeapFile(complete=True, samples=3)


@pytest.mark.parametrize(
    "cut",
    [0, 5, 20, WHOLE.index(b"MAPPED") + 4, len(WHOLE) - 1],
    ids=["empty", "first line", "totals", "before the map", "in the map"],
)
def test_a_cut_dump_is_incomplete(inspect, cut):
    assert not inspect(WHOLE[:cut]).complete


def test_another_format_is_incomplete(inspect):
    assert not inspect(WHOLE.replace(b"heap_v2", b"heap_v1")).complete
