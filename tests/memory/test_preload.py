import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_memory import preload
from endoscope_memory.settings import MemorySettings

# The two libraries below are copies of this one: any shared object for this machine will do.
LIBRARY = Path(sys.executable).resolve()


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "libjemalloc.so.2"
    path.write_bytes(LIBRARY.read_bytes()[:64])
    return path


def test_the_variables_for_a_clean_environment(library):
    settings = MemorySettings(jemalloc_path=library, sample_interval_bytes=100_000)
    assert preload.launch_environment(settings, {}) == {
        "LD_PRELOAD": str(library),
        "MALLOC_CONF": "prof:true,prof_active:false,lg_prof_sample:17",
    }


def test_without_the_native_part_small_objects_must_come_from_malloc(
    library, plain, without_native
):
    snippet = f"""{without_native}
import json
from endoscope_memory import preload
from endoscope_memory.settings import MemorySettings
settings = MemorySettings(jemalloc_path={str(library)!r})
found = [preload.launch_environment(settings, each) for each in ({{}}, {{"PYTHONMALLOC": "debug"}})]
print(json.dumps([each["PYTHONMALLOC"] for each in found]))"""
    assert plain(snippet).answer == ["malloc", "debug"]


@pytest.mark.parametrize("profiler", ["sampler", "tracemalloc", "memray"])
def test_a_profiler_that_is_not_jemalloc_preloads_nothing(library, profiler):
    settings = MemorySettings(jemalloc_path=library, profiler=profiler)
    assert preload.launch_environment(settings, {}) == {}


def test_what_the_user_set_stays(library):
    settings = MemorySettings(jemalloc_path=library)
    environment = {
        "LD_PRELOAD": "/lib/a.so /lib/b.so",
        "MALLOC_CONF": "prof_active:true,narenas:2",
    }
    assert preload.launch_environment(settings, environment) == {
        "LD_PRELOAD": f"/lib/a.so:/lib/b.so:{library}",
        "MALLOC_CONF": "prof:true,prof_active:false,lg_prof_sample:19,prof_active:true,narenas:2",
    }


@pytest.mark.parametrize("present", ["libjemalloc.so.2", "/lib/a.so:/opt/libjemalloc.so", ""])
def test_launching_twice_changes_nothing_more(library, present):
    settings = MemorySettings(jemalloc_path=library)
    once = preload.launch_environment(settings, {"LD_PRELOAD": present})
    assert preload.launch_environment(settings, once) == once
    assert once["LD_PRELOAD"] == (present or str(library))


@given(st.lists(st.sampled_from(["/lib/a.so", "b.so", "/x/libtcmalloc.so.4"])), st.data())
def test_nobody_elses_preload_is_lost(entries, data):
    separators = st.sampled_from([" ", ":", " : "])
    present = "".join(entry + data.draw(separators) for entry in entries)
    extended = preload._preload(present, Path("/lib/libjemalloc.so.2"))
    assert extended.split(":") == [*entries, "/lib/libjemalloc.so.2"]


def test_no_jemalloc_leaves_the_environment_alone(tmp_path):
    settings = MemorySettings(jemalloc_path=tmp_path / "nowhere.so")
    assert preload.launch_environment(settings, {}) == {}


def test_another_platform_leaves_the_environment_alone(library, monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert preload.launch_environment(MemorySettings(jemalloc_path=library), {}) == {}


def test_a_library_for_another_machine_is_not_found(library):
    head = bytearray(library.read_bytes())
    head[18] ^= 1
    library.write_bytes(head)
    assert preload.find(MemorySettings(jemalloc_path=library), {}) is None


@pytest.mark.parametrize("content", [b"", b"INPUT(libjemalloc.so.2)", b"\x7fELF"])
def test_what_is_no_library_is_not_found(library, content):
    library.write_bytes(content)
    assert preload.find(MemorySettings(jemalloc_path=library), {}) is None


def test_conda_is_the_last_place_to_look(library, tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    library.rename(tmp_path / "lib" / library.name)
    found = list(preload._candidates({"CONDA_PREFIX": str(tmp_path)}))
    assert found[-2] == tmp_path / "lib" / library.name


def test_the_loader_cache_is_read_for_both_names_and_all_machines():
    listing = """3 libs found in cache `/etc/ld.so.cache'
\tlibjemalloc.so.2 (libc6,x86-64) => /lib/x86_64-linux-gnu/libjemalloc.so.2
\tlibjemalloc.so.2 (libc6) => /lib/i386-linux-gnu/libjemalloc.so.2
\tlibjemalloc.so (libc6,x86-64) => /lib/x86_64-linux-gnu/libjemalloc.so
\tlibjemallocator.so (libc6,x86-64) => /lib/libjemallocator.so
"""
    assert preload._jemallocs_in(listing) == [
        Path("/lib/x86_64-linux-gnu/libjemalloc.so.2"),
        Path("/lib/i386-linux-gnu/libjemalloc.so.2"),
        Path("/lib/x86_64-linux-gnu/libjemalloc.so"),
    ]


def test_the_loader_cache_is_found_without_sbin_on_the_path(monkeypatch):
    if not any(os.access(f"{folder}/ldconfig", os.X_OK) for folder in ("/sbin", "/usr/sbin")):
        pytest.skip("this system has no ldconfig")
    everywhere = preload._loader_cache()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert preload._loader_cache() == everywhere


def test_no_ldconfig_is_an_empty_cache(monkeypatch):
    def which(*_arguments, **_options):
        return None

    monkeypatch.setattr(preload.shutil, "which", which)
    assert preload._loader_cache() == []


def test_a_hanging_ldconfig_is_an_empty_cache(monkeypatch):
    def run(command, **_options):
        raise subprocess.TimeoutExpired(command, 5)

    monkeypatch.setattr(preload.subprocess, "run", run)
    assert preload._loader_cache() == []


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ({"ID": "debian"}, "apt-get install libjemalloc2"),
        ({"ID": "ubuntu", "ID_LIKE": "debian"}, "apt-get install libjemalloc2"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, "dnf install jemalloc"),
        ({"ID": "unheard-of"}, "apt-get install libjemalloc2"),
    ],
)
def test_the_install_command_is_the_systems_own(monkeypatch, release, command):
    monkeypatch.setattr(preload.platform, "freedesktop_os_release", lambda: release)
    assert preload.install_command() == command
