"""What a forked child makes of the profiling that it goes on with."""

import os
import signal
import threading

import pytest

from endoscope_memory import conversion

BEGIN = """
import json, os, signal, sys, threading
import endoscope
from hosted import ask, make_plugin
from endoscope_profiles import read

def plugin_of(**settings):  # made anew in the child, as core does
    return make_plugin(sys.argv[1], profiler=sys.argv[2], **settings)

def in_child(check):
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        signal.alarm(30)
        os.write(writing, json.dumps(check()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        told = json.load(file)
    os.waitpid(child, 0)
    return told

def keep(): return [bytearray(3000) for _ in range(4000)]

def held(plugin, name):
    with ask(plugin, "GET", "/dumps/" + name).file as file:
        return read(file.read())
"""

GOES_ON = """
parent = plugin_of()
ask(parent, "POST", "/start")
kept = keep()
since = ask(parent, "GET", "/status").value["active_since"]

def child():
    plugin = plugin_of()
    told = [ask(plugin, "GET", "/status").value["active_since"] == since]
    ask(plugin, "POST", "/start")  # as it is asked of whoever joins
    told.append(ask(plugin, "GET", "/status").value["active_since"] == since)
    dumped = ask(plugin, "POST", "/dump").value
    profile = held(plugin, dumped["name"])
    told.append((dumped["pid"], profile.facts["pid"]) == (os.getpid(), str(os.getpid())))
    told.append(profile.facts["profiling_since"] == since)
    told.append(8e6 < profile.bytes < 25e6)  # of which the parent holds 12 MB
    ask(plugin, "POST", "/stop")
    status = ask(plugin, "GET", "/status").value
    told.append((status["status"], status["active_since"]) == ("inactive", None))
    again = held(plugin, ask(plugin, "POST", "/dump").value["name"])
    told.append(again.facts["profiling_since"] == since and again.bytes > 8e6)
    return told

print(json.dumps([in_child(child), ask(parent, "GET", "/status").value["active_since"] == since]))
"""

OWN_NUMBERS = """
from endoscope_memory import _native
ask(plugin_of(overhead_budget_percent=0), "POST", "/start")

def child():
    before = _native.sampler_facts()["taken"]
    kept = [keep() for _ in range(10)]
    return _native.sampler_facts()["taken"] - before

print(json.dumps([in_child(child) for _ in range(8)]))
"""

ENDS = """
ask(plugin_of(), "POST", "/start")
kept = keep()

def child():
    plugin = plugin_of()
    plugin.endoscope_start()
    before = ask(plugin, "GET", "/status").value["status"]
    plugin.endoscope_stop()
    return [before, ask(plugin, "GET", "/status").value["status"]]

parent = plugin_of()
print(json.dumps([in_child(child), ask(parent, "GET", "/status").value["status"]]))
"""

WHILE_OTHERS_DUMP = """
parent = plugin_of(keep_dumps=3)
ask(parent, "POST", "/start")
kept = keep()
over = threading.Event()

def dump_again_and_again():
    while not over.is_set():
        try:
            ask(parent, "POST", "/dump")
        except endoscope.BusyError:
            pass

def child():
    plugin = plugin_of()
    ask(plugin, "POST", "/dump")
    ask(plugin, "POST", "/stop")
    dumped = ask(plugin, "POST", "/dump").value
    return [dumped["pid"] == os.getpid(), *dumped["notes"]]

threads = [threading.Thread(target=dump_again_and_again) for _ in range(2)]
for thread in threads: thread.start()
told = [in_child(child) for _ in range(10)]
over.set()
for thread in threads: thread.join()
print(json.dumps(told))
"""


@pytest.fixture(params=["sampler", "jemalloc"])
def run(request, plain, under_jemalloc, folder):
    """Run a snippet with one profiler and then with the other."""
    runs = {"sampler": plain, "jemalloc": under_jemalloc}

    def ask(snippet):
        return runs[request.param](BEGIN + snippet, folder, request.param).answer

    return ask


def test_a_child_goes_on_with_the_profiling_and_says_since_when(run):
    assert run(GOES_ON) == [[True] * 7, True]


def test_profiling_ends_with_the_child_s_diagnostics_in_the_child_only(run):
    assert run(ENDS) == [["active", "inactive"], "active"]


def test_a_child_that_is_forked_while_others_dump_dumps_as_well(run):
    assert run(WHILE_OTHERS_DUMP) == [[True]] * 10


def test_a_child_has_all_places_for_conversions(monkeypatch):
    for name in ("_places", "_slots"):
        monkeypatch.setattr(conversion, name, threading.BoundedSemaphore(1))
        assert getattr(conversion, name).acquire(blocking=False)
    if (child := os.fork()) == 0:
        signal.alarm(10)
        with conversion._slot(), conversion._slot():
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert not conversion._slots.acquire(blocking=False)


def test_children_that_do_the_same_sample_on_their_own(run):
    taken = run(OWN_NUMBERS)
    assert len(set(taken)) > 1
