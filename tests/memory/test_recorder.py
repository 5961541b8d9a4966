import logging
import os
import platform
import threading

import pytest

from endoscope import BusyError, NotSupportedError, RequestError
from endoscope_memory.availability import Availability, Cost, Coverage
from endoscope_memory.dumps import DumpFolder
from endoscope_memory.profiler import Choice
from endoscope_memory.recorder import Recorder
from endoscope_memory.settings import MemorySettings
from endoscope_memory.wish import Wish

WHOLE = b"heap_v2/4096\n  t*: 1: 4096 [0: 0]\n\nMAPPED_LIBRARIES:\n00-01 r-xp\n"


class ScriptedProfiler:
    """A profiler that works everywhere and writes what it is told to."""

    name = "scripted"
    availability = Availability()
    coverage = Coverage(python_frames=True, small_objects=True, sees="what it is told")
    cost = Cost("nothing")
    sample_interval_bytes = 4096

    def __init__(self):
        self.active = False
        self.samples = 1
        self.write = lambda path: path.write_bytes(WHOLE)

    def start(self, wish):
        self.active = True

    def stop(self):
        self.active = False

    def dump(self, draft, scratch, facts):
        self.facts = facts
        self.write(draft.path)
        return self.samples

    def allocator(self):
        return None

    def live_bytes(self):
        return 12345


@pytest.fixture
def scripted():
    return ScriptedProfiler()


@pytest.fixture
def recorder_with(folder, scripted):
    def make(**settings):
        logger = logging.getLogger("endoscope.memory")
        recorder = Recorder(MemorySettings(**settings), DumpFolder(folder), "shop", logger)
        recorder._choice = Choice(scripted)
        return recorder

    return make


def test_a_dump_carries_the_services_name_and_the_time(recorder_with, folder):
    recorded = recorder_with().dump()
    assert recorded.dump.name == f"shop_heap_dump_{int(recorded.dump.modified)}.prof"
    assert (folder / recorded.dump.name).read_bytes() == WHOLE
    assert recorded.notes == ()
    assert 0 < recorded.seconds < 60


def test_only_one_dump_is_taken_at_a_time(recorder_with, scripted, folder):
    recorder, begun, go_on = recorder_with(), threading.Event(), threading.Event()

    def write_slowly(path):
        begun.set()
        go_on.wait(10)
        path.write_bytes(WHOLE)

    scripted.write = write_slowly
    first = threading.Thread(target=recorder.dump)
    first.start()
    assert begun.wait(10)
    with pytest.raises(BusyError):
        recorder.dump()
    assert recorder.status().status == "inactive"  # nothing else is held up
    go_on.set()
    first.join()
    recorder.dump()
    assert len(list(folder.iterdir())) == 2


def fail(_path):
    raise OSError(14, "Bad address")


def test_a_failed_dump_is_an_error_and_leaves_nothing(recorder_with, scripted, folder):
    scripted.write = fail
    recorder = recorder_with()
    for _ in range(2):  # the second shows that the first is not taken for running still
        with pytest.raises(RequestError) as caught:
            recorder.dump()
        assert (caught.value.status, caught.value.code) == (500, "dump_failed")
    assert list(folder.iterdir()) == []


def test_a_dump_is_told_what_a_reader_must_know(recorder_with, scripted):
    recorder = recorder_with()
    recorder.start()
    recorder.dump()
    facts = scripted.facts
    assert (facts["service"], facts["pid"]) == ("shop", str(os.getpid()))
    assert (facts["profiler"], facts["sees"]) == ("scripted", "what it is told")
    assert facts["python"] == platform.python_version()
    assert facts["sample_interval_bytes"] == "4096"
    assert facts["profiling_since"][:19] <= facts["taken"]
    assert int(facts["resident_bytes"]) > 1_000_000


def test_the_samples_date_from_the_first_start_until_they_are_discarded(recorder_with, scripted):
    recorder = recorder_with()
    recorder.start()
    first = recorder._run.since
    recorder.stop()
    recorder.start()
    assert recorder._run.since == first
    recorder.start(Wish(discard=True))
    assert recorder._run.since > first


def test_the_top_leaves_no_dump(recorder_with, folder):
    top = recorder_with().top(5)
    assert (top["live_objects"], top["notes"]) == (0, [])
    assert list(folder.iterdir()) == []


def test_retention_follows_each_dump(recorder_with, folder):
    recorder = recorder_with(keep_dumps=2)
    made = [recorder.dump().dump.name for _ in range(4)]
    assert {path.name for path in folder.iterdir()} == set(made[-2:])


def test_since_when_is_told_only_while_active_and_repeating_changes_nothing(recorder_with):
    recorder = recorder_with()
    assert recorder.status().active_since is None
    recorder.start()
    since = recorder._run.started
    recorder.start()
    assert recorder._run.started == since
    assert recorder.status().active_since.endswith("Z")
    recorder.stop()
    recorder.stop()
    assert recorder.status().active_since is None


def test_what_somebody_else_started_is_neither_dated_nor_stopped_in_the_end(
    recorder_with, scripted
):
    scripted.start(Wish())
    recorder = recorder_with()
    recorder.start()
    assert recorder.status().active_since is None
    recorder.end()
    assert scripted.active


@pytest.mark.parametrize("wanted", [True, False])
def test_profiling_begins_and_ends_with_diagnostics_if_wanted(recorder_with, scripted, wanted):
    recorder = recorder_with(start_profiling=wanted)
    recorder.begin()
    assert scripted.active is wanted
    recorder.end()
    assert not scripted.active


def test_an_unavailable_profiler_is_one_line_in_the_log_at_the_start(folder, caplog):
    settings = MemorySettings(start_profiling=True, profiler="jemalloc")
    Recorder(settings, DumpFolder(folder), "shop", logging.getLogger("endoscope.memory")).begin()
    (record,) = caplog.records
    assert "jemalloc is not loaded" in record.getMessage()


def test_what_a_dump_lacks_is_noted(recorder_with, scripted):
    scripted.samples = 0
    recorder = recorder_with()
    (note,) = recorder.dump().notes
    assert "no samples, because profiling is not active" in note
    recorder.start()
    assert recorder.dump().notes == ("it holds no samples, none were due yet",)


def test_without_a_profiler_status_answers_and_the_rest_says_what_to_do(folder):
    logger = logging.getLogger("endoscope.memory")
    settings = MemorySettings(profiler="jemalloc")
    recorder = Recorder(settings, DumpFolder(folder), "shop", logger)
    status = recorder.status()
    assert (status.status, status.profiler, status.heap_dumps_available) == (
        "not_available",
        None,
        False,
    )
    (problem,) = status.problems
    for do in (recorder.start, recorder.stop, recorder.dump):
        with pytest.raises(NotSupportedError) as caught:
            do()
        assert (caught.value.message, caught.value.remedy) == (problem.message, problem.remedy)


FILL = """
import json, sys
from hosted import ask, make_plugin
import endoscope
plugin = make_plugin(sys.argv[1])
ask(plugin, "POST", "/start")
kept = [bytearray(3000) for _ in range(500)]
{before}
try:
    print(json.dumps(ask(plugin, "POST", "/dump").value))
except endoscope.RequestError as error:
    print(json.dumps(error.body()))
"""


# With a little room left jemalloc's write is short and it reports success; with none it fails.
@pytest.mark.parametrize("room", [4096, 8192, 0])
def test_a_full_disk_is_said_and_leaves_nothing(under_jemalloc, folder, mounted, room):
    mounted(folder, "-t", "tmpfs", "-o", "size=12k", "none")
    (folder / "filler").write_bytes(bytes(12288 - room))
    body = under_jemalloc(FILL.format(before=""), folder).answer
    assert (body["status"], body["code"]) == (507, "no_space")
    assert "bytes are free" in body["error"]
    assert [path.name for path in folder.iterdir()] == ["filler"]


def test_a_limit_on_the_size_of_files_is_no_space_either(under_jemalloc, folder):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    body = under_jemalloc(FILL.format(before=limit), folder).answer
    assert (body["status"], body["code"]) == (507, "no_space")
    assert list(folder.iterdir()) == []


def test_the_facts_of_a_process_are_whether_it_is_profiled_and_what_it_holds(recorder_with, folder):
    def facts(recorder):
        return {fact.name: fact.value for fact in recorder.process_facts()}

    recorder = recorder_with()
    assert facts(recorder) == {"live_bytes": 12345, "profiling": "inactive"}
    recorder.start()
    assert facts(recorder)["profiling"] == "active"
    settings = MemorySettings(profiler="jemalloc")
    without = Recorder(settings, DumpFolder(folder), "shop", logging.getLogger("endoscope.memory"))
    assert facts(without) == {"live_bytes": None, "profiling": "not_available"}


LIVE = """
import json, sys
from hosted import ask, make_plugin
plugin = make_plugin(sys.argv[1], overhead_budget_percent=0)
def live():
    return {fact.name: fact.value for fact in plugin.endoscope_process_facts()}["live_bytes"]
ask(plugin, "POST", "/start")
before = live()
large = [bytearray(50_000) for _ in range(400)]  # 20 MB from malloc, 57,344 bytes each
after_large = live()
small = [bytes(100) for _ in range(200_000)]  # 27 MB that never reach it
print(json.dumps([after_large - before, live() - after_large]))"""


def test_what_jemalloc_and_the_sampler_know_of_adds_up_to_what_is_live(under_jemalloc, folder):
    large, small = under_jemalloc(LIVE, folder).answer
    assert large == pytest.approx(400 * 57_344, rel=0.1)
    assert small == pytest.approx(200_000 * 133, rel=0.2)


def test_the_sampler_alone_does_not_know_how_much_is_live(plain, folder):
    snippet = """
import json, sys
from hosted import make_plugin
print(json.dumps([fact.value for fact in make_plugin(sys.argv[1]).endoscope_process_facts()]))"""
    assert plain(snippet, folder).answer == [None, "inactive"]
