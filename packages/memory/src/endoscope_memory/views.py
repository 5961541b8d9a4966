"""What people look at: views of the dumps in the folder, kept for who asks again."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from endoscope import BadRequestError, FileContent
from endoscope_memory import conversion, kept_views, rounds
from endoscope_profiles.process_views import OUTLIER_FORMATS
from endoscope_profiles.views import FORMATS, GROWTH_FORMATS, ViewError, choice, policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from endoscope_memory.dumps import DumpFolder
    from endoscope_profiles.process_views import OutlierFormat
    from endoscope_profiles.views import Format, GrowthFormat

_MOST_DUMPS = 50  # that growth is seen in: each is an open file, and read into memory
# Of dumps that are read one after the other: what is kept of them is less than of as much in one.
_MOST_BYTES_AT_ONCE = 256 << 20
_CHOOSING = ("pid", "dumps", "within")  # the options that are about which dumps


class _Wanted(NamedTuple):
    """A view that is to be had: of which dumps, the newest last, and what it is called."""

    names: Sequence[str]
    job: Mapping[str, Any]
    stem: str
    format: Format | GrowthFormat | OutlierFormat
    policy: str = ""


class Views:
    """Views of a folder's dumps. May be used from any thread.

    Every method takes the options of `endoscope_profiles.views` as texts, which only the process
    that makes the view looks into (a pattern can be made to take long to compile). It raises
    `BadRequestError` for what they cannot be, `NotFoundError` for dumps that are not there, and
    as `conversion.convert` does. To make one may take `seconds`.
    """

    def __init__(
        self, dumps: DumpFolder, keep_bytes: int, seconds: int = conversion.SECONDS
    ) -> None:
        self._dumps = dumps
        self._keep_bytes = keep_bytes
        self._seconds = seconds

    def of_dump(self, name: str, options: Mapping[str, str]) -> FileContent:
        """Return a view of one dump."""
        made = _format(FORMATS, options)
        job = {"kind": "view", "options": dict(options), "title": name}
        return self._of_files(_Wanted([name], job, _stem(name), FORMATS[made], policy(made)))

    def of_difference(self, base: str, target: str, options: Mapping[str, str]) -> FileContent:
        """Return a view of what `target` holds more than `base`."""
        made = _format(FORMATS, options)
        job = {"kind": "view", "options": dict(options), "title": f"{target}, since {base}"}
        stem = f"{_stem(target)}-since-{_stem(base)}"
        return self._of_files(_Wanted([base, target], job, stem, FORMATS[made], policy(made)))

    def of_growth(self, options: Mapping[str, str]) -> FileContent:
        """Return a view of what grew over the dumps of one process, see `rounds.of_process`."""
        made = _format(GROWTH_FORMATS, options)
        with bad_requests():
            names = rounds.of_process(self._dumps.newest_first(), options)[-_MOST_DUMPS:]
        job = {"kind": "growth", "options": _without_choice(options)}
        stem = f"{_stem(names[-1])}-growth"
        return self._of_files(_Wanted(names, job, stem, GROWTH_FORMATS[made]))

    def merged(self, options: Mapping[str, str]) -> FileContent:
        """Return a view of one dump of each process, see `rounds.of_processes`, added up."""
        made = _format(FORMATS, options)
        names = self._of_processes(options)
        title = f"{len(names)} processes added up, {names[-1]} the last"
        job = {"kind": "merged", "options": _without_choice(options), "title": title}
        stem = f"{_stem(names[-1])}-merged"
        return self._of_folder(_Wanted(names, job, stem, FORMATS[made], policy(made)))

    def outliers(self, options: Mapping[str, str]) -> FileContent:
        """Return how processes compare by one dump of each, chosen as for `merged`."""
        made = _format(OUTLIER_FORMATS, options)
        names = self._of_processes(options)
        job = {"kind": "outliers", "options": _without_choice(options)}
        stem = f"{_stem(names[-1])}-outliers"
        return self._of_folder(_Wanted(names, job, stem, OUTLIER_FORMATS[made]))

    def _of_processes(self, options: Mapping[str, str]) -> list[str]:
        with bad_requests():
            return rounds.of_processes(self._dumps.newest_first(), options)

    def _of_files(self, wanted: _Wanted) -> FileContent:
        """Return a view of few dumps, all of which are open while it is made."""
        with ExitStack() as opened:
            sources = [opened.enter_context(self._dumps.open(name)) for name in wanted.names]
            descriptors = [source.fileno() for source in sources]
            files = [os.fstat(descriptor) for descriptor in descriptors]
            view = kept_views.name_of(wanted.names[-1], files, wanted.job)
            file = self._dumps.find_view(view)
            if file is None:
                size = sum(file.st_size for file in files)
                file = self._made(view, wanted, descriptors, size)
        return _answer(wanted, file)

    def _of_folder(self, wanted: _Wanted) -> FileContent:
        """Return a view of many dumps, which are opened one after the other while it is made."""
        job = {**wanted.job, "dumps": wanted.names}
        wanted = wanted._replace(job=job)
        files = self._dumps.files(wanted.names)
        view = kept_views.name_of(wanted.names[-1], files, job)
        file = self._dumps.find_view(view)
        if file is None:
            size = min(sum(file.st_size for file in files), _MOST_BYTES_AT_ONCE)
            with self._dumps.opened() as folder:
                file = self._made(view, wanted, [folder], size)
        return _answer(wanted, file)

    def _made(
        self, view: str, wanted: _Wanted, sources: Sequence[int], input_bytes: int
    ) -> BinaryIO:
        with self._dumps.writing("view"), self._dumps.draft() as draft:
            job = {**wanted.job, "sources": len(sources)}
            conversion.convert(job, [*sources, draft.descriptor], input_bytes, self._seconds)
            self._dumps.keep_view(draft, view, wanted.names, self._keep_bytes)
            os.lseek(draft.descriptor, 0, os.SEEK_SET)
            return os.fdopen(os.dup(draft.descriptor), "rb")


@contextmanager
def bad_requests() -> Iterator[None]:
    """Turn what is wrong with options into `BadRequestError`."""
    try:
        yield
    except ViewError as error:
        raise BadRequestError(
            error.message, remedy=f"{error.remedy}.", code="bad_parameter"
        ) from error


def _format(formats: Mapping[str, object], options: Mapping[str, str]) -> str:
    with bad_requests():
        return choice("format", formats, options)


def _without_choice(options: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in options.items() if name not in _CHOOSING}


def _answer(wanted: _Wanted, file: BinaryIO) -> FileContent:
    size, made = os.fstat(file.fileno()).st_size, wanted.format
    name = f"{wanted.stem}.{made.suffix}"
    return FileContent(file, size, name, made.media_type, wanted.policy)


def _stem(name: str) -> str:
    return name.removesuffix(".prof")
