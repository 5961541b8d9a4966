"""Raises when it is imported."""

raise RuntimeError("raised on import")
