import json
import ssl
import subprocess
import sys
import sysconfig
import zlib

from endoscope_python import build


def test_variables_are_those_of_sysconfig_in_another_process():
    snippet = "import json, sysconfig; print(json.dumps(sysconfig.get_config_vars()))"
    command = [sys.executable, "-c", snippet]
    expected = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    for name, value in build.variables().items():
        assert value == expected.get(name), name


def test_what_python_was_configured_with_is_among_them():
    found = build.tell()["variables"]
    assert found["CONFIG_ARGS"] == sysconfig.get_config_var("CONFIG_ARGS")
    assert found["SOABI"].startswith(sys.implementation.cache_tag)


def test_libraries_are_those_that_are_loaded():
    found = build.libraries()
    assert found["openssl"] == ssl.OPENSSL_VERSION
    assert found["zlib"] == zlib.ZLIB_RUNTIME_VERSION


def test_a_library_that_is_not_loaded_stays_so(monkeypatch):
    monkeypatch.delitem(sys.modules, "_ssl")
    assert build.libraries()["openssl"] is None
    assert "_ssl" not in sys.modules
