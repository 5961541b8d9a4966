import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import cpu_list


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("0", 1),
        ("0-3,8", 5),
        ("2-2", 1),
        ("3-1", 0),
        ("x", None),
        ("1,", None),
        ("1-", None),
    ],
)
def test_how_many_there_are(text, expected):
    assert cpu_list.count(text) == expected


@given(st.lists(st.integers(0, 10_000), unique=True, min_size=1))
def test_single_numbers_are_counted_one_by_one(numbers):
    assert cpu_list.count(",".join(map(str, numbers))) == len(numbers)


@given(st.text(alphabet="0123456789,-²"))
def test_hostile_text_gives_a_number_or_none(text):
    found = cpu_list.count(text)
    assert found is None or found >= 0
