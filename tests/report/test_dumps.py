import pathlib
from contextlib import ExitStack

import pytest

from endoscope.errors import EndoscopeError
from endoscope_report.dumps import Dumps
from made import dump_of


class Service:
    """What a client is to `Dumps`: a service that lists files, newest first."""

    def __init__(self, names):
        self.names = names

    def ask(self, method, path):
        assert (method, path) == ("GET", "/memory/dumps")
        return [{"name": name} for name in self.names]

    def save(self, path, output):
        output.write_bytes(path.rpartition("/")[2].encode())
        return output


@pytest.fixture
def found():
    with ExitStack() as opened:
        yield lambda *names: Dumps(lambda: Service(names), opened)


def test_a_file(found, dumps):
    (dump,) = found().of_one_process(dumps[1])
    assert (dump.name, dump.archive) == (dumps[1], None)
    assert dump.content.read() == pathlib.Path(dumps[1]).read_bytes()


def test_an_archive_means_its_newest_dump_or_all(found, archive, dumps):
    name = archive()
    assert found().newest(name).name == dumps[2]
    assert [dump.name for dump in found().of_one_process(name)] == dumps
    assert found().newest(f"{name}:{dumps[0]}").name == dumps[0]


def test_of_several_processes_one_of_each_or_those_of_the_newest(found, archive):
    taken = [("7", 0), ("8", 1), ("7", 2), ("9", 3)]
    members = {
        f"memory/shop_heap_dump_{minute}.prof": dump_of(minute, pid=pid, leak=1000)
        for pid, minute in taken
    }
    name = archive((), **members)
    assert [dump.name for dump in found().beside(name)] == [
        f"shop_heap_dump_{minute}.prof" for minute in (1, 2, 3)
    ]
    assert [dump.name for dump in found().of_one_process(name)] == ["shop_heap_dump_3.prof"]


def test_of_a_service_those_of_one_process(found, monkeypatch):
    contents = {"c.prof": dump_of(2, "7", leak=1), "b.prof": dump_of(1, "8", leak=1)}
    contents["a.prof"] = dump_of(0, "7", leak=1)

    class Shop(Service):
        def save(self, path, output):
            output.write_bytes(contents[path.rpartition("/")[2]])
            return output

    with ExitStack() as opened:
        dumps = Dumps(lambda: Shop([*contents]), opened).all_of_service()
        assert [dump.name for dump in dumps] == ["a.prof", "c.prof"]


def test_more_dumps_than_can_be_open_are_told(found, archive, monkeypatch):
    monkeypatch.setattr("endoscope_report.dumps._MOST_DUMPS", 2)
    with pytest.raises(EndoscopeError, match="more than 2 heap dumps"):
        found().of_one_process(archive())
    assert len(found().beside(archive())) == 1


def test_dumps_of_one_second_are_in_their_order(found, archive):
    names = ["x_heap_dump_9.prof", "x_heap_dump_9-1.prof", "x_heap_dump_9-10.prof"]
    name = archive((), **{f"memory/{each}": b"x" for each in reversed(names)})
    assert [dump.name for dump in found().of_one_process(name)] == names


def test_an_archive_is_unpacked_once(found, archive, dumps):
    name, one = archive(), found()
    first, second = one.newest(f"{name}:{dumps[0]}"), one.newest(f"{name}:{dumps[1]}")
    assert first.archive is second.archive


def test_a_name_of_the_service_s(found):
    assert found("b.prof", "a.prof").newest("a.prof").content.read() == b"a.prof"
    assert found("b.prof", "a.prof").newest("latest").name == "b.prof"
    assert [dump.name for dump in found("b.prof", "a.prof").all_of_service()] == [
        "a.prof",
        "b.prof",
    ]


def test_what_is_not_there_says_so(found, archive):
    name = archive((0,))
    for what, said in [
        ("/nowhere/x.prof", "no such file"),
        (f"{name}:y.prof", "no heap dump y.prof in it"),
        ("x" * 5000, "no such file"),
        ("a\0.prof", "no such file"),
        ("../evil.prof", "no such file"),
        (archive((), name="none.tar.gz"), "no heap dump in this archive"),
        ("latest", "there is no heap dump"),
    ]:
        with pytest.raises(EndoscopeError, match=said) as caught:
            found().of_one_process(what)
        assert caught.value.remedy


def test_a_service_does_not_choose_where_files_are_written(found):
    for name in ("/tmp/evil.prof", "../evil.prof", ".prof", "x"):
        with pytest.raises(EndoscopeError, match="names that no dump can have"):
            found(name).newest("latest")


def test_a_mistyped_file_is_told_to_be_one(found):
    class Nobody(Service):
        def save(self, path, output):
            raise EndoscopeError("Connection refused")

    with ExitStack() as opened:
        dumps = Dumps(lambda: Nobody(["a.prof"]), opened)
        with pytest.raises(EndoscopeError, match=r"b\.prof is no file here, and of the service"):
            dumps.newest("b.prof")
