"""A folder, such as a model's, that appears whole or not at all.

In: the place where it should stand. Out: an empty folder to write into, which takes that place on success. This module
does not know what is written.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from aloe.writing import explained_disk_errors


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Write a folder whole or not at all: an empty folder beside it to write into, renamed on success.

    Raises:
        UserError: the disk is full or may not be written to; what stood there before is untouched.
    """
    new, old = (path.with_name(f".{path.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    with explained_disk_errors(path):
        try:
            for abandoned in path.parent.glob(f".{path.name}.*.new"):
                shutil.rmtree(abandoned)
            new.mkdir(parents=True)
            yield new
            usual = (
                new.stat().st_mode & 0o666
            )  # libraries that write a temporary file first leave it to its owner alone
            for file in new.rglob("*"):
                if file.is_file() and not file.is_symlink():
                    file.chmod(usual)
            if path.exists():
                path.rename(old)
            new.rename(path)
        finally:
            for leftover in (new, old):
                shutil.rmtree(leftover, ignore_errors=True)
