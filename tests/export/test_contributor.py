from __future__ import annotations

from endoscope_export.contributor import Contributor


def test_it_is_called_by_its_plugin_and_its_process():
    assert str(Contributor("memory")) == "memory"
    assert str(Contributor("memory", 8)) == "memory of process 8"
