from __future__ import annotations

import os

from endoscope_export.own_members import own_members


def paths(make_export, **settings):
    context = make_export(**settings).plugin.context
    return {member.path: member for member in own_members(context)}


def test_the_configuration_and_nothing_that_was_not_asked_for(make_export):
    assert list(paths(make_export, include_binary=False)) == ["config/router.yaml"]


def test_the_executable_is_sent_as_it_is(make_export):
    members = paths(make_export, include_binary=True)
    assert list(members) == ["config/router.yaml", "router-binary"]
    assert members["router-binary"].verbatim
    assert members["router-binary"].group == "binary"


def test_libraries_lie_where_they_lay_and_the_executable_is_none_of_them(make_export):
    members = paths(make_export, include_binary=True, include_libraries=True)
    executable = os.readlink("/proc/self/exe")
    assert f"binaries{executable}" not in members
    libc = next(path for path in members if "/libc.so" in path)
    assert libc.startswith("binaries/")
    assert os.path.exists(libc.removeprefix("binaries"))
    assert all(member.verbatim for path, member in members.items() if path.startswith("binaries/"))
