import gc
import json
import platform
import subprocess
import sys

import pytest

from endoscope_python import interpreter

SHOW = """
from endoscope import json_document
from endoscope_python import interpreter
print(json_document(interpreter.tell).decode())
"""


def run(*options, **variables):
    command = [sys.executable, *options, "-c", SHOW]
    return json.loads(
        subprocess.run(command, env=variables, capture_output=True, check=True).stdout
    )


def test_the_interpreter_is_the_one_that_platform_knows():
    found = interpreter.tell()
    assert found["version"] == sys.version
    assert found["implementation"]["name"] == platform.python_implementation().lower()
    assert found["build"]["compiler"] == platform.python_compiler()
    assert found["platform"]["libc"] == " ".join(platform.libc_ver())
    assert found["platform"]["pointer_bits"] == int(platform.architecture()[0].removesuffix("bit"))


def test_every_flag_is_told():
    shown = dict(interpreter.flags())
    shown.pop("hash_seed_chosen")
    for name, value in shown.items():
        assert f"{name}={value!r}" in repr(sys.flags)
    assert len(shown) == repr(sys.flags).count("=")


@pytest.mark.parametrize(
    ("options", "seed", "chosen"),
    [
        ((), None, False),
        ((), "random", False),
        ((), "0", True),
        ((), "7", True),
        (("-E",), "7", False),
    ],
)
def test_whether_the_seed_was_chosen(options, seed, chosen):
    variables = {} if seed is None else {"PYTHONHASHSEED": seed}
    found = run(*options, **variables)
    assert found["flags"]["hash_seed_chosen"] is chosen
    assert "PYTHONHASHSEED" not in json.dumps(found)


def test_options_flags_and_settings_of_another_start():
    found = run("-X", "dev", "-X", "int_max_str_digits=5000", "-W", "ignore", "-O")
    assert found["options"]["x"] == {"dev": True, "int_max_str_digits": "5000"}
    assert "ignore" in found["options"]["w"]
    assert (found["flags"]["dev_mode"], found["flags"]["optimize"]) == (True, 1)
    assert found["settings"]["int_max_str_digits"] == 5000
    assert found["settings"]["fault_handler_enabled"] is True


def test_the_collector_s_state_is_what_gc_says():
    gc.disable()
    try:
        assert interpreter.garbage_collector()["enabled"] is False
    finally:
        gc.enable()
    found = interpreter.garbage_collector()
    assert found["enabled"] is True
    assert found["thresholds"] == gc.get_threshold()
    assert len(found["statistics"]) == len(gc.get_stats())


def test_settings_follow_the_program():
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + 7)
    try:
        assert interpreter.settings()["recursion_limit"] == before + 7
    finally:
        sys.setrecursionlimit(before)


def test_a_virtual_environment_shows_in_the_prefixes():
    places = interpreter.places()
    assert (places["prefix"], places["base_prefix"]) == (sys.prefix, sys.base_prefix)
