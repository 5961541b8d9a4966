"""The parts of `heap_profiling.py`."""
