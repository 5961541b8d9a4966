import os
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import threads
from endoscope_process.threads import PythonThread

STAT = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 1"
STATUS = "voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"


@pytest.fixture
def waiting():
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait, name="waiter of a long name", daemon=True)
    thread.start()
    yield thread
    leave.set()
    thread.join()


def row(native_id):
    (found,) = [thread for thread in threads.look() if thread.native_id == native_id]
    return found


def test_a_thread_is_put_together():
    found = threads.parse(7, STAT, STATUS, 100, None)
    assert (found.name, found.state) == ("a) b", "sleeping")
    assert (found.user_seconds, found.system_seconds) == (2.5, 0.5)
    assert (found.voluntary_switches, found.nonvoluntary_switches) == (12, 3)


def test_python_s_threads_are_told_by_name(waiting):
    found = row(waiting.native_id)
    assert found.python == PythonThread("waiter of a long name", waiting.ident, True)
    main = row(os.getpid()).python
    assert (main.name, main.daemon) == (threading.main_thread().name, False)


def test_counts_agree_with_ps(waiting):
    found = threads.tell()
    by_ps = subprocess.run(
        ["ps", "-o", "nlwp=", "-p", str(os.getpid())], capture_output=True, check=True, text=True
    ).stdout
    assert found["count"] == threads.count() == int(by_ps)
    assert found["of_python"] == threading.active_count()
    assert sum(found["states"].values()) == found["count"]


def test_a_thread_of_a_c_library_is_not_python_s():
    snippet = """
import ctypes, os, threading
from endoscope_process import threads
libc = ctypes.CDLL(None)
thread, pause = ctypes.c_ulong(), ctypes.cast(libc.pause, ctypes.c_void_p)
assert libc.pthread_create(ctypes.byref(thread), None, pause, None) == 0
rows = list(threads.look())
print(len(rows), [row.python.name for row in rows if row.python], flush=True)
os._exit(0)
"""
    output = subprocess.run([sys.executable, "-c", snippet], capture_output=True, check=True).stdout
    assert output == b"2 ['MainThread']\n"


def test_times_are_those_of_the_thread():
    spent = time.thread_time()
    while time.thread_time() - spent < 0.1:
        pass
    found = row(threading.get_native_id())
    tick = 1 / os.sysconf("SC_CLK_TCK")
    assert found.user_seconds + found.system_seconds >= 0.1 - 2 * tick


def test_code_of_a_host_s_thread_class_is_not_run():
    class Hostile(threading.Thread):
        armed = False

        def __getattribute__(self, name):
            if type(self).armed and threading.current_thread() is threading.main_thread():
                raise SystemExit
            return super().__getattribute__(name)

    leave = threading.Event()
    thread = Hostile(target=leave.wait, name="hostile")
    thread.start()
    native_id = thread.native_id
    Hostile.armed = True
    try:
        found = threads.known_to_python()[native_id]
    finally:
        Hostile.armed = False
        leave.set()
        thread.join()
    assert found.name == "hostile"


def test_names_that_are_no_strings_are_left_out(waiting):
    waiting.__dict__["_name"] = object()
    assert row(waiting.native_id).python == PythonThread(None, waiting.ident, True)


@given(st.text(alphabet="7 (a) S012\n²") | st.text())
def test_hostile_text_is_a_thread_or_a_value_error(text):
    try:
        found = threads.parse(7, text, text, 100, None)
    except ValueError:
        found = None
    assert found is None or f"({found.name})" in text
