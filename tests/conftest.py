"""What holds for all tests."""

from __future__ import annotations

import hypothesis

# A deadline for each example would make a slow machine fail a test; whole tests have theirs.
hypothesis.settings.register_profile("endoscope", deadline=None)
hypothesis.settings.load_profile("endoscope")
