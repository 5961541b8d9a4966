from __future__ import annotations

import os
import threading
import time

import pytest

from endoscope_export.bundle import EXPORT, PlannedMember, Stage
from endoscope_export.content import ContentError
from endoscope_export.contributor import Contributor
from endoscope_export.limits import Allowance, Limits
from endoscope_export.masking import Masking
from endoscope_export.pieces import Pause
from endoscope_export.preparation import OlderError, Preparation
from endoscope_export.processes import Processes
from endoscope_export.redaction import Rules

NOW = 1_700_000_000
PLENTY = Limits(30, 600)


@pytest.fixture
def prepare(core, host, tmp_path):
    def run(source, *, plugin="memory", verbatim=False, since=None, limits=PLENTY, spent=0):
        masking = Masking(Rules.of([], {}), tmp_path)
        allowance = Allowance(limits, {Contributor(plugin): spent}, time.monotonic())
        preparation = Preparation(masking, allowance, Processes(core, host), since)
        member = PlannedMember("memory/x", source, "memory", plugin, Stage.FILE, verbatim)
        steps = preparation.prepare(member)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"password=hunter2\n")
    os.utime(path, (NOW, NOW))
    return path


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


def test_text_is_masked_and_its_size_is_that_of_what_is_left(prepare, file):
    prepared = prepare(file)
    assert (prepared.kind, prepared.redactions) == ("text", {"key": 1})
    assert prepared.content.size == len(b"password=********\n")
    assert prepared.content.modified == NOW


def test_what_is_verbatim_is_not_looked_at(prepare, file):
    prepared = prepare(file, verbatim=True)
    assert (prepared.kind, prepared.content.size) == ("binary", file.stat().st_size)
    prepared.content.close()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"since": NOW + 1}, OlderError),
        ({"limits": Limits(30, 600, 5), "verbatim": True}, ContentError),
        ({"limits": Limits(30, 1e-9)}, ContentError),
    ],
)
def test_what_is_refused_is_closed(prepare, file, how, error):
    before = descriptors()
    with pytest.raises(error):
        prepare(file, **how)
    assert descriptors() == before


def test_a_file_of_just_that_time_is_taken(prepare, file):
    assert prepare(file, since=NOW).kind == "text"


def test_what_export_sends_itself_is_needed_however_old_it_is(prepare, file):
    assert prepare(file, plugin=EXPORT, since=NOW + 1).kind == "text"


def test_what_is_made_for_the_archive_is_never_too_old(prepare):
    assert prepare(lambda: b"now", since=NOW).kind == "text"


def test_a_plugin_without_time_is_not_called_and_gives_what_is_there(prepare, file):
    called = []
    with pytest.raises(ContentError) as caught:
        prepare(lambda: called.append(1), spent=30)
    assert (caught.value.code, called) == ("timed_out", [])
    assert prepare(b"at hand", spent=30).content.size == 7
    assert prepare(file, spent=30).kind == "text"


def test_masking_is_charged_to_the_plugin_and_stopped_when_its_time_is_over(prepare):
    with pytest.raises(ContentError) as caught:
        prepare(b"x\n" * 1_000_000, limits=Limits(1e-6, 600))
    assert caught.value.code == "timed_out"


def test_what_cannot_be_read_is_told(prepare, file):
    def only_to_be_written():
        return os.fdopen(os.open(file, os.O_WRONLY), "wb")

    before = descriptors()
    with pytest.raises(ContentError, match="cannot be read"):
        prepare(only_to_be_written)
    assert descriptors() == before


def test_a_client_who_leaves_while_a_callable_hangs_is_noticed_and_what_comes_late_is_closed(
    core, host, file, tmp_path
):
    gate, closed = threading.Event(), threading.Event()
    before = descriptors()

    class Late:
        def __init__(self):
            self._file = file.open("rb")

        def fileno(self):
            return self._file.fileno()

        def close(self):
            self._file.close()
            closed.set()

    def hang():
        gate.wait(20)
        return Late()

    masking = Masking(Rules.of([], {}), tmp_path)
    allowance = Allowance(PLENTY, {}, time.monotonic())
    steps = Preparation(masking, allowance, Processes(core, host), None).prepare(
        PlannedMember("memory/x", hang, "memory", "memory", Stage.CALLED)
    )
    assert isinstance(next(steps), Pause)
    steps.close()
    gate.set()
    assert closed.wait(10)
    until = time.monotonic() + 10
    while descriptors() != before and time.monotonic() < until:
        time.sleep(0.01)
    assert descriptors() == before
