import hashlib
import json
import threading

import pytest

from endoscope_report import fetching
from endoscope_report.fetching import Fetch, Order
from endoscope_report.file_names import FileNames
from endoscope_report.sources import parse


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(fetching, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def fetched(tmp_path):
    """Fetch from a service, into a folder of its own; return the row."""
    folder = tmp_path / "out"
    folder.mkdir()

    def fetched(url, *, retries=2, seconds=10, told=lambda *_: None, **order):
        order = Order(order.pop("query", {}), retries, seconds, **order)
        source = parse(url)
        return Fetch(source, order, FileNames(folder), threading.Event(), told).run()

    fetched.folder = folder
    return fetched


def test_an_archive_is_written_and_verified(fetched, service):
    shop = service("whole")
    moved = []
    row = fetched(
        shop.url, query={"only": "memory", "since": "1h"}, told=lambda *now: moved.append(now)
    )
    assert shop.asked[0][0] == "/diagnostics/export?only=memory&since=1h"
    assert (row.error, row.verdict, row.attempts) == (None, "whole", 1)
    assert (row.service_name, row.service_version, row.pid) == ("shop", "2.5", 4711)
    assert (row.members, row.failures) == (4, 0)
    assert row.path == f"127.0.0.1-{shop.server_port}-shop-diagnostics-1.tar.gz"
    content = (fetched.folder / row.path).read_bytes()
    assert content == shop.content
    assert (row.bytes, row.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert moved[-1] == (len(content), len(content))


def test_of_a_service_of_several_processes_all_are_asked_for(fetched, service):
    shop = service("busy", "whole", processes=b'[{"pid": 7}, {"pid": 8}]')
    row = fetched(shop.url, query={"only": "memory"})
    assert [path for path, _ in shop.asked] == ["/diagnostics/export?only=memory&process=all"] * 2
    assert (row.error, row.processes) == (None, 1)


def test_how_many_processes_it_is_of_is_what_its_manifest_says(fetched, service, build):
    shop = service("whole")
    processes = [{"pid": pid, "process_started": "2026-11-24T00:00:00Z"} for pid in (7, 8)]
    shop.content = build.gzip(build.archive(processes=processes))
    assert fetched(shop.url).processes == 2


@pytest.mark.parametrize("first", ["busy", "unavailable", "breaks_off"])
def test_what_may_pass_is_tried_again(fetched, service, first):
    shop = service(first, first, "whole")
    row = fetched(shop.url)
    assert (row.error, row.attempts) == (None, 3)
    assert [each.name for each in fetched.folder.iterdir()] == [row.path]


@pytest.mark.parametrize(
    ("first", "said"), [("busy", "export_running"), ("breaks_off", "broke off before its end")]
)
def test_retries_come_to_an_end(fetched, service, first, said):
    row = fetched(service(first).url, retries=1)
    assert row.attempts == 2
    assert said in row.error
    assert not list(fetched.folder.iterdir())


def test_what_will_not_pass_is_not_tried_again(fetched, service):
    shop = service("unauthorized", "whole")
    row = fetched(shop.url)
    assert (row.attempts, row.error, row.remedy) == (1, "it is unauthorized", "Wait.")


def test_nobody_listens(fetched):
    row = fetched("127.0.0.1:9", retries=1)
    assert (row.attempts, row.error) == (2, "127.0.0.1:9: Connection refused")


@pytest.mark.parametrize("behaviour", ["stalls", "stalls_midway"])
def test_one_that_stalls_is_given_up(fetched, service, behaviour):
    row = fetched(service(behaviour).url, seconds=0.3, retries=0)
    assert "timed out" in row.error
    assert row.seconds < 5
    assert not list(fetched.folder.iterdir())


def test_a_damaged_archive_is_kept_and_told(fetched, service):
    row = fetched(service("damaged").url)
    assert (row.verdict, row.attempts) == ("damaged", 1)
    assert row.error.startswith("its archive is damaged: ")
    assert (fetched.folder / row.path).exists()


def test_a_stranger_leaves_nothing_behind(fetched, service, tmp_path):
    row = fetched(service("stranger").url, retries=0)
    assert "broke off" in row.error
    assert not list(fetched.folder.iterdir())
    assert not list(tmp_path.glob("*evil*"))


def test_names_of_the_service_s_cannot_leave_the_folder(fetched, service):
    row = fetched(service("whole", file_name="../../evil").url)
    assert row.path.endswith("-download")
    assert [each.name for each in fetched.folder.iterdir()] == [row.path]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://shop:1/x", "more than an address"),
        ("nonsense", "not an address"),
        ("http://h:99999", "Port"),
        ("127.0.0.1:9 secret-file=/nowhere", "cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_a_row(fetched, url, said):
    row = fetched(url)
    assert said in row.error
    assert row.remedy
    assert row.attempts == 0


def test_a_secret_of_its_own_goes_before_that_of_all(fetched, service, tmp_path):
    (tmp_path / "secret").write_text("own-secret\n")
    shop = service("whole")
    row = fetched(f"{shop.url} secret-file={tmp_path / 'secret'}", secret="for-all")
    other = fetched(shop.url, secret="for-all")
    assert [asked[1] for asked in shop.asked] == [
        "Bearer b3duLXNlY3JldA==",
        "Bearer Zm9yLWFsbA==",
    ]
    assert "secret" not in json.dumps([row.error, other.error, row.path, other.path])


def test_pauses_grow_and_differ(monkeypatch):
    monkeypatch.setattr(fetching, "_FIRST_PAUSE", 1.0)
    pauses = [fetching._pause(attempts) for attempts in (1, 2, 3, 100)]
    assert [0.5 <= pauses[0] <= 1, 1 <= pauses[1] <= 2, 2 <= pauses[2] <= 4] == [True] * 3
    assert 15 <= pauses[3] <= 30
    assert fetching._pause(1) != fetching._pause(1)
