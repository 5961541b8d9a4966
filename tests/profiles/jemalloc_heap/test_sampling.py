from __future__ import annotations

import math

import pytest

from dumps import heap, only, row, seeded, symbols
from endoscope_profiles import Frame, Sample
from endoscope_profiles.jemalloc_heap import parse


def test_a_record_stands_for_more_than_what_was_sampled():
    """72 objects and 5,184 bytes stood for 500,004 objects and 37.5 MB, says the design."""
    sample = only(heap(([1], row(72, 5184)), interval=500_000))
    assert sample.objects == pytest.approx(500_036, abs=1)
    assert sample.bytes == pytest.approx(500_036 * 72, abs=72)


def test_every_record_is_unsampled_before_any_are_summed():
    small, large = ([1], row(5, 320)), ([1], row(1, 70_000))
    both = only(heap(small, large, interval=524288))
    apart = [only(heap(record, interval=524288)) for record in (small, large)]
    assert both == apart[0].plus(apart[1])
    together = only(heap(([1], row(6, 70_320)), interval=524288))
    assert both.objects > 100 * together.objects


@pytest.mark.parametrize("interval", [0, 1])
def test_exact_dumps_are_taken_as_they_are(interval):
    assert only(heap(([1], row(7, 9)), interval=interval)) == Sample((Frame("0x1"),), 7, 9, 0, 0)


def test_bytes_without_objects_are_taken_as_they_are():
    assert only(heap(([1], row(0, 9)), interval=4096)) == Sample((Frame("0x1"),), 0, 9, 0, 0)


def sampled(chance, blocks, size, interval):
    """Sample blocks as the profilers do; return how many were taken."""
    probability = 1 - math.exp(-size / interval)
    return sum(chance.random() < probability for _ in range(blocks))


@pytest.mark.parametrize("size", [500, 4096, 20_000])
def test_standard_errors_are_what_estimates_are_off_by(size):
    """Mean squared over many dumps; 1,000 of them tell it to about 5%."""
    chance, blocks, objects_off, bytes_off, told = seeded(7), 400, 0.0, 0.0, []
    for _ in range(1000):
        taken = sampled(chance, blocks, size, 4096)
        sample = only(heap(([1], row(taken, taken * size)), interval=4096))
        objects_off += (sample.objects - blocks) ** 2 / 1000
        bytes_off += (sample.bytes - blocks * size) ** 2 / 1000
        told.append(sample)
    assert sum(s.objects_variance for s in told) / 1000 == pytest.approx(objects_off, rel=0.15)
    assert sum(s.bytes_variance for s in told) / 1000 == pytest.approx(bytes_off, rel=0.15)


def test_what_was_sampled_more_coarsely_is_less_sure():
    """Sampled at 64 KiB, then counted as often as 4 KiB would have sampled it."""
    chance, blocks, size, off, told = seeded(8), 4000, 1000, 0.0, 0.0
    scale = math.expm1(-size / 4096) / math.expm1(-size / 65536)
    fact = symbols(b"# coarsest_interval_bytes: 65536")
    for _ in range(300):
        counted = round(sampled(chance, blocks, size, 65536) * scale)
        sample = only(fact + heap(([1], row(counted, counted * size)), interval=4096))
        off += (sample.objects - blocks) ** 2 / 300
        told += sample.objects_variance / 300
    assert told == pytest.approx(off, rel=0.2)


def test_a_coarsest_interval_below_the_dump_s_own_changes_nothing():
    dump = heap(([1], row(7, 900)), interval=4096)
    assert parse(symbols(b"# coarsest_interval_bytes: 512") + dump).samples == parse(dump).samples
