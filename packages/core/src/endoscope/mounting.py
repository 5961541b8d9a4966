"""What holds for diagnostics on the host's own port, whichever way they come there.

That port may reach further than the listener. So what a listener within this machine need
not ask for, credentials and a `Host` of ours, is asked for there in any case.
"""

from __future__ import annotations

from endoscope.contributions import PREFIX
from endoscope.errors import StartError
from endoscope.host import Diagnostics
from endoscope.settings import CoreSettings

_BELOW = f"{PREFIX}/"


def settings_of(diagnostics: Diagnostics) -> CoreSettings | None:
    """Return the settings of running diagnostics, None if they do not run.

    Raises `StartError` if they let everybody in.
    """
    assembly = diagnostics._assembly  # noqa: SLF001  for us only, who are of the same room
    if assembly is None:
        return None
    if not assembly.plugins.authenticators:
        raise StartError(
            "no authenticator is installed: whoever reaches the host's port could do everything",
            remedy="pip install endoscope-auth, or leave the middleware out.",
        )
    return assembly.settings.core


def is_ours(path: str) -> bool:
    """Whether diagnostics answer at `path`, or would say that nothing is there."""
    return path == PREFIX or path.startswith(_BELOW)
