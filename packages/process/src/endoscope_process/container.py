"""Signs of a container. There is no sure one: each kind leaves its own, or none."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from endoscope_process import mounts, proc

_FILES = {
    ".dockerenv": "Docker",
    "run/.containerenv": "Podman",
    "run/systemd/container": "systemd",
    "run/secrets/kubernetes.io": "Kubernetes",
}
_VARIABLES = ("KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4", "container")
_RUNTIMES = ("docker", "kubepods", "containerd", "libpod", "lxc", "crio")


def hints(root: Path = Path("/")) -> list[str]:
    """Return what speaks for a container, in words; empty if nothing does.

    `root` is `/`, or a folder that stands for it.
    """
    files = [f"/{file} is there ({by})" for file, by in _FILES.items() if (root / file).exists()]
    variables = [f"the variable {name} is set" for name in _VARIABLES if name in os.environ]
    return [*files, *variables, *_runtimes(root), *_layers(root)]


def _runtimes(root: Path) -> list[str]:
    groups = _text(root / "proc/self/cgroup")
    return [f"a control group is named after {name}" for name in _RUNTIMES if name in groups]


def _layers(root: Path) -> list[str]:
    mounted = mounts.parse(_text(root / "proc/self/mountinfo"))
    mount = mounts.holding(PurePosixPath("/"), mounted)
    return ["the root file system is an overlay"] if mount and mount.kind == "overlay" else []


def _text(file: Path) -> str:
    try:
        return proc.read(file)
    except OSError:  # not this system's way
        return ""
