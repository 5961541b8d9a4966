"""A plugin whose routes say which process answers, and stream and send files out of it."""

import itertools
import os
import tempfile
import time

from endoscope import Access, ByteStream, FileContent, Json, Parameter, Plugin, Route, hookimpl


class Endless:
    """Chunks without end; counts those that are open."""

    live = 0

    def __init__(self):
        Endless.live += 1
        self._numbers = itertools.count()

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._numbers).to_bytes(8, "big") * 8192

    def close(self):
        Endless.live -= 1


class Numbered:
    """A number of chunks, of which each says who made it."""

    def __init__(self, count):
        self._left = count

    def __iter__(self):
        return self

    def __next__(self):
        if not self._left:
            raise StopIteration
        self._left -= 1
        return b"%8d" % os.getpid() * 8192

    def close(self):
        pass


def whoami(_request):
    return Json({"pid": os.getpid(), "live": Endless.live, "threads": threads()})


def threads():
    return sorted(
        open(f"/proc/self/task/{task}/comm").read().strip()
        for task in os.listdir("/proc/self/task")
    )


def file(_request):
    opened = tempfile.TemporaryFile()  # noqa: SIM115  core closes it
    opened.write(b"%8d" % os.getpid() * 100_000)
    opened.seek(0)
    return FileContent(opened, 800_000, "whose.bin")


def sleep(request):
    time.sleep(float(request.query["seconds"]))
    return Json({"pid": os.getpid()})


def fail(_request):
    raise RuntimeError("as it was told")


class ToldPlugin(Plugin):
    """Routes for tests."""

    @hookimpl
    def endoscope_routes(self):
        read = Access.READ
        seconds = Parameter("seconds", "how long")
        return [
            Route("GET", "/whoami", whoami, read, "Who answers"),
            Route("GET", "/endless", lambda _: ByteStream(Endless(), "endless"), read, "Endless"),
            Route("GET", "/numbered", lambda _: ByteStream(Numbered(200), "n"), read, "200 chunks"),
            Route("GET", "/file", file, read, "A file that is deleted"),
            Route("GET", "/sleep", sleep, read, "Sleep", (seconds,)),
            Route("GET", "/fail", fail, read, "Fail"),
        ]
