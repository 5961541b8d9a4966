"""In the child: what one sample costs, at stacks of a given depth."""

from __future__ import annotations

import gc
import itertools
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heap import profilers

# A function as services have them: its table of lines has some 200 bytes.
_FUNCTION = """
def function_{number}(call):
    if call is None:
        for key, value in {{}}.items():
            first = [key, value]
            second = {{"a": first, "b": (key, value)}}
            if first == second or len(first) > len(second):
                raise ValueError(f"{{first}} and {{second}}")
            third = sorted(first, key=lambda each: each.name)
            print(first, second, third, sep=", ", end="!")
        return None
    return {next}
"""
OVERHEAD = 33  # bytes that a bytes object has beside its content
FRAMES_AROUND = 8  # those below the stack, and above
FEWEST = 0.5  # fewer samples per expected one are of something else

Stack = Callable[[Callable[[], None]], None]


@dataclass(frozen=True)
class Task:
    """Blocks of `size` bytes, made and freed `depth` frames deep, sampled and not, by turns."""

    settings: dict[str, Any]
    size: int
    depth: int
    blocks: int
    turns: int

    def run(self, folder: Path) -> dict[str, float]:
        """Return nanoseconds per sample.

        `whole` by the difference in CPU time, whatever has to do with it included, and `hooks`
        as our hooks count it, 0 if they did not. `counted`: samples per expected sample.
        """
        recorder = profilers.recorder(self.settings, folder)
        stack = functions(self.depth - FRAMES_AROUND)
        gc.disable()
        recorder.start()
        self._seconds(stack)
        turns = [self._turn(recorder, stack) for _ in range(self.turns)]
        return {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}

    def _turn(self, recorder: Any, stack: Stack) -> dict[str, float]:
        recorder.stop()
        without = self._seconds(stack)
        recorder.start()
        interval = recorder.status().sample_interval_bytes
        before = profilers.native_samples()
        sampled = self._seconds(stack)
        after = profilers.native_samples()
        number, spent = after[0] - before[0], after[1] - before[1]
        expected = self.blocks * -math.expm1(-self.size / interval)
        return {
            "whole": (sampled - without) / expected * 1e9,
            "hooks": spent / number * 1e9 if number / expected > FEWEST else 0.0,
            "counted": number / expected,
        }

    def _seconds(self, stack: Stack) -> float:
        began = time.process_time()
        stack(lambda: allocate(self.size - OVERHEAD, self.blocks))
        return time.process_time() - began


def allocate(content: int, blocks: int) -> None:
    """Make so many blocks, and drop each.

    Not by `bytes(content)`, which asks for zeros: those jemalloc has the kernel make anew for
    each sample, which is dearer than all the rest and not what programs mostly ask for.
    """
    one = b"."
    for _ in itertools.repeat(None, blocks):
        one * content


def functions(depth: int) -> Stack:
    """Return a function that calls what it is given through so many different functions."""
    namespace: dict[str, Any] = {}
    for number in range(max(1, depth)):
        following = f"function_{number - 1}(call)" if number else "call()"
        source = _FUNCTION.format(number=number, next=following)
        exec(compile(source, f"/service/module_{number}.py", "exec"), namespace)  # noqa: S102
    return namespace[f"function_{max(1, depth) - 1}"]  # type: ignore[no-any-return]
