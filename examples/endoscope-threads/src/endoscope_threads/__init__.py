"""Stacks of all threads, for Endoscope."""
