import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope import BadRequestError
from endoscope_memory.wish import LARGEST_INTERVAL, Wish, parse


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        (b"", Wish()),
        (b" \n", Wish()),
        (b"{}", Wish()),
        (b'{"sample_interval_bytes": null}', Wish()),
        (b'{"sample_interval_bytes": 65536, "discard": true}', Wish(65536, True)),
    ],
)
def test_a_body_is_a_wish(body, wish):
    assert parse(body) == wish


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"interval": 1}',
        b'{"sample_interval_bytes": 0}',
        b'{"sample_interval_bytes": 1.5}',
        b'{"sample_interval_bytes": true}',
        b'{"sample_interval_bytes": "1"}',
        b'{"discard": 1}',
    ],
)
def test_another_body_is_refused_with_an_example(body):
    with pytest.raises(BadRequestError) as caught:
        parse(body)
    assert caught.value.code == "bad_body"
    assert '"discard"' in caught.value.remedy


@given(st.binary(max_size=200))
def test_nothing_else_is_ever_raised(body):
    try:
        wish = parse(body)
    except BadRequestError:
        return
    assert wish == Wish() or 1 <= wish.sample_interval_bytes <= LARGEST_INTERVAL


@pytest.mark.parametrize(("interval", "logarithm"), [(None, None), (1, 0), (65536, 16), (700, 9)])
def test_the_interval_is_rounded_to_a_power_of_two(interval, logarithm):
    assert Wish(interval).lg_interval == logarithm
