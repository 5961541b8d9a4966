"""Several processes' worth of diagnostics in one process: they meet as if they were several."""

from __future__ import annotations

import os
import time
from typing import ClassVar

import pytest

import endoscope
from endoscope import Access, Json, Plugin, Route, hookimpl
from endoscope.configuration import Configuration
from endoscope.errors import StartError

asked = []


def note(request):
    asked.append(dict(request.query))
    return Json(len(asked))


ROUTES = (Route("POST", "/mode", note, Access.ACT, "", lasting="mode"),)


@pytest.fixture
def another(section):
    """Start one more at the same place."""
    running = []

    def start(**settings):
        diagnostics = endoscope.Diagnostics(Configuration(values={**section, **settings}))
        running.append(diagnostics)
        diagnostics.start()
        assert diagnostics.wait_until_serving(20)
        return diagnostics

    yield start
    for diagnostics in running:
        diagnostics.stop()


def members(diagnostics):
    return [name for name in os.listdir(diagnostics.place) if name.endswith(".sock")]


def test_the_second_joins_the_first(serve, another):
    service = serve()
    second = another()
    assert second.address == service.address
    assert len(members(second)) == 2
    assert [row["role"] for row in service.ask("/processes").json()] == ["door", "member"]


def test_the_second_takes_over_when_the_first_stops(serve, another, eventually):
    service = serve()
    address = service.address
    second = another()
    service.diagnostics.stop()
    service.diagnostics = second
    assert second.address == address
    assert service.ask().status == 200
    assert len(members(second)) == 1
    assert [row["role"] for row in service.ask("/processes").json()] == ["door"]


def test_nobody_is_refused_while_it_is_taken_over(serve, another):
    service = serve()
    others = [another() for _ in range(3)]
    for leaving, staying in zip([service.diagnostics, *others], others, strict=False):
        waiting = [service.connect() for _ in range(5)]
        leaving.stop()
        service.diagnostics = staying
        for client in waiting:
            client.close()
        assert service.ask().status == 200


def test_the_last_one_to_stop_gives_the_listener_back(serve, another):
    service = serve()
    second = another()
    place, address = second.place, second.address
    service.diagnostics.stop()
    second.stop()
    assert os.listdir(place) == ["door"]
    again = another(listen=str(address))
    assert again.address == address


def test_several_start_at_once(section, install, serve):
    service = serve()
    service.diagnostics.stop()
    many = [endoscope.Diagnostics(Configuration(values=section)) for _ in range(5)]
    began = time.monotonic()
    for diagnostics in many:
        diagnostics.start()
    assert all(diagnostics.wait_until_serving(20) for diagnostics in many)
    assert time.monotonic() - began < 10
    assert len({diagnostics.address for diagnostics in many}) == 1
    service.diagnostics = many[0]
    assert [row["role"] for row in service.ask("/processes").json()] == ["door"] + ["member"] * 4
    for diagnostics in many:
        diagnostics.stop()


def test_a_listener_that_a_stranger_has_is_a_start_error(serve, another, tmp_path):
    service = serve()
    with pytest.raises(StartError, match="in use"):
        another(listen=str(service.address), output_directory=str(tmp_path / "other"))
    with pytest.raises(StartError, match="in use"):
        another(listen=str(service.address), service_name="other")
    assert service.ask().status == 200


def test_what_lasts_is_done_by_who_comes_later(serve, another, eventually):
    service = serve(routes=ROUTES)
    asked.clear()
    service.ask("/probe/mode", "POST")
    another()
    time.sleep(0.3)
    assert asked == [{}]
    asked.clear()
    service.ask("/probe/mode?process=all", "POST")
    assert len(asked) == 2
    another()
    assert eventually(lambda: len(asked) == 3)


class SlowMode(Plugin):
    """A mode that takes its time to be switched on. `history` is of all instances."""

    history: ClassVar[list[tuple[int, str]]] = []

    def _switch(self, mode, seconds):
        time.sleep(seconds)
        SlowMode.history.append((id(self), mode))
        return Json(mode)

    @hookimpl
    def endoscope_routes(self):
        return [
            Route("POST", "/on", lambda _: self._switch("on", 0.5), Access.ACT, "", lasting="mode"),
            Route("POST", "/off", lambda _: self._switch("off", 0), Access.ACT, "", lasting="mode"),
        ]


def test_what_is_asked_of_all_comes_after_what_lasts(serve, section, eventually):
    service = serve({"slow": SlowMode})
    service.ask("/slow/on?process=all", "POST")
    SlowMode.history.clear()
    late = endoscope.Diagnostics(Configuration(values=section))
    late.start()
    try:
        assert eventually(lambda: len(service.ask("/processes").json()) == 2)
        assert service.ask("/slow/off?process=all", "POST").status == 200
        time.sleep(0.7)
        modes = dict(SlowMode.history)
        assert sorted(modes.values()) == ["off", "off"]
    finally:
        late.stop()


def test_one_that_stops_while_it_joins_leaves_nothing(serve, section, open_descriptors, eventually):
    service = serve()
    service.ask()
    time.sleep(0.3)
    before = open_descriptors()
    for _ in range(10):
        diagnostics = endoscope.Diagnostics(Configuration(values=section))
        diagnostics.start()
        diagnostics.stop()
    assert eventually(lambda: open_descriptors() <= before)
    assert [row["role"] for row in service.ask("/processes").json()] == ["door"]


def test_starting_twice_in_one_process_gives_the_same(serve, section):
    service = serve()
    assert endoscope.start(settings=section) is service.diagnostics
    assert service.ask().status == 200
