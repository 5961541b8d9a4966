"""Every extension point of Endoscope, in the order in which core calls them.

A plugin implements any of these as methods marked with `endoscope.hookimpl`. All are
synchronous, all are collected from every plugin, and each plugin is called alone: what
one raises or returns wrongly is recorded against it and the others go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from endoscope.contributions import (
        AccessRequest,
        ArchiveMember,
        ManifestEntry,
        Problem,
        ProcessFact,
        Route,
        Verdict,
    )

PROJECT = "endoscope"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def endoscope_launch_environment(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return environment variables to set before the host program starts.

    Called by `endoscope run` in a process of its own, before it becomes the program.
    `environment` is what the program would get without you: extend what stands there
    rather than replace it. Two plugins that set one variable differently are an error.

        @hookimpl
        def endoscope_launch_environment(self, environment):
            return {"MALLOC_CONF": "prof:true"}
    """


@hookspec
def endoscope_problems(in_host: bool) -> Iterable[Problem]:
    """Return the state of your preconditions.

    Called once at start-up inside the host (`in_host` true), before anything is served,
    where an `error` refuses the start; and by `endoscope doctor` from outside (`in_host`
    false), where you judge what the host would find.

        @hookimpl
        def endoscope_problems(self, in_host):
            return [Problem("warning", "swap is on", "Switch it off: swapoff -a")]
    """


@hookspec
def endoscope_start() -> None:
    """Take up work: called once, before the listener answers its first request.

    In a forked child the plugin is made anew, and this is called if the child starts
    diagnostics of its own. Must return at once.
    """


@hookspec
def endoscope_routes() -> Iterable[Route]:
    """Return what can be asked of you. Called once, while the app is built.

    Core serves each under `/diagnostics/<your entry point's name>`.

        @hookimpl
        def endoscope_routes(self):
            return [Route("GET", "/stacks", self.stacks, Access.READ, "Stacks of all threads")]
    """


@hookspec
def endoscope_authenticate(request: AccessRequest) -> Verdict | None:
    """Judge the credentials of a request; return None if it has none of your kind.

    Called before every request, those for unknown paths included. One `Refused` refuses;
    so do an exception, an answer of another type, and no `Granted` at all.

        @hookimpl
        def endoscope_authenticate(self, request):
            return Granted("localhost") if request.client == "127.0.0.1" else None
    """


@hookspec
def endoscope_process_facts() -> Iterable[ProcessFact]:
    """Return what tells this process from its siblings, for the list of processes.

    Called once per `GET /diagnostics/processes`, in every process of the service, under a
    time limit of a second: return what is known already.

        @hookimpl
        def endoscope_process_facts(self):
            return [ProcessFact("requests_in_flight", self.in_flight)]
    """


@hookspec
def endoscope_archive_members() -> Iterable[ArchiveMember]:
    """Return the files that you add to an archive. Called once per export.

    Under a time limit. Make the list here, and the content in each member's `source`.

        @hookimpl
        def endoscope_archive_members(self):
            return [ArchiveMember("stacks.txt", self.render_stacks, group="threads")]
    """


@hookspec
def endoscope_manifest_entries() -> Iterable[ManifestEntry]:
    """Return facts for the manifest. Called once per export, after the members were sent.

    Under a time limit.

        @hookimpl
        def endoscope_manifest_entries(self):
            return [ManifestEntry("threads", "count", threading.active_count())]
    """


@hookspec
def endoscope_stop() -> None:
    """Lay down work: called once, after the listener has closed. Must return at once."""
