"""jemalloc's heap profiler, together with our sampler for what never reaches malloc.

jemalloc samples everything that is taken from malloc, and asks our hook for the Python stack
of each sample. Python's small objects lie in arenas that pymalloc maps itself; those the
sampler samples, at the same interval, and nothing else. One dump holds both.
"""

from __future__ import annotations

import errno
import os
import sys
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from endoscope import BusyError, NotSupportedError
from endoscope_memory import heap_v2, jemalloc, malloc_conf, native, process
from endoscope_memory.availability import Availability, Cost, Coverage, Reason
from endoscope_memory.facts import preface
from endoscope_memory.once import once
from endoscope_memory.preload import install_command
from endoscope_memory.profilers.sampler import (
    is_sampling,
    lost_samples,
    removed_hooks,
    start_sampler,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from endoscope_memory.drafts import Draft
    from endoscope_memory.heap_v2 import HeapFile
    from endoscope_memory.jemalloc import Jemalloc
    from endoscope_memory.settings import MemorySettings
    from endoscope_memory.wish import Wish

_HOW_TO_START = (
    "Start the program with `endoscope run`, or with LD_PRELOAD=libjemalloc.so.2 "
    "MALLOC_CONF=prof:true,prof_active:false"
)
_COSTS = {
    "python": "about 2% of the instructions at 512 KiB",
    "mixed": "about 3% of the instructions at 512 KiB, since it unwinds C stacks",
    "native": "about 3% of the instructions at 512 KiB, since it unwinds C stacks",
}
_STACKS = {"native": 0, "python": 1, "mixed": 2}  # as `_native.install_hook` takes them


class JemallocProfiler:
    """The profiler in the jemalloc that was preloaded when this process started."""

    name = "jemalloc"

    def __init__(self, settings: MemorySettings) -> None:
        self._settings = settings
        self._sampler_refused = ""  # why small objects are not sampled, though they could be

    @once
    def _jemalloc(self) -> Jemalloc | None:
        return jemalloc.loaded()

    @property
    def availability(self) -> Availability:
        """Whether it works here."""
        settled = self._settled
        if settled.available and process.uses_greenlets() and self._stacks == "native":
            return Availability(obstacles=(_ONLY_C_STACKS_OF_GREENLETS,))
        return replace(settled, caveats=(*settled.caveats, *self._present_caveats()))

    @property
    def active(self) -> bool:
        """Whether allocations are being sampled now."""
        return self._jemalloc is not None and self._jemalloc.active

    @property
    def sample_interval_bytes(self) -> int | None:
        """The mean number of allocated bytes between two samples; None where unavailable."""
        return self._required.sample_interval_bytes if self._settled.available else None

    @property
    def coverage(self) -> Coverage:
        """What its dumps show."""
        small = self._sampler_is_needed and not self._sampler_refused
        small = small or process.small_objects_reach_malloc()
        lack = "" if small else ", but for Python objects of up to 512 bytes"
        whose = f"by Python and by C code{lack}"
        sees = f"everything that is allocated, {whose}, by {self._stacks} stack"
        return Coverage(self._stacks != "native", small, sees)

    @property
    def cost(self) -> Cost:
        """What it costs while it is active, and its hooks have cost."""
        expected = _COSTS[self._stacks]
        if native.obstacle():
            return Cost(expected)
        hook, sampler = native.part.hook_facts(), native.part.sampler_facts()
        taken = hook["taken"] + sampler["taken"]
        return Cost(expected, taken, (hook["nanoseconds"] + sampler["nanoseconds"]) / 1e9)

    def start(self, wish: Wish) -> None:
        """Begin to sample; raises `BusyError` for another interval that may not discard."""
        wanted, has = wish.lg_interval, self._lg_interval
        if wanted not in (None, has) and not wish.discard:
            raise BusyError(
                f"jemalloc samples every {1 << has} bytes, and can change that only by "
                "throwing away what it has sampled",
                remedy='Dump first, then say {"discard": true}; or set '
                "memory.sample_interval_bytes and start the program anew",
                code="interval_is_fixed",
            )
        if wish.discard:
            self._discard(has if wanted is None else wanted)
        self._take_hold()
        self._required.set_active(active=True)

    def stop(self) -> None:
        """Cease to sample. What was sampled stays: `prof.reset` would throw it away."""
        self._required.set_active(active=False)
        if self._sampler_is_needed:
            native.part.stop_sampler()

    def dump(self, draft: Draft, scratch: Draft, facts: Mapping[str, str]) -> int:
        """Write both kinds of samples to `draft`; returns their number. Raises `OSError`."""
        self._required.dump(scratch.path)
        heap = heap_v2.take_apart(scratch.descriptor)
        if heap is None:
            raise OSError(errno.EIO, "jemalloc wrote an incomplete profile", str(draft.path))
        if native.obstacle():
            return _copy(scratch, draft, heap)
        allocated = self._required.statistics()
        facts = {**facts, **lost_samples(), "stacks": self._stacks}
        if allocated:
            facts["allocated_bytes"] = str(allocated.allocated)
            if not process.small_objects_reach_malloc():
                facts["allocated_lacks"] = "Python's small objects"
        parts = (heap.records, heap.mapped, heap.size, heap.objects, heap.bytes)
        described = (scratch.descriptor, *parts)
        lines, lg_interval = preface(facts), self._lg_interval
        return native.part.write_dump(draft.descriptor, lines, lg_interval, described)

    def live_bytes(self) -> int | None:
        """Return what jemalloc has handed out, and an estimate of what never reaches malloc.

        The latter is what the sampler has seen since it was started; each of its samples stands
        for an interval of small blocks, the present one.
        """
        allocated = self._jemalloc.allocated if self._jemalloc else None
        if allocated is None or not self._sampler_is_needed:
            return allocated
        facts = native.part.sampler_facts()
        return allocated + (facts["live"] << facts["lg_interval"])

    def allocator(self) -> dict[str, int] | None:
        """Return the allocator's statistics in bytes; None without a jemalloc."""
        statistics = self._jemalloc.statistics() if self._jemalloc else None
        return asdict(statistics) if statistics else None

    @once
    def _settled(self) -> Availability:
        """Find out what was settled when the process started."""
        found, environment = self._jemalloc, process.initial_environment()
        obstacle = _obstacle(found, environment)
        if obstacle or not found:
            return Availability(obstacles=(obstacle,) if obstacle else ())
        caveats = _caveats(found, environment, self._settings)
        return Availability(caveats=caveats, facts=_facts(found))

    @property
    def _required(self) -> Jemalloc:
        if self._jemalloc is None:
            raise RuntimeError("jemalloc is not loaded: ask for `availability` first")
        return self._jemalloc

    @property
    def _lg_interval(self) -> int:
        return self._required.sample_interval_bytes.bit_length() - 1

    @property
    def _stacks(self) -> str:
        """The kind of stacks that are recorded by the next start."""
        found = self._jemalloc
        if found is None or _no_python_stacks(found):
            return "native"
        return "python" if process.uses_greenlets() else self._settings.stacks

    def _present_caveats(self) -> tuple[Reason, ...]:
        """Return those that come and go with what the program does."""
        caveats = removed_hooks() if self._sampler_is_needed else ()
        if self._sampler_refused:
            caveats = (_refused(self._sampler_refused),)
        if process.uses_greenlets() and self._settings.stacks != "python":
            caveats = (*caveats, _NO_C_STACKS_OF_GREENLETS)
        return caveats

    @once
    def _sampler_is_needed(self) -> bool:
        return not process.small_objects_reach_malloc() and not native.obstacle()

    def _discard(self, lg_interval: int) -> None:
        self._required.reset(lg_interval)
        if self._sampler_is_needed:
            native.part.stop_sampler()  # it is started again at this interval
            native.part.discard_samples()

    def _take_hold(self) -> None:
        """Put our hooks in, where there are any; those that are in already stay."""
        address = self._required.mallctl_address
        if not _no_python_stacks(self._required):
            native.part.install_hook(address, _STACKS[self._stacks])
        if not self._sampler_is_needed or is_sampling():
            return
        budget = self._settings.overhead_budget_percent / 100
        try:
            start_sampler(self._lg_interval, budget, address)
        except NotSupportedError as error:
            self._sampler_refused = error.message
        else:
            self._sampler_refused = ""


_NO_C_STACKS_OF_GREENLETS = Reason(
    "Stacks are of Python functions only: this program uses greenlets, and to unwind their C "
    "stacks has crashed",
    "Set memory.stacks: python",
)
_ONLY_C_STACKS_OF_GREENLETS = Reason(
    "Only C stacks could be recorded here, and this program uses greenlets: to unwind their C "
    "stacks has crashed",
    "Set memory.profiler: sampler, or see to it that Python stacks can be had (endoscope doctor)",
)


def _refused(why: str) -> Reason:
    return Reason(
        f"Python objects of up to 512 bytes are not in the profile: {why}",
        "Start profiling before the other one, or do without it",
    )


def _copy(source: Draft, target: Draft, heap: HeapFile) -> int:
    """Make jemalloc's profile the dump, as it is; returns the number of samples."""
    done = 0
    while done < heap.size:
        done += os.copy_file_range(
            source.descriptor, target.descriptor, heap.size - done, done, done
        )
    return heap.objects


def _obstacle(found: Jemalloc | None, environment: Mapping[str, str]) -> Reason | None:
    if sys.platform != "linux":
        return Reason(
            f"jemalloc's heap profiler is not supported on this platform ({sys.platform}), "
            "only on Linux",
            "Set memory.profiler: auto, which goes on without it, or run the program on Linux",
        )
    if found is None:
        return _not_loaded(environment)
    if not found.built_for_profiling:
        return Reason(
            f"{_name(found)} was built without profiling",
            "Preload one that was built with --enable-prof, such as Debian's libjemalloc2 "
            "(setting memory.jemalloc_path)",
        )
    return None if found.profiling_enabled else _not_enabled(found, environment)


def _not_loaded(environment: Mapping[str, str]) -> Reason:
    remedy = f"{_HOW_TO_START}. If jemalloc is not installed: {install_command()}"
    preload = environment.get("LD_PRELOAD")
    why = f": LD_PRELOAD={preload} did not bring it" if preload else ""
    return Reason(f"jemalloc is not loaded in this process{why}", remedy)


def _not_enabled(found: Jemalloc, environment: Mapping[str, str]) -> Reason:
    name = malloc_conf.variable(found.prefix)
    return Reason(
        f"{_name(found)} was started with profiling switched off: "
        f"{_why_not_enabled(name, environment)}",
        f"Start the program with `endoscope run`, or with {name}=prof:true,prof_active:false",
    )


def _why_not_enabled(name: str, environment: Mapping[str, str]) -> str:
    text = environment.get(name)
    if text is None:
        others = (malloc_conf.variable(prefix) for prefix in ("", "_rjem_"))
        other = next((other for other in others if other in environment), None)
        return f"it reads {name}, not {other}" if other else f"{name} was not set"
    if malloc_conf.parse(text).get("prof") == "false":
        return f"{name} says prof:false"
    mistake = malloc_conf.mistake(text)
    return f"{name}={text} did not apply" + (f", because {mistake}" if mistake else "")


def _caveats(
    found: Jemalloc, environment: Mapping[str, str], settings: MemorySettings
) -> tuple[Reason, ...]:
    caveats = (
        _another_malloc(found),
        _no_python_stacks(found),
        _hidden_small_objects(environment),
        _mistaken_options(found, environment) or _other_interval(found, settings),
        _musl(),
    )
    return tuple(caveat for caveat in caveats if caveat)


def _another_malloc(found: Jemalloc) -> Reason | None:
    if found.serves_malloc:
        return None
    return Reason(
        f"{_name(found)} is loaded, but malloc is another library's: little will be seen",
        "Put jemalloc first in LD_PRELOAD, before any other allocator",
    )


def _no_python_stacks(found: Jemalloc) -> Reason | None:
    if obstacle := native.obstacle():
        return Reason(f"Stacks show C functions only: {obstacle.message}", obstacle.remedy)
    if not found.asks_for_stacks:
        return Reason(
            f"Stacks show C functions only: {_name(found)} does not ask for Python's",
            "Preload jemalloc 5.3.0 or later (setting memory.jemalloc_path)",
        )
    if native.part.usable_in_malloc():
        return None
    return Reason(
        "Stacks of what C code allocates show C functions only: this Python is a shared library "
        "whose thread states must not be looked for inside malloc",
        "Use a Python that is all in its executable, or set memory.profiler: sampler",
    )


def _hidden_small_objects(environment: Mapping[str, str]) -> Reason | None:
    """Say why small objects are not seen, where the sampler cannot see them either."""
    if process.small_objects_reach_malloc() or not native.obstacle():
        return None
    if process.ignores_python_variables():
        why = "python was started with -E or -I, which ignore PYTHONMALLOC"
        remedy = "Start python without -E and -I, with PYTHONMALLOC=malloc"
    else:
        setting = environment.get("PYTHONMALLOC")
        why = f"PYTHONMALLOC is {setting}" if setting else "PYTHONMALLOC is not set"
        remedy = "Start the program with PYTHONMALLOC=malloc, as `endoscope run` does"
    return Reason(f"Python objects of up to 512 bytes are not in the profile: {why}", remedy)


def _mistaken_options(found: Jemalloc, environment: Mapping[str, str]) -> Reason | None:
    name = malloc_conf.variable(found.prefix)
    text = environment.get(name, "")
    if not text or not (mistake := malloc_conf.mistake(text)):
        return None
    return Reason(
        f"A part of {name}={text} did not apply: {mistake}",
        f"Write {name} as name:value pairs with commas between and no blanks",
    )


def _other_interval(found: Jemalloc, settings: MemorySettings) -> Reason | None:
    interval, wanted = found.sample_interval_bytes, 1 << settings.lg_sample_interval
    asked_for = "sample_interval_bytes" in settings.model_fields_set
    if not asked_for or wanted == interval:
        return None
    return Reason(
        f"jemalloc was started with a sample interval of {interval} bytes, "
        f"not {wanted} as memory.sample_interval_bytes asks for",
        "Start the program with `endoscope run`, and without lg_prof_sample in "
        f"{malloc_conf.variable(found.prefix)}",
    )


def _musl() -> Reason | None:
    if not process.runs_on_musl():
        return None
    return Reason(
        "This Python runs on musl, where jemalloc's stack unwinder has been seen to deadlock",
        "Use an image with the GNU C library, such as python:slim, for heap profiles",
    )


def _facts(found: Jemalloc) -> tuple[str, ...]:
    return (
        f"{_name(found)} has profiling switched on",
        f"one sample is taken per {found.sample_interval_bytes} allocated bytes",
    )


def _name(found: Jemalloc) -> str:
    return f"jemalloc {found.version}" + (f" ({found.library})" if found.library else "")
