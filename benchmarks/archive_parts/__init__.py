"""The parts of `archive.py`, one file each, and what they share."""
