import pytest

from endoscope_report.shape import Each, Named, Optional, fault

SHAPE = {"a": int, "b": Optional(str), "c": Each({"d": (str, type(None))}), "e": Named(bool)}
GOOD = {"a": 1, "b": "x", "c": [{"d": "y"}, {"d": None}], "e": {"f": True}, "more": []}


@pytest.mark.parametrize("value", [GOOD, {**GOOD, "b": None}, {"a": 0, "c": [], "e": {}}])
def test_what_has_the_shape(value):
    assert not fault(value, SHAPE, "x")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "x is a list, and not an object"),
        ({"c": [], "e": {}}, "x has no a"),
        ({**GOOD, "a": True}, "x.a is true or false, and not a whole number"),
        ({**GOOD, "a": 1.0}, "x.a is a number, and not a whole number"),
        ({**GOOD, "b": 1}, "x.b is a whole number, and not text"),
        ({**GOOD, "c": {}}, "x.c is an object, and not a list"),
        ({**GOOD, "c": [{"d": ""}, {"d": 2}]}, "x.c[1].d is a whole number, and not text or null"),
        ({**GOOD, "c": [{}]}, "x.c[0] has no d"),
        ({**GOOD, "e": []}, "x.e is a list, and not an object"),
        ({**GOOD, "e": {"\x1b": None}}, "x.e[\\u001b] is null, and not true or false"),
    ],
)
def test_what_has_another_says_where(value, said):
    assert fault(value, SHAPE, "x") == said
