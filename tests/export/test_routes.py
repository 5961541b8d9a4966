from __future__ import annotations

import re
import threading

import pytest

from endoscope import Access, ArchiveMember, BadRequestError, BusyError, Reach


def test_one_route_that_only_looks(export):
    (route,) = export.plugin.endoscope_routes()
    assert (route.method, route.path, route.access) == ("GET", "", Access.READ)
    assert route.reach is Reach.GATHERED
    choices = {parameter.name: parameter.choices for parameter in route.parameters}
    assert choices == {
        "only": (),
        "without": (),
        "since": (),
        "format": ("tar.gz", "tar.zst"),
        "preview": ("1",),
    }


def test_the_archive_is_named_after_the_service_and_the_time(export):
    stream = export.stream()
    assert re.fullmatch(r"router-diagnostics-\d{10}\.tar\.gz", stream.name)
    assert stream.media_type == "application/gzip"
    assert b"".join(stream.chunks)[:2] == b"\x1f\x8b"


def test_the_format_can_be_said(export):
    assert export.stream(format="tar.gz").name.endswith(".tar.gz")


def test_only_and_without_choose_groups(make_export, core):
    core.contributed["memory"] = [ArchiveMember("a", b"a", "memory")]
    export = make_export(include_binary=True)
    manifests = ["manifest.txt", "manifest.json"]
    assert list(export.unpacked(only="memory")) == ["memory/a", *manifests]
    without = export.unpacked(without="binary")
    assert list(without) == ["config/router.yaml", "memory/a", *manifests]
    assert b"router-binary  group binary" in without["manifest.txt"]


def test_a_plugin_without_members_can_be_asked_for(export, core):
    core.contributed["memory"] = []
    assert list(export.unpacked(only="memory")) == ["manifest.txt", "manifest.json"]


@pytest.mark.parametrize("query", [{"only": "memroy"}, {"without": "memory,nope"}, {"only": ""}])
def test_a_mistake_is_told_before_the_first_byte_and_frees_the_turn(export, core, query):
    core.contributed["memory"] = []
    with pytest.raises(BadRequestError):
        export.stream(**query)
    assert export.unpacked()


def test_a_second_archive_at_once_is_refused(export):
    running = export.stream()
    with pytest.raises(BusyError) as caught:
        export.stream()
    assert "max_concurrent" in caught.value.remedy
    assert b"".join(running.chunks)
    assert export.download()


@pytest.mark.parametrize("steps", [0, 1])
def test_an_archive_that_was_given_up_frees_its_turn(export, steps):
    running = export.stream()
    for _ in range(steps):
        next(running.chunks)
    running.chunks.close()
    assert export.download()


def test_an_archive_that_nobody_closed_frees_its_turn_when_it_is_forgotten(export):
    export.stream()
    assert export.download()


def test_a_failure_while_collecting_frees_the_turn(export, core, monkeypatch):
    def broken(seconds):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(core, "archive_members", broken)
        with pytest.raises(RuntimeError):
            export.stream()
    assert export.download()


def test_as_many_as_allowed_run_at_once(make_export):
    export = make_export(max_concurrent=2)
    both = [export.stream(), export.stream()]
    with pytest.raises(BusyError):
        export.stream()
    interleaved = [threading.Thread(target=list, args=(stream.chunks,)) for stream in both]
    for thread in interleaved:
        thread.start()
    for thread in interleaved:
        thread.join()
    assert export.download()
