import os
import pty
import subprocess
import sys


def test_a_bar_is_shown_on_a_terminal_and_gone_in_the_end(whole):
    """And nothing else than the result is on standard output."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "endoscope", "verify", whole]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    done = subprocess.run(command, stdout=-1, stderr=theirs, env=environment, check=False)
    os.close(theirs)
    shown = os.read(ours, 100_000)
    os.close(ours)
    assert b"shop.tar.gz" in shown
    assert b"\x1b[2K" in shown
    assert done.stdout.startswith(os.fsencode(whole) + b": whole")
