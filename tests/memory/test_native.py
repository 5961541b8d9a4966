"""The walker's frames against Python's own view of them."""

import asyncio
import sys
import threading

import pytest

from endoscope_memory import native

pytestmark = pytest.mark.skipif(native.obstacle() is not None, reason="no native part")


def own_view():
    """Return the frames of the caller and its callers as Python shows them."""
    frame, stack = sys._getframe(1), []
    while frame is not None:
        stack.append((frame.f_code.co_qualname, frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return stack


def seen():
    """Return what the walker sees of the caller, the two ways it can be asked, and Python's."""
    return native.part.walk(True)[1:], native.part.walk(False)[1:], own_view()[1:]


def agree(views):
    with_gil, without, own = views
    return with_gil == own and without == own


def test_functions_methods_comprehensions_and_lambdas():
    class Shop:
        def method(self):
            return [check() for check in [lambda: agree(seen())]]

        @classmethod
        def of_class(cls):
            return cls().method()

    assert Shop.of_class() == [True]


def test_generators_and_what_they_delegate_to():
    def inner():
        yield agree(seen())

    def outer():
        yield from inner()

    assert list(outer()) == [True]


def test_coroutines_and_async_generators():
    async def generate():
        yield agree(seen())
        await asyncio.sleep(0)
        yield agree(seen())

    async def main():
        return [each async for each in generate()]

    assert asyncio.run(main()) == [True, True]


def test_a_thread_sees_its_own_frames():
    found = []

    def on_a_thread():
        found.append(seen())

    thread = threading.Thread(target=on_a_thread)
    thread.start()
    thread.join()
    assert agree(found[0])
    assert "on_a_thread" in found[0][0][0][0]


def test_called_from_c():
    found = []
    sorted([2, 1], key=lambda _: found.append(agree(seen())) or 0)
    assert found == [True, True]


def recurse(depth):
    return native.part.walk(True) if depth == 1 else recurse(depth - 1)


def test_of_a_deep_stack_the_innermost_are_kept_and_the_cut_is_marked():
    stack = recurse(500)
    assert len(stack) == 128
    assert {frame[0] for frame in stack[:127]} == {"recurse"}
    assert stack[127] == ("[deeper frames are cut]", "", 0)


def test_a_stack_that_just_fits_is_not_cut():
    own = len(own_view())
    stack = recurse(128 - own)
    assert len(stack) == 128
    assert stack[-1][0] != "[deeper frames are cut]"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("über", "über"),
        ("函数", "函数"),
        ("f\N{GRINNING FACE}", "f\N{GRINNING FACE}"),
        ("a\0b", "a\0b"),
        ("a\udc80b", "a?b"),
        ("", ""),
        ("f" * 5000, "f" * 1000),
    ],
)
def test_names_of_every_kind(name, shown):
    def function():
        return native.part.walk(True)

    code = function.__code__.replace(co_qualname=name, co_filename=name)
    function.__code__ = code
    (found_name, found_file, line) = function()[0]
    assert found_name == shown
    assert line == code.co_firstlineno + 1
    assert found_file == (shown if len(name) < 1000 else "f" * 250)


def test_a_file_that_is_too_long_keeps_its_end():
    scope = {"walk": native.part.walk}
    path = "/".join(["directory"] * 300) + "/service.py"
    exec(compile("stack = walk(True)", path, "exec"), scope)
    assert path.endswith(scope["stack"][0][1])
    assert scope["stack"][0][1].endswith("/service.py")


@pytest.mark.parametrize("path", ["<string>", "", "<stdin>\n"])
def test_exec_without_a_file(path):
    scope = {"walk": native.part.walk}
    exec(compile("\n\nstack = walk(False)", path, "exec"), scope)
    assert scope["stack"][0] == ("<module>", path, 3)


def test_lines_of_every_instruction():
    source = "".join(
        f"views.append(({'(' * (n % 7)}walk(True)\n{')' * (n % 7)},\n))\n" * 1 for n in range(300)
    )
    scope = {"walk": native.part.walk, "views": []}
    exec(compile(source, "lines.py", "exec"), scope)
    lines = [view[0][0][2] for view in scope["views"]]
    assert lines == [3 * n + 1 for n in range(300)]


def test_code_that_takes_the_place_of_another_is_told_apart():
    # The sources are of one length, so that code objects come to lie where others were.
    for number in range(3000):
        blank = "\n" * (number % 10)
        name = f"f{number % 7}"
        source = (
            f"{blank}def {name}(): return walk(True)[0]\nfound = {name}(){' ' * (10 - number % 10)}"
        )
        scope = {"walk": native.part.walk}
        exec(compile(source, "same.py", "exec"), scope)
        assert scope["found"] == (name, "same.py", number % 10 + 1)


ABSENT = """
import json
from endoscope_memory import native
found = native.obstacle()
print(json.dumps([found.message, found.remedy]))
"""


def test_an_absent_native_part_is_a_reason_and_a_remedy(plain, without_native):
    message, remedy = plain(without_native + ABSENT).answer
    assert "The native part of endoscope-memory is missing" in message
    assert "gcc python3-dev" in remedy


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("sys.implementation.name = 'pypy'", "on pypy, only on CPython"),
        (
            "import sysconfig; sysconfig.get_config_vars()['Py_GIL_DISABLED'] = 1",
            "free-threaded build",
        ),
        (
            (
                "from endoscope_memory import _native; "
                "_native.walk = lambda with_gil: [('f', 'x.py', 1)] * 200"
            ),
            "are not as they should be: found ('f', 'x.py', 1) instead of",
        ),
        (
            "from endoscope_memory import _native; _native.walk = lambda with_gil: []",
            "found 0 frames",
        ),
    ],
)
def test_a_python_it_does_not_know_is_refused(plain, change, why):
    message, remedy = plain(f"import sys; {change}\n{ABSENT}").answer
    assert why in message
    assert remedy
