"""A process that `heap_profiling.py` measures: does what its argument says, prints JSON.

It is started by the parts of that benchmark, each time anew; the last line of what it prints
is the result.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

from heap import child_cost, child_dump, child_sample

TASKS = {"cost": child_cost.Task, "sample": child_sample.Task, "dump": child_dump.Task}


def main() -> None:
    """Do the task."""
    request = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="heap-profiling-") as folder:
        result = TASKS[request.pop("task")](**request).run(Path(folder))
    print(json.dumps(result), flush=True)
    os._exit(0)  # gigabytes need not be taken apart, nor profilers be stopped


if __name__ == "__main__":
    main()
