import json
import os

from endoscope_memory import archive
from endoscope_profiles import Frame, jemalloc_heap


def parts(hosted, folder):
    plugin = hosted.make_plugin(folder)
    return plugin._recorder, plugin._dumps


def members(hosted, folder):
    plugin = hosted.make_plugin(folder)
    return archive.members(plugin._recorder, plugin._dumps, plugin._views)


def test_the_status_and_every_dump_are_members(hosted, folder):
    for name in ("a.prof", "b.prof"):
        (folder / name).write_text(name)
    (folder / "notes.txt").write_text("none of ours")
    status, *dumps, _page, _growth = members(hosted, folder)
    assert (status.path, status.group) == ("status.json", "memory")
    assert json.loads(status.source())["status"] == "inactive"
    assert {(member.path, member.group) for member in dumps} == {
        ("a.prof", "memory"),
        ("b.prof", "memory"),
    }
    for member in dumps:
        with member.source() as file:
            assert file.read().decode() == member.path


def test_the_newest_dump_s_flame_graph_and_what_grew_are_members(hosted, folder):
    stack = (Frame("leak", "/srv/app.py", 7),)
    for minute in (1, 2):
        facts = {"taken": f"2026-11-24T00:0{minute}:00Z", "pid": "7"}
        dump = jemalloc_heap.write([(stack, 1, 5000 * minute)], facts=facts)
        (folder / f"{minute}.prof").write_bytes(b"".join(dump))
        os.utime(folder / f"{minute}.prof", (minute, minute))
        *_, last = members(hosted, folder)
        assert last.path == ("flamegraph.html" if minute == 1 else "growth.txt")
    views = {member.path: member for member in members(hosted, folder)}
    with views["flamegraph.html"].source() as page, views["growth.txt"].source() as table:
        assert b"2.prof" in page.read()
        assert b"1. +5.0 kB" in table.read()


def test_without_dumps_there_is_the_status_alone(hosted, folder):
    assert [member.path for member in members(hosted, folder)] == ["status.json"]


def test_the_manifest_says_what_there_is_and_what_is_wrong(hosted, folder):
    for name in ("a.prof", "b.prof"):
        (folder / name).write_text("12345")
    entries = archive.manifest_entries(*parts(hosted, folder))
    facts = {entry.name: entry.value for entry in entries}
    assert "jemalloc is not loaded" in facts.pop("problem")
    assert {entry.section for entry in entries} == {"memory"}
    assert facts == {
        "profiler": "sampler",
        "status": "inactive",
        "active_since": None,
        "sample_interval_bytes": 524288,
        "python_frames": True,
        "dumps": 2,
        "dumps_bytes": 10,
    }


def test_all_but_the_status_is_shared_by_the_processes(hosted, folder):
    for number in (1, 2):
        write_dump(folder, number, pid=str(number))
    shared = {member.path: member.shared for member in members(hosted, folder)}
    assert shared == {
        "status.json": False,
        "2.prof": True,
        "1.prof": True,
        "outliers.txt": True,
        "flamegraph-merged.html": True,
        "flamegraph.html": True,
    }


def test_of_several_processes_all_are_in_one_page_and_who_stands_out_is_told(hosted, folder):
    for number in (1, 2, 3):
        write_dump(folder, number, pid=str(number), held=10**number)
    views = {member.path: member for member in members(hosted, folder)}
    with views["outliers.txt"].source() as table, views["flamegraph-merged.html"].source() as page:
        assert b"Process 3 has 1.0 kB live" in table.read()
        assert b"process 2" in page.read()
    assert views["flamegraph-merged.html"].verbatim
    assert not views["outliers.txt"].verbatim


def test_growth_takes_two_dumps_of_the_newest_s_process(hosted, folder):
    for number, pid in enumerate(("1", "2", "1")):
        write_dump(folder, number, pid=pid)
    assert "growth.txt" in [member.path for member in members(hosted, folder)]
    write_dump(folder, 3, pid="3")
    assert "growth.txt" not in [member.path for member in members(hosted, folder)]


def write_dump(folder, number, pid, held=5000):
    facts = {"taken": f"2026-11-24T00:0{number}:00Z", "pid": pid}
    dump = jemalloc_heap.write([((Frame("leak", "/srv/app.py", 7),), 1, held)], facts=facts)
    (folder / f"{number}.prof").write_bytes(b"".join(dump))
    os.utime(folder / f"{number}.prof", (number, number))
