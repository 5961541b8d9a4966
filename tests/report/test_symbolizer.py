"""The symbol worker from outside: what it answers, and how it dies."""

import io
import json
import os
import resource
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("symbolic")

from endoscope_report import symbol_worker
from endoscope_report.symbol_worker import MessageError, read_message, write_message
from endoscope_report.symbolizer import Limits, SymbolizingError, symbolize

SOURCE = """
#include <stdlib.h>
static inline __attribute__((always_inline)) void *take(size_t size) {
    return malloc(size);
}
void *keep(size_t size) {
    void *block = take(size);
    return block ? block : keep(size);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keeper")
    source, library = folder / "keeper.c", folder / "libkeeper.so"
    source.write_text(SOURCE)
    command = ["cc", "-g", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    return library


@pytest.fixture(scope="module")
def keep(library):
    """Return the address of a function, from the first segment on."""
    listed = subprocess.run(["nm", str(library)], capture_output=True, text=True, check=True)
    return next(int(row.split()[0], 16) for row in listed.stdout.splitlines() if "keep" in row)


def test_places_come_innermost_first(library, keep):
    answer = symbolize(library, b"", [keep, 2**40], Limits())
    (outermost, *_), nowhere = answer.places
    assert outermost == ("keep", str(library.with_name("keeper.c")), 6)
    assert nowhere == ()
    every = symbolize(library, b"", range(keep, keep + 64), Limits()).places
    assert ["take", "keep"] in [[place.function for place in places] for places in every]


def test_a_symcache_takes_the_file_s_place(library, keep):
    first = symbolize(library, b"", [keep], Limits())
    second = symbolize(library.with_name("gone"), first.symcache, [keep], Limits())
    assert second.places == first.places
    assert second.symcache == b""


def test_a_broken_symcache_is_an_error(library, keep):
    with pytest.raises(SymbolizingError, match="cannot be read"):
        symbolize(library, b"nonsense", [keep], Limits())


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(SymbolizingError, match="No such file"):
        symbolize(tmp_path / "gone", b"", [1], Limits())


def test_with_too_little_memory_only_the_names_are_missing(library, keep):
    with pytest.raises(SymbolizingError, match=r"cannot be read|crash"):
        symbolize(library, b"", [keep], Limits(memory_bytes=1_000_000))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_a_damaged_library_costs_only_its_names(library, keep, tmp_path_factory, data):
    content = bytearray(library.read_bytes())
    for _ in range(data.draw(st.integers(1, 200))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / f"damaged{os.getpid()}"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    # In this process: were native code to crash on it, the test would end with it.
    head, _ = symbol_worker.answer({"file": str(file), "addresses": [keep]}, b"")
    assert set(head) in ({"frames"}, {"error"})
    json.dumps(head)


# --- a worker that misbehaves -----------------------------------------------------------------


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Put a shell script in the worker's place."""

    def replace(script):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))

    return replace


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -SEGV $$", "crash .SIGSEGV; it may use 8.6 GB."),
        ("kill -XCPU $$", "takes over 60 seconds of CPU time to read"),
        ("kill -60 $$", "crash .signal 60|crash .SIGRT"),
        ("exit 3", "ended with 3"),
        ("cat >/dev/null; echo nonsense that is longer than a header", "ended with 0"),
        ("cat >/dev/null", "ended with 0"),
    ],
)
def test_one_that_ends_without_an_answer(worker, library, script, said):
    worker(script)
    with pytest.raises(SymbolizingError, match=said):
        symbolize(library, bytes(1_000_000), [1], Limits())


def test_one_that_hangs_is_killed(worker, library, tmp_path):
    worker(f"echo $$ >{tmp_path}/pid; while :; do sleep 0.01; done")
    with pytest.raises(SymbolizingError, match=r"takes over 0\.5 seconds to read"):
        symbolize(library, bytes(1_000_000), [1], Limits(seconds=0.5))
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    "head",
    [
        [],
        {},
        {"frames": 1},
        {"frames": []},
        {"frames": [[["f"]]]},
        {"frames": [[["f", "", "x"]]]},
        {"frames": [[["f", "", float("inf")]]]},
    ],
)
def test_one_that_answers_nonsense(worker, library, tmp_path, head):
    with (tmp_path / "answer").open("wb") as file:
        write_message(file, head, b"")
    worker(f"cat {tmp_path}/answer")
    with pytest.raises(SymbolizingError, match="answered with nonsense"):
        symbolize(library, b"", [1], Limits())


# --- its inside -------------------------------------------------------------------------------

CONFINED = """
import os, resource, signal
from endoscope_report import symbol_worker
before = os.nice(0)
symbol_worker._confine(2**30, 1)
assert os.nice(0) == min(before + 10, 19)
assert resource.getrlimit(resource.RLIMIT_AS)[0] == 2**30
assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
while True:
    pass
"""


def test_it_confines_itself():
    done = subprocess.run([sys.executable, "-c", CONFINED], capture_output=True, check=False)
    assert done.returncode == -signal.SIGXCPU, done.stderr


def test_limits_that_are_lower_already_stay(monkeypatch):
    script = (
        "import resource; from endoscope_report import symbol_worker\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (50, 50))\n"
        "symbol_worker._confine(2**30, 60)\n"
        "assert resource.getrlimit(resource.RLIMIT_CPU) == (50, 50)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert resource.getrlimit(resource.RLIMIT_CPU) != (50, 50)


@settings(deadline=None)
@given(st.recursive(st.none() | st.integers() | st.text(), st.lists), st.binary())
def test_a_message_is_read_as_it_was_written(head, body):
    stream = io.BytesIO()
    write_message(stream, head, body)
    stream.seek(0)
    assert read_message(stream) == (head, body)
    assert stream.read() == b""


@settings(deadline=None)
@given(st.binary(max_size=60), st.integers(0, 40))
def test_what_is_no_message_is_an_error(content, kept):
    stream = io.BytesIO()
    write_message(stream, {}, b"body")
    for broken in (content, stream.getvalue()[: min(kept, 29)], stream.getvalue()[:24] + content):
        if broken == stream.getvalue():
            continue
        try:
            head, body = read_message(io.BytesIO(broken))
        except MessageError:
            continue
        assert broken.startswith(b"endosym1")
        assert len(json.dumps(head)) + len(body) <= len(broken)


def test_a_header_that_claims_too_much_is_not_waited_for():
    header = symbol_worker._HEADER.pack(b"endosym1", 2**40, 0)
    with pytest.raises(MessageError, match="no message"):
        read_message(io.BytesIO(header))
