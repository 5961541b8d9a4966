import re
import subprocess
import sys
import warnings

import pytest

from endoscope_python import warning_filters
from endoscope_python.warning_filters import Filter


class OwnWarning(UserWarning):
    pass


def test_filters_are_told_in_order():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "sl.w", OwnWarning, r"x\.y", 7)
        first, *_ = found = warning_filters.tell()["filters"]
        assert len(found) == len(warnings.filters)
    assert first == Filter("error", "sl.w", f"{__name__}.OwnWarning", r"x\.y", 7)


@pytest.mark.parametrize("message", ["x", re.compile("x"), None])
def test_patterns_may_be_strings(message):
    entry = ("ignore", message, Warning, None, 0)
    pattern = None if message is None else "x"
    assert warning_filters.describe(entry) == Filter("ignore", pattern, "Warning", None, 0)


def test_an_entry_of_another_form_is_a_value_error():
    with pytest.raises(ValueError, match="unpack"):
        warning_filters.describe(("ignore",))


def test_options_are_those_of_the_command_line():
    snippet = "from endoscope_python import warning_filters as w; print(w.tell()['options'])"
    command = [sys.executable, "-W", "ignore::ImportWarning", "-c", snippet]
    output = subprocess.run(command, env={}, capture_output=True, check=True).stdout
    assert output == b"['ignore::ImportWarning']\n"
