"""One support archive out of a running service."""

from endoscope_export.plugin import ExportPlugin
from endoscope_export.settings import ExportSettings

__all__ = ["ExportPlugin", "ExportSettings"]
