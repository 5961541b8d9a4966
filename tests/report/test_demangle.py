"""Names, against c++filt where it is installed."""

import shutil
import subprocess

import pytest

from endoscope_report.demangle import demangler

PLAIN = {
    "malloc": "malloc",
    "_ZN4shop6Basket3addEi": "shop::Basket::add(int)",
    "_ZNSt6vectorIiSaIiEE9push_backERKi": (
        "std::vector<int, std::allocator<int> >::push_back(int const&)"
    ),
    "_Znwm": "operator new(unsigned long)",
    "_Z": "_Z",
    "_ZZZZ": "_ZZZZ",
    "": "",
    "über": "über",
}
CLONES = {
    "hidden.constprop.0": "hidden",
    "hidden.part.0.isra.1.cold": "hidden",
    "_ZN4shop6Basket3addEi.cold": "shop::Basket::add(int)",
    "PyImport_Import.localalias": "PyImport_Import",
    "cold": "cold",
    "a.cold.b": "a.cold.b",
}
RUST = {
    "_ZN4core3fmt5write17h0123456789abcdefE": "core::fmt::write",
    "_ZN55_$LT$alloc..vec..Vec$LT$T$GT$$u20$as$u20$core..Drop$GT$4drop17h0123456789abcdefE": (
        "<alloc::vec::Vec<T> as core::Drop>::drop"
    ),
    "_ZN4main28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE": "main::{{closure}}",
    "_ZN4main9$uffffff$17h0123456789abcdefE": "main::$uffffff$",
    "_RNvC4main3run": "_RNvC4main3run",
}


@pytest.fixture(scope="module")
def demangle():
    found = demangler()
    if found("_Z1fv") != "f()":
        pytest.skip("no C++ library is installed")
    return found


@pytest.mark.parametrize("name", [*PLAIN, *CLONES, *RUST])
def test_a_name(demangle, name):
    assert demangle(name) == {**PLAIN, **CLONES, **RUST}[name]


def test_as_binutils_does_it(demangle):
    if (program := shutil.which("c++filt")) is None:
        pytest.skip("c++filt is not installed")
    names = [name for name in PLAIN if name]
    done = subprocess.run([program, *names], capture_output=True, text=True, check=True)
    assert [demangle(name) for name in names] == done.stdout.splitlines()
