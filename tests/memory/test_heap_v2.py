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
def take_apart(tmp_path):
    def take_apart(content):
        path = tmp_path / "x.prof"
        path.write_bytes(content)
        with path.open("rb") as file:
            return heap_v2.take_apart(file.fileno())

    return take_apart


def test_a_whole_dump_is_taken_apart(take_apart):
    parts = take_apart(WHOLE)
    assert WHOLE[parts.records : parts.mapped].startswith(b"  t0: 3: 4096 [0: 0]\n@ 0x1")
    assert WHOLE[parts.records : parts.mapped].endswith(b"  t0: 3: 4096 [0: 0]\n")
    assert WHOLE[parts.mapped :].startswith(b"\nMAPPED_LIBRARIES:\n")
    assert (parts.size, parts.objects, parts.bytes) == (len(WHOLE), 3, 4096)


def test_a_dump_without_samples_is_whole(take_apart):
    parts = take_apart(b"heap_v2/4096\n  t*: 0: 0 [0: 0]\n\nMAPPED_LIBRARIES:\n0-1 r\n")
    assert (parts.records, parts.objects) == (parts.mapped, 0)


@pytest.mark.parametrize(
    "cut",
    [0, 5, 20, WHOLE.index(b"MAPPED") + 4, len(WHOLE) - 1],
    ids=["empty", "first line", "totals", "before the map", "in the map"],
)
def test_a_cut_dump_is_none(take_apart, cut):
    assert take_apart(WHOLE[:cut]) is None


def test_another_format_is_none(take_apart):
    assert take_apart(WHOLE.replace(b"heap_v2", b"heap_v1")) is None
