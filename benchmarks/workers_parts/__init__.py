"""The parts of `workers.py`."""
