from __future__ import annotations

import hashlib
import re

from hypothesis import example, given
from hypothesis import strategies as st

from dumps import DEFLATE, DUMP, GET, MAIN
from endoscope_profiles import Frame, Sample, merge
from endoscope_profiles.jemalloc_heap import CHUNK_BYTES, NO_STACK, parse, write

text = st.text(
    st.one_of(st.sampled_from("-%( ):\n\r\0\x7f"), st.characters(exclude_categories=())),
    max_size=12,
)
any_frames = st.builds(Frame, text, text, st.integers(0, 2**31 - 1))
any_records = st.tuples(
    st.lists(any_frames, max_size=5), st.integers(0, 2**40), st.integers(0, 2**50)
)


def readable(string):
    return string.encode("utf-8", "replace").decode()


def readable_frame(frame):
    return Frame(readable(frame.function), readable(frame.file), frame.line)


build_ids = st.dictionaries(text.filter(bool), st.binary(min_size=1, max_size=20).map(bytes.hex))


@given(st.lists(any_records), st.dictionaries(text, text), text, build_ids)
@example([([Frame("f", "a:12"), Frame("f", ":1"), Frame("", "", 3)], 1, 1)], {}, "", {})
@example(
    [([Frame("a--b (c", "d--e (f)", 0), Frame("---", "---", 1)], 1, 1)], {"--": "--"}, "--", {}
)
@example([], {}, "", {" %:(--": "00ff"})
@example([], {"build_id": ""}, "", {"/lib/libz.so.1": "00ff"})
def test_what_is_written_is_read(records, facts, binary, build_ids):
    chunks = list(write(iter(records), facts=facts, binary=binary, build_ids=build_ids))
    assert all(chunks)
    profile = parse(b"".join(chunks))
    assert profile.samples == merge(
        Sample(tuple(map(readable_frame, stack)) or (NO_STACK,), objects, size)
        for stack, objects, size in records
        if objects or size
    )
    assert profile.facts == {readable(key): readable(value) for key, value in facts.items()}
    assert profile.build_ids == {readable(path): known for path, known in build_ids.items()}
    assert (profile.binary, profile.interval_bytes) == (readable(binary), 0)


def test_sampled_records_are_unsampled_when_they_are_read():
    records = [((GET, MAIN), 2, 1000), ((DEFLATE, MAIN), 1, 48)]
    assert parse(b"".join(write(records, interval_bytes=524288))).samples == parse(DUMP).samples


def test_a_line_that_is_not_known_is_not_written():
    profile = parse(b"".join(write([((Frame("f", "a.py", -1), Frame("g", "", 0)), 1, 1)])))
    assert profile.samples[0].stack == (Frame("f", "a.py"), Frame("g"))


def test_a_dump_is_laid_out_as_jemalloc_s():
    written = b"".join(
        write(
            [((GET,), 2, 1000), ((GET,), 1, 48)],
            facts={"pid": "1"},
            binary="/py",
            build_ids={"/lib/libz.so.1": "00ff"},
        )
    )
    address = int(re.search(rb"@ (0x[0-9a-f]+)", written)[1], 16)
    assert (address >> 56, address % 16) == (0x6A, 0)
    assert written.decode().splitlines() == [
        "--- symbol",
        "binary=/py",
        "# pid: 1",
        "# build_id: 00ff /lib/libz.so.1",
        f"{address - 1:#x} Handler.get (/srv/app/service.py:41)",
        f"{address:#x} Handler.get (/srv/app/service.py:41)",
        "---",
        "--- heap",
        "heap_v2/0",
        "  t*: 3: 1048 [0: 0]",
        f"@ {address:#x}",
        "  t*: 2: 1000 [0: 0]",
        f"@ {address:#x}",
        "  t*: 1: 48 [0: 0]",
        "",
        "MAPPED_LIBRARIES:",
    ]


def test_a_frame_has_one_address_in_all_dumps():
    one = b"".join(write([((GET, MAIN), 1, 100)]))
    other = b"".join(write([((MAIN,), 1, 7), ((DEFLATE, GET, MAIN), 1, 100)]))
    addresses = [dict(re.findall(rb"(?m)^(0x\w+) (\w+)", dump)) for dump in (one, other)]
    assert addresses[0].items() < addresses[1].items()


def test_frames_with_one_hash_have_different_addresses(monkeypatch):
    class Same:
        def digest(self):
            return b"\xff" * 6

    monkeypatch.setattr(hashlib, "blake2b", lambda *_, **__: Same())
    frames = [Frame(name, "x.py", 1) for name in "abc"]
    dump = b"".join(write([((frame,), 1, 100) for frame in frames]))
    assert {sample.stack[0] for sample in parse(dump).samples} == set(frames)


def test_chunks_are_neither_lines_nor_everything():
    frames = [Frame(f"function_{i}", "/srv/app.py", i) for i in range(10_000)]
    chunks = list(write((frames[i : i + 20], 1, 100) for i in range(9_000)))
    assert max(map(len, chunks)) < 2 * CHUNK_BYTES
    assert len(chunks) < sum(map(len, chunks)) / CHUNK_BYTES + 6
