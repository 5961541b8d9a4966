"""What holds for all tests."""

from __future__ import annotations

import signal

import hypothesis

# A shell that starts the tests in the background has them ignore Ctrl+C, and the programs that
# they start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline for each example would make a slow machine fail a test; whole tests have theirs.
hypothesis.settings.register_profile("endoscope", deadline=None)
hypothesis.settings.load_profile("endoscope")
