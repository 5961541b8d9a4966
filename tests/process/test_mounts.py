import subprocess
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import mounts, proc
from endoscope_process.mounts import Mount

TEXT = r"""
22 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
23 22 0:21 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw,nsdelegate
24 22 0:40 / /mnt/two\040words\134x rw - nfs4 server:/a\040b rw,vers=4.2
25 22 0:41 / /mnt rw - tmpfs one rw
26 22 0:42 / /mnt rw - tmpfs another rw
27 22 broken
"""


def test_mounts_are_read_with_their_blanks():
    root, group, network, *_ = found = mounts.parse(TEXT)
    assert len(found) == 5
    assert root == Mount("/", "/", "ext4", "/dev/vda", ("rw", "relatime"), ("rw", "discard"))
    assert (group.root, group.point, group.kind) == ("/docker/abc", "/sys/fs/cgroup", "cgroup2")
    assert (network.point, network.source) == ("/mnt/two words\\x", "server:/a b")


@pytest.mark.parametrize(
    ("path", "source"),
    [("/home", "/dev/vda"), ("/mnt/x", "another"), ("/mnt/two words\\x/y", "server:/a b")],
)
def test_a_path_lies_in_the_deepest_and_last_mount(path, source):
    assert mounts.holding(PurePosixPath(path), mounts.parse(TEXT)).source == source


def test_nothing_holds_a_path_if_nothing_is_mounted():
    assert mounts.holding(PurePosixPath("/x"), []) is None


def test_df_knows_the_same_mount(tmp_path):
    by_df = subprocess.run(
        ["df", "--output=target,fstype", str(tmp_path)], capture_output=True, check=True, text=True
    ).stdout.splitlines()[1]
    mount = mounts.holding(
        PurePosixPath(tmp_path.resolve()), mounts.parse(proc.read("/proc/self/mountinfo"))
    )
    assert by_df.split() == [mount.point, mount.kind]


@given(st.text(alphabet="0123456789 -/\\\n,x") | st.text())
def test_hostile_text_gives_mounts_or_none(text):
    assert all(mount.kind is not None for mount in mounts.parse(text))
