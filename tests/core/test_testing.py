"""The fixtures for plugin authors, used as one would."""

from __future__ import annotations

import pytest

from endoscope import Access, Json, Plugin, Route, Text, hookimpl
from endoscope.client import Client


class GoodPlugin(Plugin):
    @hookimpl
    def endoscope_authenticate(self, request):
        from endoscope import Granted

        return Granted("anybody")

    @hookimpl
    def endoscope_routes(self):
        return [
            Route("GET", "/json", lambda _: Json(1), Access.READ, ""),
            Route("GET", "/text", lambda _: Text("not JSON"), Access.READ, ""),
            Route("GET", "/{name}", lambda _: 1 / 0, Access.READ, ""),
            Route("POST", "/act", lambda _: 1 / 0, Access.ACT, ""),
        ]


class FailingPlugin(Plugin):
    @hookimpl
    def endoscope_routes(self):
        return [Route("GET", "/fails", lambda _: 1 / 0, Access.READ, "")]


@pytest.fixture
def endoscope_settings(endoscope_settings, install, installed):
    install("good", GoodPlugin)
    install("failing", FailingPlugin)
    install("idle", type("Idle", (Plugin,), {}))
    return {**endoscope_settings, "plugins": {"required": [], "disabled": installed}}


def test_settings_are_a_test_s_own(endoscope_settings, tmp_path):
    assert endoscope_settings["strict_plugins"]
    assert endoscope_settings["listen"] == "127.0.0.1:0"
    assert str(tmp_path) in endoscope_settings["output_directory"]
    assert len(endoscope_settings["shared_secret"]) > 20


def test_the_client_is_let_in(endoscope_client, endoscope_diagnostics):
    assert isinstance(endoscope_client, Client)
    assert endoscope_client.ask("GET", "/good/json") == 1
    assert endoscope_client.fetch("GET", "/good/text") == b"not JSON"
    assert endoscope_diagnostics.address.port > 0


def test_a_good_plugin_keeps_the_contract(endoscope_contract):
    endoscope_contract("good")


@pytest.mark.parametrize(
    ("name", "says"),
    [("absent", "no plugin 'absent'"), ("idle", "implements no hook"), ("failing", "failed")],
)
def test_one_that_does_not(endoscope_contract, name, says):
    with pytest.raises(Exception, match=says):
        endoscope_contract(name)
