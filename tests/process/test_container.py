from endoscope_process import container


def test_a_plain_machine_gives_no_hint(tree, monkeypatch):
    for name in ("KUBERNETES_SERVICE_HOST", "ECS_CONTAINER_METADATA_URI_V4", "container"):
        monkeypatch.delenv(name, raising=False)
    root = tree(["0::/system.slice/x"], ["/ / ext4 rw"])
    assert container.hints(root) == []


def test_every_hint_is_told(tree, monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    root = tree(["0::/kubepods/pod1"], ["/ / overlay rw"])
    (root / ".dockerenv").touch()
    hints = container.hints(root)
    assert "/.dockerenv is there (Docker)" in hints
    assert "the variable KUBERNETES_SERVICE_HOST is set" in hints
    assert "a control group is named after kubepods" in hints
    assert "the root file system is an overlay" in hints
    assert "10.0.0.1" not in str(hints)


def test_without_the_kernel_s_files_the_others_count(tmp_path):
    (tmp_path / ".dockerenv").touch()
    assert "/.dockerenv is there (Docker)" in container.hints(tmp_path)
