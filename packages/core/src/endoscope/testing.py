"""For plugin authors: a pytest plugin, active wherever `endoscope` is installed.

    def test_my_plugin(endoscope_client, endoscope_contract):
        endoscope_contract("threads")
        assert endoscope_client.ask("GET", "/threads/stacks")["threads"]

The fixtures run the real thing: diagnostics in the test's own process, with all installed
plugins, strict, on a free port of loopback.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from endoscope.client import Client
    from endoscope.host import Diagnostics


@pytest.fixture
def endoscope_settings(tmp_path: Path) -> dict[str, Any]:
    """Return the settings of `endoscope_diagnostics`. Override it to add your section."""
    return {
        "enabled": True,
        "listen": "127.0.0.1:0",
        "shared_secret": secrets.token_urlsafe(24),
        "output_directory": str(tmp_path / "diagnostics"),
        "strict_plugins": True,
        # An author need not install an authenticator; one that is there is asked all the same.
        "allow_unauthenticated": True,
    }


@pytest.fixture
def endoscope_diagnostics(endoscope_settings: dict[str, Any]) -> Iterator[Diagnostics]:
    """Return diagnostics that run in this process until the test ends."""
    import endoscope

    with endoscope.start(settings=endoscope_settings) as diagnostics:
        assert diagnostics.wait_until_serving(), "diagnostics did not come up; see the log"
        yield diagnostics


@pytest.fixture
def endoscope_client(
    endoscope_diagnostics: Diagnostics, endoscope_settings: dict[str, Any]
) -> Client:
    """Return a client with valid credentials for `endoscope_diagnostics`."""
    from endoscope.client import Client, Target

    return Client(
        Target.from_url(str(endoscope_diagnostics.address), endoscope_settings["shared_secret"])
    )


@pytest.fixture
def endoscope_contract(endoscope_client: Client) -> Callable[[str], None]:
    """Return a check that a plugin keeps the rules of the door.

    It fails the test if the plugin named is not loaded, has a recorded failure, implements
    nothing, or has a parameterless GET route that does not answer.
    """
    from endoscope.contributions import PREFIX

    def check(name: str) -> None:
        reports = {row["name"]: row for row in endoscope_client.ask("GET", "/plugins")}
        assert name in reports, f"no plugin {name!r} is installed; there are {sorted(reports)}"
        assert not reports[name]["failures"], reports[name]["failures"]
        assert reports[name]["hooks"], f"{name} implements no hook"
        for route in endoscope_client.ask("GET", "")["routes"]:
            path = route["path"].removeprefix(PREFIX)
            if path.startswith(f"/{name}/") and route["method"] == "GET" and "{" not in path:
                endoscope_client.fetch("GET", path)

    return check
