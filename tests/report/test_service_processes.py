import json

import pytest

from endoscope.client import Client, Target
from endoscope.errors import ServiceError
from endoscope_report import service_processes
from endoscope_report.service_processes import of_all_processes


def listed(*pids):
    return json.dumps([{"pid": pid, "role": "member"} for pid in pids]).encode()


@pytest.fixture
def asked(service):
    def asked(processes):
        shop = service("whole", processes=processes)
        return dict(of_all_processes(Client(Target.from_url(shop.url, None), 5)))

    return asked


def test_all_are_asked_for_where_there_are_several(asked):
    assert asked(listed(7, 8)) == {"process": "all"}


@pytest.mark.parametrize(
    "answer", [listed(7), b"[]", None, b"<html>", b"{}", b"7", b"[" * 100_000], ids=repr
)
def test_nothing_is_asked_for_where_there_is_one_or_nobody_knows(asked, answer):
    assert asked(answer) == {}


def test_no_more_is_read_than_a_list_can_have(asked, monkeypatch):
    monkeypatch.setattr(service_processes, "_MOST_BYTES", 10)
    assert asked(listed(7, 8)) == {}


def test_one_that_cannot_be_asked_says_so():
    with pytest.raises(ServiceError):
        of_all_processes(Client(Target.from_url("127.0.0.1:9", None), 5))
