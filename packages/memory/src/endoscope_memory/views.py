"""What people look at: views of the dumps in the folder, kept for who asks again."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from endoscope import BadRequestError, FileContent
from endoscope_memory import conversion, kept_views
from endoscope_profiles.views import FORMATS, GROWTH_FORMATS, ViewError, choice, policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from endoscope_memory.dumps import DumpFolder
    from endoscope_profiles.views import Format, GrowthFormat

_MOST_DUMPS = 50  # that growth is seen in: each is an open file, and read into memory


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
        return self._content([name], job, FORMATS[made], _stem(name), policy(made))

    def of_difference(self, base: str, target: str, options: Mapping[str, str]) -> FileContent:
        """Return a view of what `target` holds more than `base`."""
        made = _format(FORMATS, options)
        job = {"kind": "view", "options": dict(options), "title": f"{target}, since {base}"}
        stem = f"{_stem(target)}-since-{_stem(base)}"
        return self._content([base, target], job, FORMATS[made], stem, policy(made))

    def of_growth(self, options: Mapping[str, str]) -> FileContent:
        """Return a view of what grew over all dumps that there are."""
        made = _format(GROWTH_FORMATS, options)
        names = [dump.name for dump in reversed(self._dumps.newest_first()[:_MOST_DUMPS])]
        if not names:
            raise BadRequestError(
                "There are no dumps to see growth in",
                remedy="Take two or more, some minutes apart: POST /diagnostics/memory/dump",
                code="too_few_dumps",
            )
        job = {"kind": "growth", "options": dict(options)}
        stem = f"{_stem(names[-1])}-growth"
        return self._content(names, job, GROWTH_FORMATS[made], stem, "")

    def _content(
        self,
        names: Sequence[str],
        job: Mapping[str, Any],
        format_: Format | GrowthFormat,
        stem: str,
        page_policy: str,
    ) -> FileContent:
        with ExitStack() as opened:
            sources = [opened.enter_context(self._dumps.open(name)) for name in names]
            view = kept_views.name_of(names[-1], sources, job)
            file = self._dumps.find_view(view) or self._made(view, names, sources, job)
        size = os.fstat(file.fileno()).st_size
        return FileContent(file, size, f"{stem}.{format_.suffix}", format_.media_type, page_policy)

    def _made(
        self,
        view: str,
        names: Sequence[str],
        sources: Sequence[BinaryIO],
        job: Mapping[str, Any],
    ) -> BinaryIO:
        files = [source.fileno() for source in sources]
        size = sum(os.fstat(file).st_size for file in files)
        with self._dumps.writing("view"), self._dumps.draft() as draft:
            job = {**job, "sources": len(files)}
            conversion.convert(job, [*files, draft.descriptor], size, self._seconds)
            self._dumps.keep_view(draft, view, names, self._keep_bytes)
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


def _stem(name: str) -> str:
    return name.removesuffix(".prof")
