"""Files that are whole or not there: how every stage writes what it hands on.

In: a path and what shall stand in it. Out: the file, at once and safely on the disk, or a sentence that says what is in
the way; what stood there before is then untouched. This module does not know what the files hold.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from aloe.errors import UserError

_DISK_ERRORS = {
    errno.ENOSPC: "the disk is full; make room and run again",
    errno.EDQUOT: "the disk quota is used up; make room and run again",
    errno.EROFS: "the file system is read-only; choose a place that can be written to",
    errno.EACCES: "permission denied; check who owns the folder",
    errno.EPERM: "permission denied; check who owns the folder",
}


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all (UTF-8).

    Raises:
        UserError: the disk is full or may not be written to; what stood there before is untouched.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary file beside it, then a rename.

    Raises:
        UserError: the disk is full or may not be written to; what stood there before is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explained_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def explained_disk_errors(path: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission while writing `path` into a `UserError`; let other errors pass."""
    try:
        yield
    except OSError as error:
        remedy = _DISK_ERRORS.get(error.errno or 0)
        if remedy is None:
            raise
        raise UserError(f"{path} could not be written: {remedy}. Nothing was overwritten.") from None
