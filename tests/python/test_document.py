import json
from dataclasses import dataclass

from endoscope_python.document import as_json, told


@dataclass(frozen=True, slots=True)
class Row:
    number: int


def test_a_document_is_json_that_ends_with_a_newline():
    text = as_json(lambda: {"rows": [Row(1)]})
    assert json.loads(text) == {"rows": [{"number": 1}]}
    assert text.endswith(b"}\n")


def test_what_cannot_be_told_is_an_error_in_its_place():
    def tell():
        raise LookupError("x")

    assert told(tell) == {"error": "LookupError: x"}
    assert json.loads(as_json(tell)) == {"error": "LookupError: x"}
