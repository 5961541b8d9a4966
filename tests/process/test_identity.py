import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import identity, proc
from endoscope_process.proc import Stat


def test_identities_are_those_that_python_says():
    status = identity.tell()["status"]
    assert tuple(status["uid"][:3]) == os.getresuid()
    assert tuple(status["gid"][:3]) == os.getresgid()
    assert status["groups"] == sorted(os.getgroups())
    assert status["cpus_allowed_count"] == len(os.sched_getaffinity(os.getpid()))


def test_the_umask_is_read_and_stays():
    before = os.umask(0o027)
    try:
        assert identity.tell()["status"]["umask"] == "0027"
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_places_are_those_that_python_says():
    found = identity.tell()
    assert found["working_directory"] == os.getcwd()
    assert found["executable"] == os.path.realpath("/proc/self/exe")
    assert found["root"] == "/"
    assert found["parent_pid"] == os.getppid()


def test_scheduling_is_what_the_kernel_says():
    found = identity.tell()["scheduling"]
    assert found["nice"] == os.getpriority(os.PRIO_PROCESS, os.getpid())
    names = {os.SCHED_OTHER: "other", os.SCHED_BATCH: "batch", os.SCHED_IDLE: "idle"}
    assert found["policy"] == names[os.sched_getscheduler(os.getpid())]


def test_an_unknown_policy_is_a_number():
    stat = Stat("x", tuple("0" * 16 + "5" + "0" * 21 + "9"))
    assert identity.scheduling(stat) == {"nice": 5, "policy": "9"}


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        ("0000000000000000", []),
        ("0000000000000001", ["chown"]),
        ("000001ffffffffff", list(identity.CAPABILITIES)),
        ("0000020000200000", ["sys_admin", "41"]),
        (None, None),
        ("x", None),
    ],
)
def test_capabilities_by_bit(mask, names):
    assert identity.capabilities(mask) == names


@pytest.mark.parametrize(
    ("name", "bit"),  # as in the kernel's uapi/linux/capability.h
    [("net_bind_service", 10), ("sys_ptrace", 19), ("sys_admin", 21), ("sys_resource", 24)],
)
def test_capabilities_are_numbered_as_in_the_kernel_s_header(name, bit):
    assert identity.CAPABILITIES.index(name) == bit


def test_what_the_status_does_not_say_is_null():
    found = identity.rights({})
    for name in ("umask", "no_new_privileges", "seccomp", "cpus_allowed", "cpus_allowed_count"):
        assert found[name] is None
    assert found["uid"] == []


def test_no_new_privileges_are_seen_in_a_child():
    snippet = """
import ctypes
from endoscope_process import identity
ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
print(identity.tell()["status"]["no_new_privileges"])
"""
    command = [sys.executable, "-c", snippet]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"True\n"
    with open("/proc/self/status", encoding="ascii") as file:
        expected = "NoNewPrivs:\t1" in file.read()
    assert identity.tell()["status"]["no_new_privileges"] is expected


@given(st.text(alphabet="0123456789 abcdef\n²:UidCapEff\t"))
def test_hostile_text_is_read(text):
    assert identity.rights(proc.fields(text)).keys() == identity.rights({}).keys()
