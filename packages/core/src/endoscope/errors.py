"""What can go wrong, and what to do about it.

Every error that Endoscope raises on purpose carries four things beside its message: a
`remedy` (what the reader should do next), the HTTP `status` and the `code` of the error
body, and the `exit_code` of the command line. It is caught once: by the guard and the
app where a request is served, by `main` where a command runs.
"""

from __future__ import annotations

from typing import Any, ClassVar


class EndoscopeError(Exception):
    """Base of everything that Endoscope raises on purpose.

    `message` says what happened, `remedy` what to do. Neither ever holds a secret, a
    stack trace or a path outside of the output directory once it is sent to a client.
    """

    status: ClassVar[int] = 500
    code: str = "internal_error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        if code is not None:
            self.code = code

    def body(self) -> dict[str, Any]:
        """Return the one JSON shape in which every failed request is answered."""
        return {
            "error": self.message,
            "status": self.status,
            "code": self.code,
            "remedy": self.remedy,
        }

    def headers(self) -> dict[str, str]:
        """Return the response headers that belong to this error."""
        return {}


class SettingsError(EndoscopeError):
    """The configuration cannot be used. `message` lists every mistake, one per line."""

    code = "settings"
    exit_code = 2


class StartError(EndoscopeError):
    """Diagnostics cannot start: a taken port, an unusable directory, a required plugin."""

    code = "start"
    exit_code = 3


class PluginError(EndoscopeError):
    """A plugin broke the rules; raised instead of recorded when `strict_plugins` is on."""

    code = "plugin"


class LaunchError(EndoscopeError):
    """The program given to `endoscope run` cannot be run with diagnostics inside it."""

    code = "launch"
    exit_code = 2


class ServiceError(EndoscopeError):
    """A running service could not be asked, or answered with an error (client commands)."""

    code = "service"


class RequestError(EndoscopeError):
    """Base of the errors that a handler raises to answer a request with less than success."""


class BadRequestError(RequestError):
    """A parameter, a name or a body that cannot be meant."""

    status = 400
    code = "bad_request"


class UnauthorizedError(RequestError):
    """No authenticator granted this request."""

    status = 401
    code = "unauthorized"

    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="diagnostics"'}


class ForbiddenError(RequestError):
    """The principal is known, but was not granted this route's access level."""

    status = 403
    code = "forbidden"


class NotFoundError(RequestError):
    """Nothing of that name is here."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(RequestError):
    """The path exists, the method on it does not. `allowed` is sent as `Allow`."""

    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: tuple[str, ...], remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.allowed = allowed

    def headers(self) -> dict[str, str]:
        return {"Allow": ", ".join(self.allowed)}


class BusyError(RequestError):
    """Something that runs once at a time is running already."""

    status = 409
    code = "busy"


class TooLargeError(RequestError):
    """The request's body is larger than any that Endoscope takes."""

    status = 413
    code = "too_large"


class RangeNotSatisfiableError(RequestError):
    """The `Range` asked for lies outside of the file. `size` is the file's, in bytes."""

    status = 416
    code = "range_not_satisfiable"

    def __init__(self, message: str, *, size: int, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.size = size

    def headers(self) -> dict[str, str]:
        return {"Content-Range": f"bytes */{self.size}"}


class MisdirectedError(RequestError):
    """The `Host` header names somebody else, as after DNS rebinding."""

    status = 421
    code = "misdirected"


class NotSupportedError(RequestError):
    """This ability cannot work in this process; the remedy says what would make it work."""

    status = 501
    code = "not_supported"


class UnavailableError(RequestError):
    """Shutting down, or every worker is held up."""

    status = 503
    code = "unavailable"


class NoSpaceError(RequestError):
    """The output directory's disk is full."""

    status = 507
    code = "no_space"


class TimeLimitError(EndoscopeError):
    """A plugin's callable exceeded its time limit and was abandoned."""

    status = 503
    code = "timed_out"
