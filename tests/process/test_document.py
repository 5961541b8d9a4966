import json
from dataclasses import dataclass

from endoscope_process.document import as_json, told


@dataclass(frozen=True, slots=True)
class Row:
    number: int


def test_a_document_is_json_that_ends_with_a_newline():
    text = as_json(lambda: {"rows": [Row(1)]})
    assert json.loads(text) == {"rows": [{"number": 1}]}
    assert text.endswith(b"}\n")


def test_what_cannot_be_told_is_an_error_in_its_place():
    def tell():
        raise PermissionError(13, "Permission denied", "/proc/self/x")

    error = "PermissionError: [Errno 13] Permission denied: '/proc/self/x'"
    assert told(tell) == {"error": error}
    assert json.loads(as_json(tell)) == {"error": error}


def test_bytes_that_are_no_text_can_be_written():
    assert json.loads(as_json(lambda: "\udc80")) == "\udc80"
