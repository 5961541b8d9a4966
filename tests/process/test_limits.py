import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import limits
from endoscope_process.limits import Limit

NAMES = {
    "open files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "stack size": resource.RLIMIT_STACK,
    "core file size": resource.RLIMIT_CORE,
    "address space": resource.RLIMIT_AS,
    "cpu time": resource.RLIMIT_CPU,
    "locked memory": resource.RLIMIT_MEMLOCK,
}


def value(limit):
    return "unlimited" if limit == resource.RLIM_INFINITY else limit


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_those_that_getrlimit_says(name):
    (found,) = [limit for limit in limits.tell()["process"] if limit.name == name]
    assert (found.soft, found.hard) == tuple(map(value, resource.getrlimit(NAMES[name])))


def test_all_sixteen_limits_of_the_kernel_are_read():
    assert len(limits.tell()["process"]) == 16


def test_lines_with_and_without_units():
    text = (
        "Limit                     Soft Limit           Hard Limit           Units     \n"
        "Max open files            1024                 unlimited            files     \n"
        "Max nice priority         0                    0                    \n"
    )
    assert limits.parse(text) == [
        Limit("open files", 1024, "unlimited", "files"),
        Limit("nice priority", 0, 0, None),
    ]


def test_the_machine_s_limits():
    machine = limits.tell()["machine"]
    with open("/proc/sys/kernel/pid_max", encoding="ascii") as file:
        assert machine["process_ids"] == int(file.read())
    assert isinstance(machine["core_pattern"], str)


@given(st.text(alphabet="Max open files1024unlimited \n²") | st.text())
def test_hostile_text_gives_limits_or_none(text):
    for limit in limits.parse(text):
        assert limit.name
        assert limit.soft == "unlimited" or limit.soft >= 0
