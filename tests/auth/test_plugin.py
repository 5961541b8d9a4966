from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

import pluggy
import pytest
from pydantic import SecretStr

from endoscope import (
    AccessRequest,
    Contributions,
    Granted,
    HostIdentity,
    PluginContext,
    Refused,
    hookspecs,
)
from endoscope_auth.plugin import AuthPlugin
from endoscope_auth.settings import AuthSettings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "test-secret-123"
HEADER = "Bearer dGVzdC1zZWNyZXQtMTIz"


def context(folder: Path, secret: str) -> PluginContext[AuthSettings]:
    return PluginContext(
        name="auth",
        settings=AuthSettings(shared_secret=SecretStr(secret)),
        output_directory=folder,
        host=HostIdentity(
            "router", "2.5.1", os.getpid(), 0.0, 0.0, folder, "0.1.0", "3.11", sys.platform
        ),
        logger=logging.getLogger("endoscope.auth"),
        contributions=cast("Contributions", None),  # auth asks nothing of the others
    )


@pytest.fixture
def plugin(tmp_path: Path) -> AuthPlugin:
    return AuthPlugin(context(tmp_path, SECRET))


@pytest.fixture
def hooks(plugin: AuthPlugin) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    manager.check_pending()
    return manager.hook


def asked_with(*authorization: str) -> AccessRequest:
    headers = {"host": ("localhost",), "authorization": authorization}
    return AccessRequest("GET", "/diagnostics", headers, "127.0.0.1")


def test_the_entry_point_is_the_plugin():
    (entry,) = entry_points(group="endoscope", name="auth")
    assert entry.load() is AuthPlugin
    assert AuthPlugin.Settings is AuthSettings


def test_the_right_secret_is_granted(hooks):
    assert hooks.endoscope_authenticate(request=asked_with(HEADER)) == [Granted("bearer")]


def test_a_wrong_secret_is_refused(hooks):
    (verdict,) = hooks.endoscope_authenticate(request=asked_with("Bearer eA=="))
    assert isinstance(verdict, Refused)


def test_a_request_without_the_header_is_left_to_others(hooks):
    nobody = AccessRequest("GET", "/diagnostics", {"host": ("localhost",)}, "unix")
    assert hooks.endoscope_authenticate(request=nobody) == []


@pytest.mark.parametrize("in_host", [True, False])
def test_a_short_secret_is_a_warning(tmp_path, in_host):
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(AuthPlugin(context(tmp_path, "short")))
    ((problem,),) = manager.hook.endoscope_problems(in_host=in_host)
    assert problem.severity == "warning"


def test_two_instances_do_not_share_a_secret(tmp_path):
    other = AuthPlugin(context(tmp_path, "another-secret"))
    assert isinstance(other.endoscope_authenticate(asked_with(HEADER)), Refused)


def test_no_repr_shows_the_secret(plugin):
    shown = f"{plugin!r} {plugin.context!r} {plugin.context.settings!r}"
    assert SECRET not in shown
    assert HEADER.removeprefix("Bearer ") not in shown
