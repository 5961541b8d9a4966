import pytest

from endoscope_profiles import Frame
from endoscope_profiles.origin import Origin, origin, package, process, thread


@pytest.mark.parametrize(
    ("frame", "kind", "name"),
    [
        (Frame("get", "/srv/app/service.py", 3), Origin.APPLICATION, "/srv/app"),
        (Frame("main", "app.py", 3), Origin.APPLICATION, "app.py"),
        (Frame("<module>", "<string>", 1), Origin.APPLICATION, "<string>"),
        (
            Frame("get", "/venv/lib/python3.11/site-packages/flask/app.py", 9),
            Origin.PACKAGE,
            "flask",
        ),
        (Frame("x", "/usr/lib/python3/dist-packages/six.py", 9), Origin.PACKAGE, "six"),
        (Frame("x", r"C:\venv\Lib\site-packages\flask\app.py", 9), Origin.PACKAGE, "flask"),
        (
            Frame("loads", "/usr/lib/python3.11/json/__init__.py", 9),
            Origin.STANDARD_LIBRARY,
            "json",
        ),
        (Frame("x", "/opt/py/lib/python3.14t/re.py", 9), Origin.STANDARD_LIBRARY, "re"),
        (Frame("_load", "<frozen importlib._bootstrap>", 9), Origin.INTERPRETER, "importlib"),
        (Frame("_PyEval_Vector", "/usr/bin/python3.11"), Origin.INTERPRETER, "python3.11"),
        (
            Frame("+0x12", "/usr/lib/libpython3.11.so.1.0"),
            Origin.INTERPRETER,
            "libpython3.11.so.1.0",
        ),
        (Frame("deflate", "/lib/x86_64-linux-gnu/libz.so.1"), Origin.NATIVE, "libz.so.1"),
        (Frame("deflate", "zlib/deflate.c", 12), Origin.NATIVE, "zlib"),
        (Frame("deflate", "deflate.c", 12, "/lib/libz.so.1"), Origin.NATIVE, "libz.so.1"),
        (
            Frame("_PyEval_Vector", "Python/ceval.c", 12, "/usr/bin/python3.11"),
            Origin.INTERPRETER,
            "python3.11",
        ),
        (
            Frame("x", "src/prof.c", 3, "/lib/libjemalloc.so.2"),
            Origin.ALLOCATOR,
            "libjemalloc.so.2",
        ),
        (Frame("prof_x", "/usr/lib/libjemalloc.so.2"), Origin.ALLOCATOR, "libjemalloc.so.2"),
        (Frame("malloc", "/lib/libc.so.6"), Origin.ALLOCATOR, "libc.so.6"),
        (Frame("_PyObject_Malloc", "/usr/bin/python3.11"), Origin.ALLOCATOR, "python3.11"),
        (Frame("PyMem_RawRealloc", "/usr/bin/python3.11"), Origin.ALLOCATOR, "python3.11"),
        (Frame("0x7f001234"), Origin.NATIVE, "0x7f001234"),
        (Frame("[no Python]"), Origin.MARKER, "[no Python]"),
    ],
    ids=lambda value: value.function if isinstance(value, Frame) else None,
)
def test_origin_and_package(frame, kind, name):
    assert (origin(frame), package(frame)) == (kind, name)


def test_a_thread_is_an_outermost_marker():
    assert thread(Frame("[thread 3 worker]")) == "thread 3 worker"
    assert thread(Frame("main", "app.py", 1)) == ""


def test_so_is_a_process():
    assert process(Frame("[process 1234]")) == "process 1234"
    assert process(Frame("[thread 3 worker]")) == process(Frame("main", "app.py", 1)) == ""
