import os
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endoscope_process import sockets

TABLES = {table.file: table for table in sockets.TABLES}
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 77 1
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 78 1
   2: 0100007F:1F90 0100007F:9C41 FF 00000000:00000000 00:00000000 00000000     0        0 79 1
   3: broken
"""
UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 77 /run/x.sock
0000000000000000: 00000003 00000000 00000000 0001 03 78
0000000000000000: 00000003 00000000 00000000 0002 03 79 @abstract
"""


def inode(sock):
    return os.fstat(sock.fileno()).st_ino


def test_lines_of_tcp():
    assert dict(sockets.parse(TCP, TABLES["tcp"])) == {
        77: "tcp listening",
        78: "tcp established",
        79: "tcp unknown",
    }


def test_lines_of_unix():
    assert dict(sockets.parse(UNIX, TABLES["unix"])) == {
        77: "unix stream listening",
        78: "unix stream not listening",
        79: "unix datagram not listening",
    }


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_connection_s_both_ends_and_its_listener(family):
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as client,
        listener.accept()[0] as server,
    ):
        found = sockets.descriptions({inode(listener), inode(client), inode(server)})
        assert found == {
            inode(listener): "tcp listening",
            inode(client): "tcp established",
            inode(server): "tcp established",
        }


def test_udp_and_unix_sockets(tmp_path):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink,
    ):
        udp.bind(("127.0.0.1", 0))
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        netlink.bind((0, 0))
        found = sockets.descriptions(set(map(inode, (udp, listener, datagrams, netlink))))
        assert found[inode(udp)] == "udp"
        assert found[inode(listener)] == "unix stream listening"
        assert found[inode(datagrams)] == "unix datagram not listening"
        assert found[inode(netlink)] == "netlink"


def test_only_what_is_asked_for_is_described():
    with socket.create_server(("127.0.0.1", 0)):
        assert sockets.descriptions(set()) == {}


@given(st.text(alphabet="0123456789ABCDEF: \n²") | st.text(), st.sampled_from(sockets.TABLES))
def test_hostile_text_gives_descriptions_or_none(text, table):
    assert all(words for _, words in sockets.parse(text, table))
