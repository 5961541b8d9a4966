from pathlib import Path

import pytest

from endoscope_process import cgroup, cgroup_limits
from endoscope_process.cgroup import Cgroup
from endoscope_process.cgroup_limits import Lowest

V2 = {
    "a/memory.max": "4096000",
    "a/cpu.max": "max 100000",
    "a/pids.max": "max",
    "a/b/memory.max": "max",
    "a/b/memory.high": "3000000",
    "a/b/memory.current": "1000000",
    "a/b/memory.peak": "2000000",
    "a/b/memory.swap.max": "0",
    "a/b/memory.events": "low 0\nhigh 7\nmax 2\noom 1\noom_kill 1",
    "a/b/memory.stat": "anon 900000\nfile 100000",
    "a/b/cpu.max": "150000 100000",
    "a/b/cpu.weight": "79",
    "a/b/cpu.stat": "usage_usec 5\nnr_periods 10\nnr_throttled 4\nthrottled_usec 2500000",
    "a/b/cpuset.cpus": "",
    "a/b/cpuset.cpus.effective": "0-2,7",
    "a/b/cpuset.mems.effective": "0",
    "a/b/pids.max": "512",
    "a/b/pids.current": "17",
}
V1 = {
    "memory/a/memory.limit_in_bytes": "9223372036854771712",
    "memory/a/memory.usage_in_bytes": "1000000",
    "memory/a/memory.max_usage_in_bytes": "2000000",
    "memory/a/memory.memsw.limit_in_bytes": "5000000",
    "memory/a/memory.failcnt": "3",
    "memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2",
    "memory/a/memory.stat": "rss 900000\nhierarchical_memory_limit 2500000",
    "cpu/a/cpu.cfs_quota_us": "50000",
    "cpu/a/cpu.cfs_period_us": "100000",
    "cpu/a/cpu.shares": "512",
    "cpu/a/cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 2500000000",
    "cpu/cpu.cfs_quota_us": "-1",
    "cpu/cpu.cfs_period_us": "100000",
}
V1_MOUNTS = ["/ /sys/fs/cgroup/memory cgroup rw,memory", "/ /sys/fs/cgroup/cpu cgroup rw,cpu"]
V2_MOUNT = "/ /sys/fs/cgroup cgroup2 rw"


@pytest.fixture
def version_2(tree):
    return cgroup_limits.tell(tree(["0::/a/b"], [V2_MOUNT], V2))


@pytest.fixture
def version_1(tree):
    return cgroup_limits.tell(tree(["2:memory:/a", "1:cpu:/a"], V1_MOUNTS, V1))


def test_memory_of_version_2(version_2):
    found = version_2["memory"]
    assert found["version"] == 2
    assert found["limit_bytes"] == "unlimited"
    assert (found["high_bytes"], found["current_bytes"]) == (3000000, 1000000)
    assert (found["peak_bytes"], found["swap_limit_bytes"]) == (2000000, 0)
    assert found["swap_current_bytes"] is None
    assert found["events"]["oom_kill"] == 1
    assert found["statistics"] == {"anon": 900000, "file": 100000}


def test_the_lowest_memory_limit_is_one_further_up(version_2):
    lowest = version_2["memory"]["lowest_limit_bytes"]
    assert lowest.value == 4096000
    assert lowest.directory.endswith("/sys/fs/cgroup/a")


def test_processors_of_version_2(version_2):
    found = version_2["cpu"]
    assert (found["quota_cpus"], found["weight"]) == (1.5, 79)
    assert found["lowest_quota_cpus"].directory.endswith("/a/b")
    assert found["throttling"] == {
        "periods": 10,
        "throttled_periods": 4,
        "throttled_seconds": 2.5,
    }


def test_sets_and_numbers_of_processes_of_version_2(version_2):
    assert version_2["cpuset"]["effective_cpus"] == "0-2,7"
    assert version_2["cpuset"]["effective_count"] == 4
    pids = version_2["pids"]
    assert (pids["limit"], pids["current"], pids["peak"]) == (512, 17, None)
    assert pids["lowest_limit"].value == 512


def test_memory_of_version_1(version_1):
    found = version_1["memory"]
    assert (found["version"], found["limit_bytes"]) == (1, "unlimited")
    assert (found["current_bytes"], found["peak_bytes"]) == (1000000, 2000000)
    assert (found["memory_and_swap_limit_bytes"], found["limit_hits"]) == (5000000, 3)
    assert found["events"]["oom_kill"] == 2


def test_version_1_tells_of_a_limit_that_is_out_of_sight(version_1):
    assert version_1["memory"]["lowest_limit_bytes"] == Lowest(2500000, None)


def test_processors_of_version_1(version_1):
    found = version_1["cpu"]
    assert (found["quota_cpus"], found["shares"]) == (0.5, 512)
    assert found["lowest_quota_cpus"].value == 0.5
    assert found["throttling"]["throttled_seconds"] == 2.5


def test_what_is_in_neither_version_is_told_alone(version_1):
    assert "no control group with pids" in version_1["pids"]["error"]
    assert version_1["lines"] == ["2:memory:/a", "1:cpu:/a"]


def test_each_controller_of_a_hybrid_is_asked_in_its_own_version(tree):
    root = tree(
        ["2:memory:/a", "1:cpu:/a", "0::/a/b"],
        [*V1_MOUNTS, "/ /sys/fs/cgroup/unified cgroup2 rw"],
        {**V1, **{f"unified/{path}": content for path, content in V2.items()}},
    )
    found = cgroup_limits.tell(root)
    assert (found["memory"]["version"], found["cpu"]["version"]) == (1, 1)
    assert (found["pids"]["version"], found["pids"]["limit"]) == (2, 512)


def test_in_a_namespace_of_its_own(tree):
    files = {"memory.max": "536870912", "cpu.max": "50000 100000"}
    found = cgroup_limits.tell(tree(["0::/"], [V2_MOUNT], files))
    assert found["memory"]["lowest_limit_bytes"].value == 536870912
    assert found["cpu"]["lowest_quota_cpus"].value == 0.5


def test_what_could_be_there_and_is_not_is_null(tree):
    found = cgroup_limits.tell(tree(["0::/"], [V2_MOUNT]))
    assert found["memory"]["limit_bytes"] is None
    assert found["memory"]["events"] is None
    assert found["memory"]["lowest_limit_bytes"] == Lowest("unlimited", None)
    assert found["cpu"]["quota_cpus"] is None
    assert found["cpuset"]["effective_count"] is None


def test_without_the_kernel_s_files_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        cgroup_limits.tell(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("max 100000", "unlimited"),
        ("200000 100000", 2.0),
        ("100000", None),
        ("1 0", None),
        ("x y", None),
        ("", None),
    ],
)
def test_quotas_of_version_2(tmp_path, content, expected):
    (tmp_path / "cpu.max").write_text(content)
    assert cgroup_limits.quota(2, tmp_path) == expected


def test_kills_are_counted(tree):
    root = tree(["0::/a/b"], [V2_MOUNT], V2)
    assert cgroup_limits.oom_kills(cgroup.groups(root)[""]) == 1
    assert cgroup_limits.oom_kills(Cgroup(2, root, root)) is None


def test_this_process_uses_the_memory_that_its_group_counts():
    group = cgroup.group_with("memory", cgroup.groups(Path("/")))
    found = cgroup_limits.memory(group)
    assert found["statistics"]
    assert found["limit_bytes"] is not None or group.directory == group.top
