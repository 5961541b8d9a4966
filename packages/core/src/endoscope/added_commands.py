"""Commands that other packages add to the command line.

An entry point in the group `endoscope.commands` names a `click.Command`; its name is the
command's. One that cannot be loaded takes down none of the others.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import click

from endoscope.errors import PluginError

GROUP = "endoscope.commands"

# So that one which is not installed can name its package.
_OURS = dict.fromkeys(("collect", "inspect", "report", "verify"), "endoscope-report")


def names() -> list[str]:
    """Return the names of all commands that are added."""
    return sorted(entry_points(group=GROUP).names)


def load(name: str) -> click.Command | None:
    """Return the command called `name`; None if there is none.

    One that cannot be loaded, or is ours and not installed, is a command that says so when run.
    """
    found = list(entry_points(group=GROUP, name=name))
    if len(found) > 1:
        packages = " and ".join(map(_package, found))
        reason = f"`endoscope {name}` is added by more than one package: {packages}"
        return _failing(name, reason, "Remove all of them but one.")
    if found:
        return _loaded(found[0])
    if name in _OURS:
        return _failing(name, f"`endoscope {name}` is not installed", f"pip install {_OURS[name]}")
    return None


def _loaded(found: EntryPoint) -> click.Command:
    remedy = f"It comes from {_package(found)}: install another version of that, or remove it."
    try:
        command = found.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  a stranger's import may do anything
        reason = f"`endoscope {found.name}` cannot be loaded: {type(error).__name__}: {error}"
        return _failing(found.name, reason, remedy)
    if not isinstance(command, click.Command):
        reason = f"`endoscope {found.name}` is a {type(command).__name__}, and no click.Command"
        return _failing(found.name, reason, remedy)
    return command


def _package(found: EntryPoint) -> str:
    return found.dist.name if found.dist else found.value


def _failing(name: str, reason: str, remedy: str) -> click.Command:
    def fail(**_options: object) -> None:
        raise PluginError(reason, remedy=remedy)

    return click.Command(
        name,
        callback=fail,
        params=[click.Argument(["arguments"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        help=f"{reason}.",
    )
