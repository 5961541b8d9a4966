from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from endoscope_export.binary import open_executable


def test_the_executable_is_the_one_that_runs():
    with open_executable() as opened:
        assert os.fstat(opened.fileno()).st_ino == Path(sys.executable).resolve().stat().st_ino


def test_a_deleted_executable_can_still_be_opened(tmp_path):
    """Run a copy of the interpreter that removes itself, as an upgrade would."""
    copy = tmp_path / "python"
    copy.write_bytes(Path(sys.executable).resolve().read_bytes())
    copy.chmod(0o755)
    program = (
        "import os, sys; sys.path[:] = eval(sys.argv[2]); os.remove(sys.argv[1]);"
        "from endoscope_export.binary import open_executable as o;"
        "f = o(); print(os.fstat(f.fileno()).st_size)"
    )
    environment = os.environ | {"PYTHONHOME": sys.base_prefix}
    done = subprocess.run(
        [copy, "-c", program, copy, repr(sys.path)],
        capture_output=True,
        check=True,
        text=True,
        env=environment,
    )
    assert int(done.stdout) == Path(sys.executable).resolve().stat().st_size
