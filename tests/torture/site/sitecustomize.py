"""Profiles the main interpreter of every Python that is started with TORTURE set: `kind lg`."""

import os


def _is_main_interpreter():
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        import _interpreters as interpreters
    current, main = interpreters.get_current(), interpreters.get_main()
    return current == main


def _profile(kind, lg_interval):
    from endoscope_memory import jemalloc, native

    if obstacle := native.obstacle():
        raise SystemExit(f"not profiled: {obstacle.message}")
    if kind == "sampler":
        native.part.start_sampler(lg_interval, 0.0, 0)
    elif found := jemalloc.loaded():  # a child may have been started without it
        native.part.install_hook(found.mallctl_address, {"python": 1, "mixed": 2}[kind])
        found.set_active(True)
        native.part.start_sampler(lg_interval, 0.0, found.mallctl_address)


if "TORTURE" in os.environ and _is_main_interpreter():
    kind, lg_interval = os.environ["TORTURE"].split()
    _profile(kind, int(lg_interval))
