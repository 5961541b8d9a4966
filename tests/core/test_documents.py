import json
from dataclasses import dataclass

from endoscope import json_document, told


@dataclass(frozen=True, slots=True)
class Row:
    number: int


def test_a_document_is_json_that_ends_with_a_newline():
    text = json_document(lambda: {"rows": [Row(1)]})
    assert json.loads(text) == {"rows": [{"number": 1}]}
    assert text.endswith(b"}\n")


def test_what_cannot_be_told_is_an_error_in_its_place():
    def tell():
        raise LookupError("x")

    assert told(tell) == {"error": "LookupError: x"}
    assert json.loads(json_document(tell)) == {"error": "LookupError: x"}


def test_bytes_that_are_no_text_can_be_written():
    assert json.loads(json_document(lambda: "\udc80")) == "\udc80"
