import pytest

from endoscope_profiles.amounts import count, size


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.96, "1.0 kB"),
        (1000, "1.0 kB"),
        (-1500, "-1.5 kB"),
        (23_100_000, "23.1 MB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (7e15, "7000.0 TB"),
    ],
)
def test_size(number, written):
    assert size(number) == written


def test_count():
    assert (count(1234567.6), count(-1000)) == ("1,234,568", "-1,000")
