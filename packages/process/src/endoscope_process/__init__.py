"""What a process may use, and what it does use."""

from endoscope_process.plugin import ProcessPlugin

__all__ = ["ProcessPlugin"]
