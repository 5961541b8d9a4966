from __future__ import annotations

import pytest
from pydantic import ValidationError

from endoscope_export import ExportSettings


def test_defaults():
    settings = ExportSettings()
    assert settings.model_dump() == {
        "contributor_seconds": 30.0,
        "export_seconds": 600.0,
        "max_file_bytes": None,
        "max_archive_bytes": None,
        "include_binary": True,
        "include_libraries": False,
        "max_concurrent": 1,
        "keep_compressed_bytes": 268_435_456,
        "redact": {},
    }


@pytest.mark.parametrize(
    "mistake",
    [
        {"contributor_seconds": 0},
        {"contributor_seconds": float("inf")},
        {"max_concurrent": 0},
        {"include_binray": True},
        {"max_file_bytes": 0},
        {"redact": {"customer": "("}},
        {"redact": {"anything": ".*"}},
    ],
)
def test_mistakes_are_refused(mistake):
    with pytest.raises(ValidationError):
        ExportSettings(**mistake)


def test_every_setting_is_explained():
    assert all(field.description for field in ExportSettings.model_fields.values())
