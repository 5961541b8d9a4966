import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from endoscope_report import symbol_cache
from endoscope_report.symbol_cache import SymbolCache

ONE, TWO, THREE = ("1" * 64, "2" * 64, "3" * 64)
ENTRY_BYTES = 100 + 32  # the symcache and its checksum


@pytest.fixture
def cache(tmp_path):
    return SymbolCache(tmp_path, 2 * ENTRY_BYTES)


def used(folder, key, moment):
    """Say when an entry was used last, in seconds."""
    os.utime(folder / f"{key}.symcache", (moment, moment))


def test_what_was_put_is_got(cache):
    assert cache.get(ONE) == b""
    cache.put(ONE, b"x" * 100)
    assert cache.get(ONE) == b"x" * 100


def test_only_the_user_can_read_it(cache, tmp_path):
    cache.put(ONE, b"x")
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_least_recently_used_goes_first(cache, tmp_path):
    cache.put(ONE, b"1" * 100)
    cache.put(TWO, b"2" * 100)
    used(tmp_path, ONE, 1000)
    used(tmp_path, TWO, 2000)
    assert cache.get(ONE)  # and so TWO is the one that was not used for longest
    cache.put(THREE, b"3" * 100)
    assert (cache.get(ONE), cache.get(TWO), cache.get(THREE)) == (b"1" * 100, b"", b"3" * 100)


def test_one_that_is_larger_than_the_cache_is_not_kept(cache, tmp_path):
    cache.put(ONE, b"1" * 100)
    cache.put(TWO, bytes(2 * ENTRY_BYTES))
    assert cache.get(TWO) == b""
    assert cache.get(ONE) == b"1" * 100


def test_drafts_that_were_left_behind_go_too(cache, tmp_path):
    draft = tmp_path / ".0123456789abcdef.part"
    draft.write_bytes(bytes(2 * ENTRY_BYTES))
    os.utime(draft, (1000, 1000))
    cache.put(ONE, b"1" * 100)
    assert not draft.exists()
    assert cache.get(ONE)


@settings(deadline=None)
@given(st.data())
def test_a_damaged_one_is_thrown_away(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cache")
    cache = SymbolCache(folder)
    cache.put(ONE, b"symcache" * 10)
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert cache.get(ONE) == b""
    assert not file.exists()


def test_a_folder_that_is_gone_costs_only_the_cache(tmp_path):
    cache = SymbolCache(tmp_path / "gone")
    cache.put(ONE, b"x")
    assert cache.get(ONE) == b""


def test_a_key_is_no_path(cache):
    with pytest.raises(ValueError, match="is no key"):
        cache.get("../../etc/passwd")


def test_the_user_s_cache_lies_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    symbol_cache.of_user().put(ONE, b"x")
    folder = tmp_path / "endoscope" / "symcaches"
    assert [file.name for file in folder.iterdir()] == [f"{ONE}.symcache"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("given", ["", "relative"])
def test_else_in_the_home_directory(tmp_path, monkeypatch, given):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    symbol_cache.of_user()
    assert (tmp_path / ".cache" / "endoscope" / "symcaches").is_dir()


def test_none_where_others_may_write(tmp_path, monkeypatch):
    folder = tmp_path / "endoscope" / "symcaches"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert symbol_cache.of_user() is None


def test_none_where_it_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "endoscope").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert symbol_cache.of_user() is None
