from __future__ import annotations

import socket

import pytest

from endoscope import Plugin, Problem, hookimpl
from endoscope.configuration import Configuration
from endoscope.doctor import examine


@pytest.fixture
def judge(section, install):
    def run(*, door=True, disabled=(), **values):
        if door:

            class Door(Plugin):
                @hookimpl
                def endoscope_authenticate(self, request):
                    return None

            install("door", Door)
        return examine(Configuration(values={**section, **values}), disabled)

    return run


def errors(problems):
    return [problem for problem in problems if problem.severity == "error"]


def test_all_is_well(judge, section, tmp_path, our_threads, eventually):
    problems = judge()
    assert errors(problems) == []
    messages = "\n".join(problem.message for problem in problems)
    for expected in (
        "Python",
        "the configuration is valid",
        "output goes to",
        "127.0.0.1:0 is free to listen on",
        "plugin door 1.2.3 (example-door)",
    ):
        assert expected in messages
    assert not (tmp_path / "output").exists(), "nothing is left behind"
    assert eventually(lambda: our_threads() == [])


def test_every_mistake_is_a_line(judge):
    found = errors(judge(listen="x", grace_seconds=-1, servce_name="y"))
    assert [problem.message.split("`")[1] for problem in found] == [
        "listen",
        "grace_seconds",
        "servce_name",
    ]


def test_one_mistake(judge):
    (problem,) = errors(judge(listen="x"))
    assert "`listen`" in problem.message


def test_not_enabled(judge):
    (problem,) = errors(judge(enabled=False))
    assert "not enabled" in problem.message
    assert "ENDOSCOPE_ENABLED=true" in problem.remedy


def test_no_authenticator(judge):
    (problem,) = errors(judge(door=False))
    assert "no authenticator" in problem.message


def test_a_taken_port(judge):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (problem,) = errors(judge(listen=f"127.0.0.1:{taken.getsockname()[1]}"))
    assert "Address already in use" in problem.message
    assert "set `listen` to a free address" in problem.remedy


def test_a_service_that_runs_already_is_joined(serve):
    service = serve()
    problems = examine(Configuration(values=service.settings))
    assert errors(problems) == []
    assert [
        problem.message for problem in problems if "the service runs already" in problem.message
    ] == ["the service runs already, as 1 process behind 127.0.0.1:0; others join"]


def test_an_output_directory_that_cannot_be_used(judge, tmp_path):
    (tmp_path / "file").write_text("")
    (problem,) = errors(judge(output_directory=str(tmp_path / "file")))
    assert "it is not a directory" in problem.message


def test_plugins_are_asked_from_outside(judge, install):
    class Asked(Plugin):
        @hookimpl
        def endoscope_problems(self, in_host):
            return Problem("error", f"in host: {in_host}", "Mend it.")

    install("asked", Asked)
    (problem,) = errors(judge())
    assert problem == Problem("error", "in host: False", "Mend it.")


def test_a_plugin_that_failed_is_a_warning_and_a_required_one_an_error(judge, install, installed):
    install.value("broken", "os:no_such_name")
    found = [problem for problem in judge() if "broken" in problem.message]
    assert [problem.severity for problem in found] == ["warning"]
    assert "--no-plugin broken" in found[0].remedy
    found = errors(judge(door=False, plugins={"required": ["broken"], "disabled": installed}))
    assert [problem.message for problem in found if "broken" in problem.message]


def test_a_plugin_that_is_left_out_is_not_listed(judge, install):
    install.value("broken", "os:no_such_name")
    assert [p for p in judge(disabled=["broken"]) if "broken" in p.message] == []
