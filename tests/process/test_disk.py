import shutil
import subprocess

from endoscope_process import disk


def test_space_is_what_df_and_shutil_say(tmp_path):
    found = disk.space(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    assert found.size_bytes == usage.total
    by_df = subprocess.run(
        ["df", "--output=itotal", str(tmp_path)], capture_output=True, check=True, text=True
    ).stdout.split()[-1]
    assert found.inodes == int(by_df)
    assert 0 < found.available_bytes <= found.free_bytes <= found.size_bytes
    assert not found.read_only


def test_both_places_are_told(tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    monkeypatch.chdir("/")
    found = disk.tell(link)
    assert found["output_directory"]["path"] == str(tmp_path.resolve())
    assert found["working_directory"]["path"] == "/"
    assert found["working_directory"]["mount"].point == "/"
    assert found["output_directory"]["space"].size_bytes > 0


def test_a_directory_that_is_not_there_costs_its_space_only(tmp_path):
    found = disk.tell(tmp_path / "absent")
    assert "FileNotFoundError" in found["output_directory"]["space"]["error"]
    assert found["output_directory"]["mount"].kind
    assert found["working_directory"]["space"].size_bytes > 0
