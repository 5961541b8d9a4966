"""What Python this is, and what is loaded in it."""

from endoscope_python.plugin import PythonPlugin

__all__ = ["PythonPlugin"]
