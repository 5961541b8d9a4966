"""Who may ask: bearer authentication for Endoscope."""

from endoscope_auth.plugin import AuthPlugin
from endoscope_auth.settings import AuthSettings

__all__ = ["AuthPlugin", "AuthSettings"]
