"""Heap profiles as data, for programs and notebooks."""

from endoscope_profiles import jemalloc_heap
from endoscope_profiles.jemalloc_heap import ProfileError
from endoscope_profiles.model import Frame, Profile, Sample, merge

__all__ = ["Frame", "Profile", "ProfileError", "Sample", "jemalloc_heap", "merge"]
