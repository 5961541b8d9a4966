import os
import platform
import socket
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import system


def test_the_system_is_what_uname_says():
    found = system.tell()
    assert found["hostname"] == socket.gethostname()
    assert found["kernel"]["release"] == platform.release()
    assert found["process"]["pid"] == os.getpid()
    assert found["cpus_online"] == os.cpu_count()


def test_the_distribution_is_what_python_reads():
    assert system.operating_system() == platform.freedesktop_os_release()


def test_the_boot_id_is_the_kernel_s():
    by_cat = subprocess.run(
        ["cat", "/proc/sys/kernel/random/boot_id"], capture_output=True, check=True, text=True
    ).stdout
    assert system.tell()["boot_id"] == by_cat.strip()


def test_the_process_started_when_ps_says():
    by_ps = subprocess.run(
        ["ps", "-o", "etimes=", "-p", str(os.getpid())], capture_output=True, check=True, text=True
    ).stdout
    assert system.process_started() == pytest.approx(time.time() - int(by_ps), abs=3)


def test_lines_of_os_release():
    text = "NAME=\"A 'b' c\"\nID=x\n# comment=1\n\nBROKEN=\"open\nPATH_1='one two'\nnone\n"
    assert system.release(text) == {
        "NAME": "A 'b' c",
        "ID": "x",
        "BROKEN": '"open',
        "PATH_1": "one two",
    }


@given(st.text(alphabet="AB=\"'\\# \n") | st.text())
def test_hostile_text_gives_names_or_none(text):
    assert all(name.isidentifier() for name in system.release(text))
