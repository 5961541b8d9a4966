from __future__ import annotations

from endoscope.printable import printable


def test_what_moves_the_cursor_is_escaped():
    assert printable("a\x1b[2J\n\ud800ü") == "a\\x1b[2J\\n\\ud800ü"
