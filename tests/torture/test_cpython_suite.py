"""CPython's own regression tests, profiled: what passes without us passes with us."""

import importlib.util
import os

import pytest

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]

MODULES = [
    "test__xxsubinterpreters",
    "test_asyncgen",
    "test_capi",
    "test_code",
    "test_concurrent_futures",
    "test_coroutines",
    "test_exceptions",
    "test_frame",
    "test_gc",
    "test_generators",
    "test_interpreters",
    "test_list",
    "test_multiprocessing_main_handling",
    "test_subprocess",
    "test_sys_settrace",
    "test_thread",
    "test_threadedtempfile",
    "test_threading",
    "test_threadsignals",
    "test_tracemalloc",
    "test_unicode",
    "test_weakref",
    "test_asyncio.test_base_events",
    "test_asyncio.test_events",
    "test_asyncio.test_locks",
    "test_asyncio.test_queues",
    "test_asyncio.test_runners",
    "test_asyncio.test_streams",
    "test_asyncio.test_subprocess",
    "test_asyncio.test_taskgroups",
    "test_asyncio.test_tasks",
    "test_asyncio.test_threads",
    "test_asyncio.test_unix_events",
    "test_asyncio.test_waitfor",
]


def _exists(module):
    try:
        return importlib.util.find_spec(f"test.{module}") is not None
    except ImportError:
        return False


@pytest.mark.parametrize("module", MODULES)
def test_cpythons_own_tests(way, site, tmp_path, module):
    if not _exists(module):
        pytest.skip(f"this Python has no test.{module}")
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))

    def run(**environment):
        return way.run(
            ["-m", "test", module], 800, TMPDIR=str(tmp_path), PYTHONPATH=path, **environment
        )

    profiled = run(TORTURE=f"{way.kind} {way.lg_interval}")
    if profiled.returncode != 0 and run().returncode != 0:
        pytest.skip("it fails without us, too")
    assert profiled.returncode == 0, (profiled.stdout + profiled.stderr)[-8000:]
