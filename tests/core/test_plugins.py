from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from endoscope import (
    Access,
    AccessRequest,
    ArchiveMember,
    Granted,
    HostIdentity,
    Json,
    ManifestEntry,
    Parameter,
    Plugin,
    PluginContext,
    PluginFailure,
    PluginSettings,
    Problem,
    Refused,
    Route,
    hookimpl,
    plugins,
)
from endoscope.errors import PluginError
from endoscope.plugins import FoundPlugin, Plugins, discover
from endoscope.workers import Workers

REQUEST = AccessRequest("GET", "/diagnostics", {"authorization": ("Bearer hunter2",)}, "127.0.0.1")


class Fault(BaseException):
    """What no plugin should raise."""


def handler(request):
    return Json({})


@pytest.fixture
def workers():
    made = Workers("contributor", 4)
    yield made
    made.stop()


@pytest.fixture
def make(workers, tmp_path):
    def context(name):
        host = HostIdentity("router", "", os.getpid(), 0, 0, tmp_path, "0", "3", sys.platform)
        logger = logging.getLogger(f"endoscope.plugin.{name}")
        return PluginContext(name, PluginSettings(), tmp_path / name, host, logger, None)

    def build(*, strict=False, **classes):
        found = [FoundPlugin(n, f"dist-{n}", "1", c) for n, c in sorted(classes.items())]
        return Plugins(found, context, workers, strict=strict)

    return build


def returning(hook, value, *, arguments="self"):
    """Make a plugin class whose `hook` returns what `value()` does."""
    namespace = {"value": value}
    exec(f"def {hook}({arguments}):\n    return value()\n", namespace)
    return type("MadePlugin", (Plugin,), {hook: hookimpl(namespace[hook])})


def raising(error):
    def fail():
        raise error

    return fail


def failures(asked: Plugins) -> list[str]:
    return [f"{f.plugin} {f.hook}: {f.error}" for f in asked.failures]


class Good(Plugin):
    @hookimpl
    def endoscope_routes(self):
        return [Route("GET", "/good", handler, Access.READ, "Good")]

    @hookimpl
    def endoscope_problems(self, in_host):
        yield Problem("info", f"in host: {in_host}")

    @hookimpl
    def endoscope_archive_members(self):
        return (ArchiveMember("a.txt", b"a", "good"),)

    @hookimpl
    def endoscope_manifest_entries(self):
        return ManifestEntry("good", "name", 1)


# --- what is asked and answered -------------------------------------------------------------------


def test_each_hook_is_collected_from_every_plugin(make):
    asked = make(b=Good, a=Good)
    assert asked.loaded == ("a", "b")
    assert [answer.plugin for answer in asked.routes()] == ["a", "b"]
    assert asked.problems(in_host=True)[0].items == (Problem("info", "in host: True"),)
    assert asked.manifest_entries(5)[1].items == (ManifestEntry("good", "name", 1),)
    assert asked.failures == ()


def test_members_come_below_their_plugin_s_folder(make):
    assert [m.path for answer in make(a=Good, b=Good).archive_members(5) for m in answer.items] == [
        "a/a.txt",
        "b/a.txt",
    ]


def test_a_report_says_what_is_there(make):
    report, other = make(a=Good, b=type("Quiet", (Plugin,), {})).reports()
    assert (report.name, report.distribution, report.version) == ("a", "dist-a", "1")
    assert report.hooks == (
        "endoscope_problems",
        "endoscope_routes",
        "endoscope_archive_members",
        "endoscope_manifest_entries",
    )
    assert other.hooks == ()


def test_stopping_is_in_the_reverse_order(make):
    order = []

    def noting(name):
        return returning("endoscope_stop", lambda: order.append(name))

    make(a=noting("a"), b=noting("b"), c=noting("c")).stop(5)
    assert order == ["c", "b", "a"]


def test_stopping_takes_the_time_it_is_given_in_all(make):
    gate = threading.Event()
    hanging = returning("endoscope_stop", lambda: gate.wait(30) and None)
    asked = make(**{f"p{n}": hanging for n in range(4)})
    began = time.monotonic()
    asked.stop(0.3)
    assert time.monotonic() - began < 3
    gate.set()
    assert [f.timed_out for f in asked.failures] == [True] * 4


# --- misbehaviour ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("boom"),
        SystemExit(3),
        KeyboardInterrupt(),
        Fault("x"),
        StopIteration(),
        RecursionError(),
    ],
)
def test_a_hook_that_raises_costs_its_plugin_only(make, error):
    asked = make(bad=returning("endoscope_routes", raising(error)), good=Good)
    bad, good = asked.routes()
    assert bad.items == ()
    assert len(bad.failures) == 1
    assert type(error).__name__ in bad.failures[0].error
    assert len(good.items) == 1
    assert asked.reports()[0].failures == bad.failures


def test_a_generator_that_raises_in_the_middle(make):
    def generate():
        yield Route("GET", "/x", handler, Access.READ, "")
        raise RuntimeError("boom")

    asked = make(bad=returning("endoscope_routes", generate))
    assert failures(asked) == []
    asked.routes()
    assert failures(asked) == ["bad endoscope_routes: RuntimeError: boom"]


@pytest.mark.parametrize("value", [5, "text", b"bytes", {"a": 1}, [5], object(), Route, [None]])
def test_a_hook_that_returns_nonsense(make, value):
    asked = make(bad=returning("endoscope_routes", lambda: value), good=Good)
    bad, good = asked.routes()
    assert bad.items == ()
    assert "where Route is due" in bad.failures[0].error
    assert good.failures == ()


def test_the_right_items_are_kept_and_the_wrong_ones_dropped(make):
    entries = [ManifestEntry("s", "n", 1), "nonsense", ManifestEntry("s", "m", 2)]
    (answer,) = make(bad=returning("endoscope_manifest_entries", lambda: entries)).manifest_entries(
        5
    )
    assert [entry.name for entry in answer.items] == ["n", "m"]
    assert len(answer.failures) == 1


def test_nothing_returned_is_nothing_contributed(make):
    (answer,) = make(quiet=returning("endoscope_routes", lambda: None)).routes() or (None,)
    assert answer.items == ()
    assert answer.failures == ()


def test_a_hook_that_must_return_nothing(make):
    asked = make(bad=returning("endoscope_start", lambda: 5))
    asked.start()
    assert failures(asked) == ["bad endoscope_start: returned int where nothing is due"]


def test_a_hook_that_hangs_is_abandoned(make):
    gate = threading.Event()
    asked = make(bad=returning("endoscope_archive_members", gate.wait), good=Good)
    bad, good = asked.archive_members(0.1)
    gate.set()
    assert bad.failures[0].timed_out
    assert len(good.items) == 1


def test_archive_members_are_asked_for_together_so_that_all_hangs_cost_one_limit(make):
    together, gate = threading.Barrier(3), threading.Event()
    met = []

    def hang():
        met.append(together.wait(10))
        gate.wait(20)

    hanging = returning("endoscope_archive_members", hang)
    asked = make(a=hanging, b=hanging, c=hanging, good=Good)
    answers = {answer.plugin: answer for answer in asked.archive_members(0.5)}
    gate.set()
    assert len(met) == 3
    assert all(answers[name].failures[0].timed_out for name in "abc")
    assert [member.path for member in answers["good"].items] == ["good/a.txt"]
    assert answers["good"].seconds < 0.5 <= answers["a"].seconds


def test_a_hook_that_never_ends_yielding_is_cut_off(make):
    def endless():
        return (ManifestEntry("s", "n", n) for n in itertools.count())

    asked = make(bad=returning("endoscope_manifest_entries", endless))
    (answer,) = asked.manifest_entries(60)
    assert answer.items == ()
    assert "more than 100000 items" in answer.failures[0].error


def test_a_misspelt_hook_names_the_right_one(make):
    bad = type("Bad", (Plugin,), {"endoscope_rutes": hookimpl(lambda self: [])})
    asked = make(bad=bad, good=Good)
    assert failures(asked) == [
        "bad load: there is no hook endoscope_rutes; did you mean endoscope_routes?"
    ]
    assert asked.loaded == ("good",)
    assert asked.reports()[0].hooks == ()


def test_an_argument_that_the_hook_does_not_have(make):
    bad = returning("endoscope_routes", list, arguments="self, nonsense")
    asked = make(bad=bad, good=Good)
    assert "nonsense" in failures(asked)[0]
    assert asked.loaded == ("good",)
    assert len(asked.routes()) == 1


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(1)])
def test_a_constructor_that_raises(make, error):
    bad = type("Bad", (Plugin,), {"__init__": lambda self, context: raising(error)()})
    asked = make(bad=bad, good=Good)
    assert asked.loaded == ("good",)
    assert asked.reports()[0].failures[0].hook == "load"


def test_an_error_whose_text_raises(make):
    class SilentError(Exception):
        def __str__(self):
            raise ValueError("no words")

    asked = make(bad=returning("endoscope_routes", raising(SilentError())))
    asked.routes()
    assert failures(asked) == ["bad endoscope_routes: SilentError"]


def test_failures_are_bounded_in_number_and_length(make):
    numbers = itertools.count()

    def fail():
        raise RuntimeError(f"{next(numbers)} " + "x" * 100_000)

    asked = make(bad=returning("endoscope_manifest_entries", fail))
    for _ in range(300):
        asked.manifest_entries(5)
    assert len(asked.failures) == 200
    assert max(len(failure.error) for failure in asked.failures) < 1100


def test_the_same_failure_is_recorded_and_logged_once(make, caplog):
    asked = make(bad=returning("endoscope_manifest_entries", raising(ValueError("x"))))
    for _ in range(3):
        (answer,) = asked.manifest_entries(5)
        assert len(answer.failures) == 1
    assert len(asked.failures) == 1
    assert caplog.text.count("ValueError: x") == 1


def test_strict_raises(make):
    asked = make(bad=returning("endoscope_routes", raising(ValueError("x"))), strict=True)
    with pytest.raises(PluginError, match="plugin bad, endoscope_routes: ValueError: x"):
        asked.routes()
    with pytest.raises(PluginError, match="did you mean"):
        make(b=type("B", (Plugin,), {"endoscope_x": hookimpl(lambda self: 0)}), strict=True)


# --- routes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "route",
    [
        Route("PUT", "/x", handler, Access.ACT, ""),
        Route("get", "/x", handler, Access.READ, ""),
        Route("GET", "x", handler, Access.READ, ""),
        Route("GET", "/", handler, Access.READ, ""),
        Route("GET", "/x/", handler, Access.READ, ""),
        Route("GET", "//x", handler, Access.READ, ""),
        Route("GET", "/<x>", handler, Access.READ, ""),
        Route("GET", "/<path:x>", handler, Access.READ, ""),
        Route("GET", "/{x}/{x}", handler, Access.READ, ""),
        Route("GET", "/{1}", handler, Access.READ, ""),
        Route("GET", "/{}", handler, Access.READ, ""),
        Route("GET", "/{x", handler, Access.READ, ""),
        Route("GET", "/a?b", handler, Access.READ, ""),
        Route("GET", "/a b", handler, Access.READ, ""),
        Route("GET", "/a\n", handler, Access.READ, ""),
        Route("GET", None, handler, Access.READ, ""),
        Route("GET", "/x", None, Access.READ, ""),
        Route("GET", "/x", handler, "read", ""),
        Route("GET", "/x", handler, None, ""),
        Route("GET", "/x", handler, Access.READ, None),
        Route("GET", "/x", handler, Access.READ, "", ("format",)),
        Route("GET", "/x", handler, Access.READ, "", Parameter("format", "")),
        Route(["GET"], "/x", handler, Access.READ, ""),
    ],
)
def test_a_route_that_cannot_be_served_is_left_out(make, route):
    asked = make(bad=returning("endoscope_routes", lambda: [route]), good=Good)
    bad, good = asked.routes()
    assert bad.items == ()
    assert len(bad.failures) == 1
    assert len(good.items) == 1


@pytest.mark.parametrize("path", ["", "/x", "/x/{name}", "/{a}/{b}", "/x.y/{name}.txt", "/~a_b-c"])
def test_paths_that_can_be_served(make, path):
    route = Route("GET", path, handler, Access.READ, "")
    (answer,) = make(good=returning("endoscope_routes", lambda: [route])).routes()
    assert answer.items == (route,)


def test_a_route_contributed_twice(make):
    route = Route("GET", "/x", handler, Access.READ, "first")
    again = Route("GET", "/x", handler, Access.READ, "second")
    (answer,) = make(bad=returning("endoscope_routes", lambda: [route, again])).routes()
    assert answer.items == (route,)
    assert "contributed twice" in answer.failures[0].error


# --- members --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\0", None, 5, Path("a")]
)
def test_a_member_whose_path_could_leave_its_folder(make, path):
    member = ArchiveMember(path, b"", "group")
    (answer,) = make(bad=returning("endoscope_archive_members", lambda: [member])).archive_members(
        5
    )
    assert answer.items == ()
    assert len(answer.failures) == 1


# --- authentication -------------------------------------------------------------------------------


def test_verdicts_of_all(make):
    asked = make(
        a=returning("endoscope_authenticate", lambda: Granted("a")),
        b=returning("endoscope_authenticate", lambda: Refused("no")),
        c=returning("endoscope_authenticate", lambda: None),
    )
    assert asked.authenticators == ("a", "b", "c")
    assert asked.authenticate(REQUEST) == (Granted("a"), Refused("no"))


@pytest.mark.parametrize(
    "nonsense",
    [
        True,
        "granted",
        [],
        5,
        Granted,
        Granted("x", {Access.READ}),
        Granted("x", None),
        Granted("x", frozenset({"read"})),
        Granted(None),
        Refused(None),
        [Granted("x"), "nonsense"],
    ],
)
def test_an_authenticator_that_answers_nonsense_has_not_granted(make, nonsense):
    asked = make(bad=returning("endoscope_authenticate", lambda: nonsense))
    verdicts = asked.authenticate(REQUEST)
    refused = any(isinstance(verdict, Refused) for verdict in verdicts)
    assert refused or verdicts == ()


def test_an_authenticator_that_raises_has_refused_and_quotes_no_credential(make, caplog):
    class Quoting(Plugin):
        @hookimpl
        def endoscope_authenticate(self, request):
            raise KeyError(request.headers["authorization"][0])

    asked = make(bad=Quoting)
    (verdict,) = asked.authenticate(REQUEST)
    assert isinstance(verdict, Refused)
    assert "hunter2" not in f"{verdict} {caplog.text} {asked.failures}"
    assert "KeyError" in asked.failures[0].error


# --- the environment ------------------------------------------------------------------------------


def test_launch_environments_are_put_together(make):
    asked = make(
        a=returning("endoscope_launch_environment", lambda: {"A": "1", "SAME": "x"}),
        b=returning("endoscope_launch_environment", lambda: {"B": "2", "SAME": "x"}),
    )
    assert asked.launch_environment({}) == {"A": "1", "B": "2", "SAME": "x"}


def test_two_that_set_one_variable_differently(make):
    asked = make(
        a=returning("endoscope_launch_environment", lambda: {"LD_PRELOAD": "1"}),
        b=returning("endoscope_launch_environment", lambda: {"LD_PRELOAD": "2"}),
    )
    with pytest.raises(PluginError, match="a and b both set LD_PRELOAD") as caught:
        asked.launch_environment({})
    assert "--no-plugin b" in caught.value.remedy


@pytest.mark.parametrize("value", [{"A": 1}, {1: "a"}, {"A": None}, {"A": "a\0b"}, "A=1", [1]])
def test_an_environment_that_no_process_can_have(make, value):
    asked = make(bad=returning("endoscope_launch_environment", lambda: value))
    assert asked.launch_environment({}) == {}
    assert len(asked.failures) == 1


@pytest.mark.parametrize(
    "problem", [Problem("fatal", "x"), Problem("error", None), Problem("error", "x", 5)]
)
def test_a_problem_with_fields_of_a_wrong_type(make, problem):
    asked = make(bad=returning("endoscope_problems", lambda: [problem]))
    (answer,) = asked.problems(in_host=True)
    assert answer.items == ()
    assert "Problem with a field of a wrong type" in answer.failures[0].error


# --- finding --------------------------------------------------------------------------------------


def found(name: str, reserved=()) -> FoundPlugin:
    return next(plugin for plugin in discover((), reserved) if plugin.name == name)


def test_an_installed_plugin_is_found(install):
    install("exemplar", Good)
    assert found("exemplar") == FoundPlugin("exemplar", "example-exemplar", "1.2.3", Good)


def test_a_disabled_plugin_is_not_imported(install):
    install.value("exemplar", "no_such_module_at_all:Plugin")
    (plugin,) = [p for p in discover(["exemplar"], ()) if p.name == "exemplar"]
    assert plugin.disabled
    assert plugin.failure is None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("no_such_module_at_all:Plugin", "ModuleNotFoundError"),
        ("os:no_such_name", "AttributeError"),
        ("os:path", "no subclass of endoscope.Plugin"),
        ("pathlib:Path", "no subclass of endoscope.Plugin"),
        ("", "Error"),
    ],
)
def test_what_cannot_be_loaded(install, value, says):
    install.value("exemplar", value)
    assert says in found("exemplar").failure.error


@pytest.mark.parametrize("line", ["raise SystemExit(5)", "1 / 0", "nonsense nonsense"])
def test_a_module_that_fails_at_import(install, tmp_path, monkeypatch, line):
    (tmp_path / "failing_example_module.py").write_text(line + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    install.value("exemplar", "failing_example_module:Plugin")
    assert found("exemplar").failure.hook == "load"


@pytest.mark.parametrize("declared", [None, dict, 5, PluginSettings()])
def test_settings_that_are_no_settings(install, declared):
    install("exemplar", type("Bad", (Plugin,), {"Settings": declared}))
    assert "no subclass of endoscope.PluginSettings" in found("exemplar").failure.error


def test_a_name_that_two_distributions_claim(install):
    install("exemplar", Good, "first-dist")
    install("exemplar", Good, "second-dist")
    assert "first-dist and second-dist both claim" in found("exemplar").failure.error


@pytest.mark.parametrize("name", ["Upper", "1x", "a.b", "../x", "ä", "x" * 65])
def test_a_name_that_no_plugin_may_have(install, name):
    install.value(name, "os:path", "example")
    assert "no plugin name" in found(name).failure.error


def test_a_reserved_name(install):
    install("exemplar", Good)
    assert "reserved" in found("exemplar", reserved=["exemplar"]).failure.error


def test_a_load_failure_is_reported(make, workers):
    failure = PluginFailure("bad", "load", "ValueError: x")
    asked = Plugins([FoundPlugin("bad", "d", "1", failure=failure)], lambda name: None, workers)
    assert asked.failures == (failure,)
    assert asked.loaded == ()


def test_the_group_is_the_project():
    assert plugins.GROUP == "endoscope"
