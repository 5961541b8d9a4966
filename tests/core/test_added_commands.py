import subprocess
import sys

import click
import pytest

from endoscope import added_commands
from endoscope.errors import PluginError

MODULE = """
import click

@click.command()
@click.argument("words", nargs=-1)
def works(words):
    "Say the words."
    click.echo(" ".join(words))

nothing = 7
"""
ENTRIES = """[endoscope.commands]
works = added_module:works
nothing = added_module:nothing
missing = no_such_module:x
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make a distribution that adds three commands, of which one works."""
    (tmp_path / "added_module.py").write_text(MODULE)
    metadata = tmp_path / "added-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("added_module", None)


def run(folder, *words):
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); from endoscope.cli import main; main()"
    )
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_added_command_runs_like_our_own(installed):
    done = run(installed, "works", "hello", "there")
    assert (done.returncode, done.stdout) == (0, "hello there\n")


def test_help_lists_all_though_some_cannot_be_loaded(installed):
    done = run(installed, "--help")
    assert done.returncode == 0, done.stderr
    listed = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {"doctor", "works", "nothing", "missing"} <= set(listed)
    assert "Say the words" in listed["works"]
    assert "cannot be loaded" in listed["missing"]


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing", "ModuleNotFoundError"), ("nothing", "is a int, and no click.Command")],
)
def test_one_that_cannot_be_loaded_says_why_when_run(installed, name, said):
    done = run(installed, name, "--any", "words")
    assert done.returncode == 1
    assert said in done.stderr
    assert "It comes from added" in done.stderr


@pytest.mark.parametrize("name", ["collect", "inspect", "report", "verify"])
def test_ours_names_its_package_where_it_is_not_installed(monkeypatch, name):
    monkeypatch.setattr(added_commands, "entry_points", lambda **_: [])
    command = added_commands.load(name)
    with pytest.raises(PluginError, match="not installed") as caught:
        command.main(["x.prof", "--open"], standalone_mode=False)
    assert caught.value.remedy == "pip install endoscope-report"


def test_what_nobody_adds_is_none(installed):
    assert added_commands.load("nonsense") is None
    assert {"works", "missing"} <= set(added_commands.names())
    assert isinstance(added_commands.load("works"), click.Command)


def test_a_command_that_two_packages_add_names_both(installed):
    other = installed / "other-1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (other / "entry_points.txt").write_text("[endoscope.commands]\nworks = added_module:works\n")
    done = run(installed, "works")
    assert done.returncode == 1
    assert "added and other" in done.stderr or "other and added" in done.stderr
