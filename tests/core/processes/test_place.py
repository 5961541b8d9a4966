from __future__ import annotations

import dataclasses
import os
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope.errors import StartError
from endoscope.processes.place import Name, Place
from endoscope.procfs import read_process

NUMBER = st.integers(0, 2**64 - 1)
NAMES = st.builds(Name, NUMBER, NUMBER, NUMBER, st.from_regex(r"[0-9a-f]{8}", fullmatch=True))


@given(NAMES)
def test_a_name_is_read_as_it_was_written(name):
    assert Name.parse(str(name)) == name


@given(st.text() | st.from_regex(r"[0-9a-]{0,40}\.sock"))
def test_any_other_text_is_no_name(text):
    name = Name.parse(text)
    assert name is None or str(name).lstrip("0") == text.lstrip("0") or text[0] == "0"


def test_one_s_own_name_is_of_this_process_and_new_each_time():
    one, two = Name.own(), Name.own()
    assert (one.pid, one.is_near) == (os.getpid(), True)
    assert one.started == read_process(os.getpid()).started
    assert one != two


def test_the_folder_is_private(place):
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700


def test_services_that_differ_have_other_folders(tmp_path):
    assert Place(tmp_path, "a", "x").folder != Place(tmp_path, "b", "x").folder
    assert Place(tmp_path, "a", "x").folder != Place(tmp_path, "a", "y").folder
    assert Place(tmp_path, "ab", "c").folder != Place(tmp_path, "a", "bc").folder
    assert Place(tmp_path, "a", "x").folder == Place(tmp_path, "a", "x").folder


def test_a_folder_of_others_is_refused(place):
    place.folder.chmod(0o777)
    with pytest.raises(StartError):
        place.claim()


def test_who_listens_is_there_and_can_be_reached(place, name):
    assert place.members() == []
    with_socket = place.listen(name)
    assert place.members() == [name]
    assert stat.S_IMODE((place.folder / str(name)).stat().st_mode) == 0o600
    assert not os.get_inheritable(with_socket.fileno())
    connected = place.connect(name, 1.0)
    assert not os.get_inheritable(connected.fileno())
    accepted, _ = with_socket._accept()
    os.close(accepted)
    connected.close()
    with_socket.close()
    place.remove(name)
    assert place.members() == []


def test_a_path_may_be_longer_than_an_address(tmp_path, name, open_descriptors):
    folder = tmp_path / ("x" * 100)
    folder.mkdir(mode=0o700)
    place = Place(folder, "router", "127.0.0.1:0")
    place.claim()
    before = open_descriptors()
    listening = place.listen(name)
    place.connect(name, 1.0).close()
    listening.close()
    assert open_descriptors() == before
    assert place.members() == [name]


def test_nobody_is_where_no_folder_is(tmp_path, name):
    place = Place(tmp_path, "router", "127.0.0.1:0")
    assert place.members() == []
    place.remove(name)
    with pytest.raises(FileNotFoundError):
        place.listen(name)


def test_what_the_dead_have_left_is_removed(place, forked):
    names = []

    def join():
        place.listen(Name.own())

    child = forked(join)
    (name,) = place.members()
    assert name.pid == child
    names.append(name)
    os.kill(child, 9)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert read_process(child).has_ended
    assert place.members() == []
    assert os.listdir(place.folder) == []


def test_the_id_of_a_dead_process_may_be_another_s(place, name):
    reused = dataclasses.replace(name, started=name.started - 1)
    place.listen(reused).close()
    assert place.members() == []
    assert os.listdir(place.folder) == []


def test_of_another_container_only_that_it_answers_is_known(place, name):
    far = dataclasses.replace(name, namespace=1, pid=2**22 + 7)
    listening = place.listen(far)
    assert place.members() == [far]
    listening.close()
    assert place.members() == []
    assert os.listdir(place.folder) == []


def test_what_is_no_socket_and_has_a_living_process_s_name_is_that_process_s(place, name):
    (place.folder / str(name)).touch()
    assert place.members() == [name]
    with pytest.raises(ConnectionRefusedError):
        place.connect(name, 1.0)


def test_what_has_another_name_is_left_alone(place):
    for other in ("door", "x.sock", "1-2-3.sock"):
        (place.folder / other).touch()
    assert place.members() == []
    assert len(os.listdir(place.folder)) == 3


def test_processes_are_in_order(place, name):
    names = [dataclasses.replace(name, token=f"0000000{n}") for n in (3, 1, 2)]
    sockets = [place.listen(each) for each in names]
    assert [each.token[-1] for each in place.members()] == ["1", "2", "3"]
    for listening in sockets:
        listening.close()


def test_there_is_no_process():
    assert read_process(2**22 + 7) is None


def test_a_process_may_be_called_anything(forked, tmp_path):
    child = forked(lambda: Path("/proc/self/comm").write_text(") Z 1 ("))
    process = read_process(child)
    assert (process.parent, process.has_ended) == (os.getpid(), False)


def test_it_is_no_socket_of_gevent_s(place, name):
    listening = place.listen(name)
    assert type(listening) is not socket.socket
    listening.close()
