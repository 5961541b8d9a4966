"""Files that are there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from endoscope.errors import ServiceError


@contextmanager
def written_whole(final: Path) -> Iterator[Callable[[bytes], None]]:
    """Yield what writes to a file beside `final`, which takes its name if all goes well.

    Else it goes away. What is there and no file, such as a device, is written to as it is: to
    give its name to a file would replace it. Raises `ServiceError` if it cannot be written.
    """
    in_place = final.exists() and not final.is_file()
    draft = final if in_place else final.with_name(f".{final.name}.{os.getpid()}.part")
    with _writing(final):
        file = draft.open("wb" if in_place else "xb")

    def write(chunk: bytes) -> None:
        with _writing(final):
            file.write(chunk)

    try:
        try:
            yield write
        finally:
            with _writing(final):
                file.close()
        if not in_place:
            with _writing(final):
                draft.replace(final)
    finally:
        if not in_place:
            draft.unlink(missing_ok=True)


@contextmanager
def _writing(final: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ServiceError(
            f"{final} cannot be written: {error.strerror}",
            remedy="Name another place with --output.",
        ) from error
