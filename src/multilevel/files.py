"""Files as a whole: a new one takes the place of the old one when it is complete, and never before.

What is written stands under a name of its own beside the file until nothing can fail any more: a full disk, an exception or an
interruption leaves the old file as it was, two writers of one file do not meet, and a link that somebody put in the way is never
followed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from multilevel.errors import FileError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a file to write to; it becomes `path` when the block ends, and vanishes where the block raises.

    A link at `path` is replaced, not followed; what is no file (a pipe, a terminal) is written to directly.

    Raises
    ------
    FileError
        The file cannot be written: the folder is missing, may not be written to, or the disk is full.
    """
    target = Path(path)
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            with target.open("wb") as through:
                yield through
            return
        if target.is_dir():
            raise FileError(f"The file {str(target)!r} cannot be written: there is a folder of that name.")
        partial, stream = _beside(target)
        try:
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"The file {str(target)!r} cannot be written: {error.strerror or error}.") from error


def _beside(target: Path) -> tuple[Path, IO[bytes]]:
    """Open a new file in the folder of another, with the permissions that the other has or would get."""
    partial = target.parent / f".{secrets.token_hex(8)}.partial"
    # Exclusive: a file or a link that is there already is an error, whoever made it.
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    if target.is_file() and not target.is_symlink() and hasattr(os, "fchmod"):
        os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
    return partial, os.fdopen(descriptor, "wb")


def write_bytes(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a whole file; one that is there is replaced when the new one is complete.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    with replacing(path) as stream:
        stream.write(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole text as UTF-8, as `write_bytes` does."""
    write_bytes(path, text.encode("utf-8"))
