from pathlib import Path

import pytest

from endoscope_report import sources
from endoscope_report.sources import Source, parse


@pytest.mark.parametrize(
    ("line", "url", "stem"),
    [
        ("http://127.0.0.1:8089", "http://127.0.0.1:8089", "127.0.0.1-8089"),
        ("https://shop.example/", "https://shop.example", "shop.example"),
        ("shop:80", "shop:80", "shop-80"),
        ("http://[::1]:8089", "http://[::1]:8089", "1-8089"),
        ("unix:/run/shop@1/s.sock", "unix:/run/shop@1/s.sock", "run-shop-1-s.sock"),
        ("..:1", "..:1", "1"),
        ("", "", "service"),
        ("x" * 300 + ":1", "x" * 300 + ":1", "x" * 80),
    ],
)
def test_addresses_and_how_their_files_begin(line, url, stem):
    found = parse(line)
    assert (found.url, found.stem, found.fault) == (url, stem, "")


@pytest.mark.parametrize(
    "line",
    [
        "http://user:hunter2@shop:1",
        "http://user:hun ter2@shop:1",
        "http://user:hunter2 x@shop:1",
        "https://user:hunter2@shop:1/",
        "user:hunter2@shop:1",
        "http://user:hun@ter2@shop:1",
        "http://user:hunter2/x@shop:1",
        "http://user:hunter2?x@shop:1",
        "http://user:hunter2@shop:1/x",
        "http://user:x@shop:1/?token=hunter2",
        "http://shop:1?token=hunter2",
        "HTTP://user:hunter2@shop:1",
        "ftp://user:hunter2@shop:1",
        "http://user:hunter2@shop:1 secret=hunter2",
    ],
)
def test_no_password_is_kept(line):
    found = parse(line)
    assert "hunter2" not in repr(found)
    assert "ter2" not in repr(found)
    assert "shop:1" in found.url


def test_a_user_is_told_that_it_is_not_used():
    assert "not used" in parse("http://user@shop:1").note
    assert not parse("http://shop:1").note


@pytest.mark.parametrize("line", ["http://shop:1/diagnostics", "http://shop:1?x", "shop:1/x"])
def test_a_path_is_a_fault(line):
    assert "more than an address" in parse(line).fault


def test_a_secret_of_its_own():
    assert parse("http://shop:1 secret-file=/run/my secret") == Source(
        "http://shop:1", Path("/run/my secret")
    )
    assert "only secret-file=PATH" in parse("http://shop:1 secret=x").fault


def test_a_list_has_comments_and_empty_lines():
    found = sources.parse_list(["# services\n", "\n", "  a:1  \n", "b:2"])
    assert [each.url for each in found] == ["a:1", "b:2"]


def test_each_address_is_asked_once():
    given = [parse(url) for url in ("http://Shop:1", "shop:1", "https://shop:1", "http://shop:1/")]
    wanted, again = sources.distinct(given)
    assert [each.url for each in wanted] == ["http://Shop:1", "https://shop:1"]
    assert [each.url for each in again] == ["shop:1", "http://shop:1"]
