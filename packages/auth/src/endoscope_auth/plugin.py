"""The auth plugin: grants a request that knows the shared secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from endoscope import Plugin, PluginContext, hookimpl
from endoscope_auth.bearer import fingerprint, judge
from endoscope_auth.settings import AuthSettings, secret_bytes, strength

if TYPE_CHECKING:
    from collections.abc import Iterable

    from endoscope import AccessRequest, PluginSettings, Problem, Verdict


class AuthPlugin(Plugin[AuthSettings]):
    """Authenticates by `Authorization: Bearer <base64(shared_secret)>`."""

    Settings: ClassVar[type[PluginSettings]] = AuthSettings

    def __init__(self, context: PluginContext[AuthSettings]) -> None:
        super().__init__(context)
        self._expected = fingerprint(secret_bytes(context.settings.shared_secret))

    @hookimpl
    def endoscope_problems(self) -> Iterable[Problem]:
        return [strength(self.context.settings)]

    @hookimpl
    def endoscope_authenticate(self, request: AccessRequest) -> Verdict | None:
        return judge(request.headers.get("authorization", ()), self._expected)
