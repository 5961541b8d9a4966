"""Heap profiles as data, for programs and notebooks."""

from endoscope_profiles import jemalloc_heap
from endoscope_profiles.model import Frame, Profile, Sample, merge
from endoscope_profiles.profile_error import ProfileError
from endoscope_profiles.reading import read

__all__ = ["Frame", "Profile", "ProfileError", "Sample", "jemalloc_heap", "merge", "read"]
