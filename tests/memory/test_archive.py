import json

from endoscope_memory import archive


def parts(hosted, folder):
    plugin = hosted.make_plugin(folder)
    return plugin._recorder, plugin._dumps


def test_the_status_and_every_dump_are_members(hosted, folder):
    for name in ("a.prof", "b.prof"):
        (folder / name).write_text(name)
    (folder / "notes.txt").write_text("none of ours")
    status, *dumps = archive.members(*parts(hosted, folder))
    assert (status.path, status.group) == ("status.json", "memory")
    assert json.loads(status.source())["status"] == "inactive"
    assert {(member.path, member.group) for member in dumps} == {
        ("a.prof", "memory"),
        ("b.prof", "memory"),
    }
    for member in dumps:
        with member.source() as file:
            assert file.read().decode() == member.path


def test_the_manifest_says_what_there_is_and_what_is_wrong(hosted, folder):
    for name in ("a.prof", "b.prof"):
        (folder / name).write_text("12345")
    entries = archive.manifest_entries(*parts(hosted, folder))
    facts = {entry.name: entry.value for entry in entries}
    assert "jemalloc is not loaded" in facts.pop("problem")
    assert {entry.section for entry in entries} == {"memory"}
    assert facts == {
        "profiler": "sampler",
        "status": "inactive",
        "active_since": None,
        "sample_interval_bytes": 524288,
        "python_frames": True,
        "dumps": 2,
        "dumps_bytes": 10,
    }
