import datetime as dt
import time

import pytest

from endoscope import Access, BadRequestError, FileContent, NotSupportedError, Reach
from endoscope_profiles import Frame, jemalloc_heap

WALK = """
import json, sys, time
from hosted import ask, make_plugin
plugin, answers = make_plugin(sys.argv[1]), []
def say(method, path):
    answer = ask(plugin, method, path)
    answers.append([answer.status, answer.value])
    return answer.value
say("GET", "/status")
say("POST", "/dump")
say("POST", "/start"); say("POST", "/start")
kept = [bytearray(3000) for _ in range(500)]
say("GET", "/status")
name = say("POST", "/dump")["name"]
say("POST", "/stop"); say("POST", "/stop")
say("GET", "/dumps")
content = ask(plugin, "GET", "/dumps/" + name)
with content.file as file:
    text = file.read()
    answers.append([len(text) == content.size, content.name == name, content.media_type])
say("DELETE", "/dumps/" + name)
say("DELETE", "/dumps")
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def walk(under_jemalloc, tmp_path_factory):
    """Return the answers of one walk through all routes, in order."""
    folder = tmp_path_factory.mktemp("memory")
    return folder, under_jemalloc(WALK, folder).answer


def test_status_before_anything_was_done(walk):
    status, value = walk[1][0]
    allocator, cost = value.pop("allocator"), value.pop("cost")
    assert value.pop("sees").startswith("everything that is allocated")
    assert (cost["samples_taken"], cost["seconds"]) == (0, 0)
    assert (status, value) == (
        200,
        {
            "profiling_active": False,
            "status": "inactive",
            "platform": "linux",
            "heap_dumps_available": True,
            "profiler": "jemalloc",
            "python_frames": True,
            "sample_interval_bytes": 4096,
            "active_since": None,
            "problems": [],
        },
    )
    assert list(allocator) == ["allocated", "active", "metadata", "resident", "mapped", "retained"]
    assert all(isinstance(figure, int) for figure in allocator.values())


def test_a_dump_before_the_first_start_says_that_it_is_empty(walk):
    status, value = walk[1][1]
    assert (status, value["status"]) == (200, "dumped")
    (note,) = value["notes"]
    assert note.startswith("it holds no samples, because profiling")
    assert "POST /diagnostics/memory/start" in note


def test_starting_is_answered_alike_however_often(walk):
    answer = [200, {"status": "started", "message": "Memory profiling activated"}]
    assert walk[1][2:4] == [answer, answer]


def test_status_while_active(walk):
    _, value = walk[1][4]
    since = dt.datetime.fromisoformat(value["active_since"])
    assert (value["profiling_active"], value["status"]) == (True, "active")
    assert since.tzinfo == dt.UTC
    assert abs(since.timestamp() - time.time()) < 120


def test_a_dump_tells_where_it_is(walk):
    folder, answers = walk
    status, value = answers[5]
    assert status == 200
    named = ["status", "message", "dump_path", "name", "size", "pid", "duration_seconds", "notes"]
    assert list(value) == named
    assert (value["status"], value["message"]) == ("dumped", "Heap dump generated")
    assert value["notes"] == []
    assert value["dump_path"] == str(folder / value["name"])
    assert value["name"].startswith("router_heap_dump_")
    assert 0 < value["duration_seconds"] < 60


def test_stopping_is_answered_alike_however_often(walk):
    answer = [200, {"status": "stopped", "message": "Memory profiling deactivated"}]
    assert walk[1][6:8] == [answer, answer]


def test_the_dumps_are_listed(walk):
    status, (newest, oldest) = walk[1][8]
    assert status == 200
    assert list(newest) == ["name", "size", "timestamp", "created", "pid"]
    dumped = walk[1][5][1]
    assert [newest[name] for name in ("name", "size", "pid")] == [
        dumped[name] for name in ("name", "size", "pid")
    ]
    assert newest["pid"] > 1
    assert oldest["name"] == walk[1][1][1]["name"]
    created = dt.datetime.fromisoformat(newest["created"])
    assert created.timestamp() == newest["timestamp"]


def test_a_dump_is_handed_out_whole(walk):
    assert walk[1][9] == [True, True, "application/octet-stream"]


def test_deleting_one_and_then_the_rest(walk):
    folder, answers = walk
    name = answers[5][1]["name"]
    cleared = {"status": "cleared", "message": "1 heap dumps deleted", "deleted_count": 1}
    assert answers[10:] == [
        [200, {"status": "deleted", "message": f"Heap dump {name} deleted"}],
        [200, cleared],
    ]
    assert list(folder.iterdir()) == []


def test_what_cannot_be_cleared_is_207(hosted, folder, mounted):
    for name in ("a.prof", "b.prof"):
        (folder / name).write_text("x")
    mounted(folder / "a.prof", "--bind", str(folder / "a.prof"))
    answer = hosted.ask(hosted.make_plugin(folder), "DELETE", "/dumps")
    assert (answer.status, answer.value) == (
        207,
        {
            "status": "partly_cleared",
            "message": "1 heap dumps deleted",
            "deleted_count": 1,
            "errors": [{"name": "a.prof", "error": "Device or resource busy"}],
        },
    )


def test_without_jemalloc_the_dumps_are_there_all_the_same(hosted, folder):
    (folder / "old.prof").write_text("old")
    plugin = hosted.make_plugin(folder, profiler="jemalloc")
    assert hosted.ask(plugin, "GET", "/status").value["status"] == "not_available"
    content = hosted.ask(plugin, "GET", "/dumps/old.prof")
    assert isinstance(content, FileContent)
    with content.file as file:
        assert file.read() == b"old"
    for path in ("/start", "/stop", "/dump"):
        with pytest.raises(NotSupportedError):
            hosted.ask(plugin, "POST", path)


def test_only_looking_is_open_to_readers(hosted, folder):
    for route in hosted.make_plugin(folder).endoscope_routes():
        expected = Access.READ if route.method == "GET" else Access.ACT
        assert route.access is expected


def test_many_clients_at_once(under_jemalloc, folder):
    snippet = """
import collections, json, sys, threading
from hosted import ask, make_plugin
import endoscope
plugin, seen = make_plugin(sys.argv[1], keep_dumps=3), collections.Counter()
paths = [("POST", "/start"), ("POST", "/dump"), ("GET", "/status"), ("POST", "/stop")]
def client(turn):
    for number in range(80):
        method, path = paths[(number + turn) % 4]
        try:
            seen[path, ask(plugin, method, path).status] += 1
        except endoscope.BusyError:
            seen["busy"] += 1
threads = [threading.Thread(target=client, args=(turn,)) for turn in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps([sum(seen.values()), len(ask(plugin, "GET", "/dumps").value)]))"""
    assert under_jemalloc(snippet, folder).answer == [640, 3]
    assert len(list(folder.iterdir())) == 3


def test_a_forked_child_takes_its_own_dumps(under_jemalloc, folder):
    snippet = """
import json, os, sys
from hosted import ask, make_plugin
ask(make_plugin(sys.argv[1]), "POST", "/start")
kept = [bytearray(3000) for _ in range(500)]
if (child := os.fork()) == 0:
    plugin = make_plugin(sys.argv[1])  # as core does in the child
    status = ask(plugin, "GET", "/status").value
    inherited = (status["status"], bool(status["active_since"])) == ("active", True)
    dumped = ask(plugin, "POST", "/dump").value
    os._exit(0 if inherited and (dumped["pid"], dumped["notes"]) == (os.getpid(), ()) else 1)
print(os.waitpid(child, 0)[1])"""
    assert under_jemalloc(snippet, folder).answer == 0


def test_views_are_asked_for_by_their_format(hosted, folder):
    records = [((Frame("leak", "/srv/app.py", 7),), 1, 5000)]
    for name in ("a.prof", "b.prof"):
        (folder / name).write_bytes(b"".join(jemalloc_heap.write(records)))
    plugin = hosted.make_plugin(folder)
    for path, query, expected in [
        ("/dumps/a.prof", {"format": "folded"}, b"leak 5000"),
        ("/dumps/a.prof", {"format": "prof"}, b"heap_v2/0"),
        ("/diff", {"base": "a.prof", "target": "b.prof"}, b"All functions of 0"),
        ("/growth", {"format": "csv"}, b"growth_bytes"),
        ("/merged", {"format": "folded", "dumps": "a.prof,b.prof"}, b"leak 10000"),
        ("/outliers", {"format": "text", "dumps": "a.prof,b.prof"}, b"2 processes of"),
    ]:
        with hosted.ask(plugin, "GET", path, **query).file as file:
            assert expected in file.read()


@pytest.mark.parametrize(
    ("path", "query", "code"),
    [
        ("/dumps/a.prof", {"by": "line"}, "bad_parameter"),
        ("/diff", {"base": "a.prof"}, "missing_parameter"),
        ("/diff", {"base": "a.prof", "target": "../x"}, "bad_dump_name"),
        ("/top", {"limit": "0"}, "bad_parameter"),
        ("/merged", {"within": "0"}, "bad_parameter"),
        ("/merged", {"dumps": "../x"}, "bad_dump_name"),
        ("/merged", {}, "too_few_dumps"),
        ("/outliers", {"dumps": ","}, "bad_parameter"),
        ("/growth", {"pid": "77"}, "too_few_dumps"),
    ],
)
def test_what_cannot_be_asked_says_what_can(hosted, folder, path, query, code):
    (folder / "a.prof").write_bytes(b"")
    with pytest.raises(BadRequestError) as caught:
        hosted.ask(hosted.make_plugin(folder), "GET", path, **query)
    assert (caught.value.code, bool(caught.value.remedy)) == (code, True)


def routes_of(hosted, folder):
    return hosted.make_plugin(folder).endoscope_routes()


def test_what_lies_in_the_folder_any_process_answers_alike(hosted, folder):
    reach = {(route.method, route.path): route.reach for route in routes_of(hosted, folder)}
    own = {("GET", "/status"), ("POST", "/start"), ("POST", "/stop"), ("POST", "/dump")}
    own |= {("GET", "/top")}
    assert {name for name, each in reach.items() if each is Reach.PROCESS} == own
    assert {each for name, each in reach.items() if name not in own} == {Reach.SERVICE}


def test_what_profiling_is_switched_to_lasts(hosted, folder):
    lasting = {route.path: route.lasting for route in routes_of(hosted, folder) if route.lasting}
    assert lasting == {"/start": "profiling", "/stop": "profiling"}
