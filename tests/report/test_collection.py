import time

import pytest

from endoscope_report.collection import Collection
from endoscope_report.fetching import Order
from endoscope_report.sources import parse


class Observer:
    """Takes down what it is told."""

    def __init__(self):
        self.began_with = []
        self.ended_with = []

    def began(self, source):
        self.began_with.append(source.url)

    def moved(self, source, done, total):
        assert done > 0

    def ended(self, source, row):
        self.ended_with.append(row.target)


@pytest.fixture
def collected(tmp_path):
    observer = Observer()

    def collected(urls, at_most, *, retries=0, seconds=10):
        order = Order({}, retries, seconds)
        collection = Collection([parse(url) for url in urls], tmp_path, order, observer)
        assert collection.run(at_most)
        return collection.rows()

    collected.observer = observer
    return collected


def test_fifty_from_eight_at_once(collected, service, tmp_path):
    """All give their archive the same name."""
    urls = [service("whole").url for _ in range(50)]
    rows = collected(urls, 8)
    assert [row.target for row in rows] == urls
    assert {row.error for row in rows} == {None}
    assert len({row.path for row in rows}) == len(list(tmp_path.iterdir())) == 50
    assert sorted(collected.observer.began_with) == sorted(urls)
    assert sorted(collected.observer.ended_with) == sorted(urls)


def test_no_more_at_once_than_are_allowed(collected, service):
    """Each of twelve takes 0.3 seconds."""
    urls = [service("stalls").url for _ in range(12)]
    began = time.monotonic()
    collected(urls, 4, seconds=0.3)
    assert 0.9 <= time.monotonic() - began < 12 * 0.3


def test_one_that_fails_takes_down_no_other(collected, service):
    urls = [service("unauthorized").url, service("whole").url, service("stalls").url, "nonsense"]
    rows = collected(urls, 2, seconds=0.5)
    assert [row.error is None for row in rows] == [False, True, False, False]


def test_a_stop_keeps_what_came_and_leaves_no_half(service, tmp_path):
    came, stalled, waiting = service("whole"), service("stalls_midway"), service("stalls")

    class Stopper(Observer):
        def ended(self, source, row):
            if self.ended_with:
                return
            super().ended(source, row)
            while not (list(tmp_path.glob(".*.part")) and waiting.asked):
                time.sleep(0.01)
            raise KeyboardInterrupt

    sources = [parse(each.url) for each in (came, stalled, waiting)]
    collection = Collection(sources, tmp_path, Order({}, 5, 30), Stopper())
    began = time.monotonic()
    assert not collection.run(3)
    assert time.monotonic() - began < 5
    rows = collection.rows()
    assert [row.error for row in rows] == [None, "it was stopped", "it was stopped"]
    assert [each.name for each in tmp_path.iterdir()] == [rows[0].path]
