"""The memory suite on another CPython with another jemalloc, as `make matrix` runs it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "forky.sh"
UNAVAILABLE = 69


def failures(finished) -> str:
    """Return what explains a failed run: from pytest's failures on, or all that was printed."""
    before, found, after = finished.stdout.partition("= FAILURES =")
    return "\n".join([(found + after) or before, finished.stderr])


@pytest.mark.timeout(400)  # from nothing, Debian and all: two to three minutes on two busy cores
def test_the_memory_suite_passes_on_another_python(run, needs):
    needs("bash")
    words = ["bash", SCRIPT, "3.14", "-q", "--color=no"]
    finished = run(words, seconds=390)
    if finished.returncode == UNAVAILABLE:
        pytest.skip(finished.stderr.strip())
    if finished.returncode:
        pytest.fail(f"it ended with {finished.returncode}\n{failures(finished)}", pytrace=False)
    interpreter, closing = finished.stdout.splitlines()[0], finished.stdout.splitlines()[-1]
    assert interpreter.startswith("Python 3.14.")
    assert " passed" in closing, closing
    assert f" {ROOT}/.forky/" not in Path("/proc/self/mountinfo").read_text()


def test_a_root_that_something_is_mounted_in_stays(run, tmpfs, tmp_path, needs):
    needs("bash")
    script = tmp_path / "tools" / "forky.sh"
    script.parent.mkdir()
    shutil.copy(SCRIPT, script)
    inside = tmp_path / ".forky" / "root" / "mnt"
    inside.mkdir(parents=True)
    precious = tmpfs / "precious"
    precious.touch()
    subprocess.run(["mount", "--bind", tmpfs, inside], check=True)
    try:
        refused = run(["bash", script, "remove"])
    finally:
        subprocess.run(["umount", inside], check=True)
    assert (refused.returncode, precious.exists()) == (1, True)
    assert "something is mounted in .forky" in refused.stderr
    assert run(["bash", script, "remove"]).returncode == 0
    assert not (tmp_path / ".forky").exists()
