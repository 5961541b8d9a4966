import mmap
import os

from endoscope_process import memory


def test_resident_memory_follows_what_is_touched():
    before = memory.status()["VmRSS"]
    # A mapping of its own: what malloc gives may be resident from an earlier owner.
    with mmap.mmap(-1, 50_000_000, mmap.MAP_PRIVATE) as kept:
        kept.write(b"x" * len(kept))
        after = memory.tell()
    assert after["status"]["VmRSS"] - before > 40_000_000
    assert after["mappings"]["Rss"] - before > 40_000_000
    assert after["status"]["VmHWM"] >= after["status"]["VmRSS"]


def test_the_machine_has_the_memory_that_sysconf_says():
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.tell()["machine"]["MemTotal"] == total


def test_what_the_kernel_thinks_of_killing_it():
    found = memory.tell()["out_of_memory"]
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        assert found["score_adjustment"] == int(file.read())
    assert found["score"] >= 0
