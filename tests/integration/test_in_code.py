"""`endoscope.start()` in a host's own code."""

from __future__ import annotations

import json
import sys

ASK = """
import base64, endoscope, json, os, sys, threading, time, urllib.request

def settings(name, secret):
    return {"enabled": True, "listen": "127.0.0.1:0", "shared_secret": secret,
            "service_name": name, "output_directory": os.path.join(sys.argv[1], name)}

def ask(diagnostics, secret, path=""):
    token = base64.b64encode(secret.encode()).decode()
    request = urllib.request.Request(f"http://{diagnostics.address}/diagnostics{path}",
                                     headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)

def held():
    descriptors = sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                         if os.path.lexists(f"/proc/self/fd/{n}"))
    return {"threads": len(os.listdir("/proc/self/task")), "python": threading.active_count(),
            "descriptors": [d.partition(":")[0] for d in descriptors if "/proc/" not in d]}
"""

TWO = """
with endoscope.start(settings=settings("one", "secret-one-1")) as one, \\
        endoscope.start(settings=settings("two", "secret-two-2")) as two:
    names = [ask(one, "secret-one-1")["service"], ask(two, "secret-two-2")["service"]]
    try:
        ask(one, "secret-two-2")
        crossed = 200
    except urllib.error.HTTPError as error:
        crossed = error.code
    print(json.dumps([names, crossed, one.address.port != two.address.port]))
"""

TEN_TIMES = """
def once():
    with endoscope.start(settings=settings("again", "secret-again")) as diagnostics:
        assert diagnostics.wait_until_serving()
        ask(diagnostics, "secret-again", "/plugins")
        ask(diagnostics, "secret-again", "/memory/dumps")

once()  # what is loaded once and kept (random devices and the like) is not a leak
for _ in range(100):
    if held()["threads"] == 1: break
    time.sleep(0.05)
before = held()
for _ in range(10):
    once()
for _ in range(100):
    if held() == before: break
    time.sleep(0.05)
print(json.dumps([before, held()]))
"""

DISABLED = """
diagnostics = endoscope.start(settings={"enabled": False})
print(json.dumps([diagnostics.address, threading.active_count()]))
diagnostics.stop()
"""


def test_two_in_one_process_do_not_meet(run, tmp_path):
    done = run([sys.executable, "-c", ASK + TWO, tmp_path])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["one", "two"], 401, True]


def test_ten_starts_and_stops_leave_nothing_behind(run, tmp_path):
    done = run([sys.executable, "-c", ASK + TEN_TIMES, tmp_path], seconds=60)
    assert done.returncode == 0, done.stderr
    before, after = json.loads(done.stdout)
    assert after == before
    assert before["threads"] == before["python"] == 1
    assert "socket" not in before["descriptors"]


def test_disabled_does_nothing(run, tmp_path):
    done = run([sys.executable, "-c", ASK + DISABLED, tmp_path])
    assert (done.returncode, json.loads(done.stdout)) == (0, [None, 1])
