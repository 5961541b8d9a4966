"""Heap profiles of the running process."""
