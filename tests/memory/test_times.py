from endoscope_memory.times import rfc3339


def test_times_are_rfc_3339_in_utc_to_the_second():
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1735689599.999) == "2024-12-31T23:59:59Z"
