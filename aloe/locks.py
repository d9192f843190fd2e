"""One process at a time, by a lock on a file that vanishes with the process that holds it.

In: the path of a lock file. Out: a `Lock` to hold with `with`, or with `acquire()` and `release()` across the cells
of a notebook. The file tells who holds it (pid, host, user, since). Taking a lock that this process already holds
is allowed. This module does not know what is protected.
"""

import datetime
import errno
import fcntl
import getpass
import json
import os
import socket
import time
from pathlib import Path
from typing import IO, Self

from aloe.errors import UserError
from aloe.writing import explained_disk_errors

# POSIX record locks: not inherited by forked children, and gone when the process is, however it ends. They are also
# gone when the process closes *any* descriptor of the file, so a file that we hold is never opened a second time.
_held: dict[Path, tuple[IO[str], int]] = {}


class Lock:
    """A lock on `path`; `what` names the protected thing in the line that is printed while waiting."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path.resolve(), what

    def acquire(self, wait: bool = True) -> Self:
        """Take the lock, waiting for another process that holds it (one printed line says whose it is).

        Raises:
            UserError: `wait` is false and another process holds it, or the file system cannot lock.
        """
        if self.path in _held:
            file, depth = _held[self.path]
            _held[self.path] = (file, depth + 1)
            return self
        with explained_disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+", encoding="utf-8")
        try:
            told = False
            while not self._try(file):
                message = f"{self.what} is in use by {_holder(file)}"
                if not wait:
                    raise UserError(f"{message}; wait until it is done, or end that process.")
                if not told:
                    print(f"{message}; waiting until it is done (Ctrl-C to give up).", flush=True)
                told = True
                time.sleep(0.25)
        except BaseException:
            file.close()
            raise
        _held[self.path] = (file, 1)
        return self

    def release(self) -> None:
        """Give the lock back once for each time it was taken; releasing a lock that is not held does nothing."""
        if self.path not in _held:
            return
        file, depth = _held[self.path]
        if depth > 1:
            _held[self.path] = (file, depth - 1)
            return
        file.truncate(0)
        del _held[self.path]
        file.close()

    def __enter__(self) -> Self:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try(self, file: IO[str]) -> bool:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise UserError(f"{self.path} cannot be locked ({error.strerror}); use a disk that can lock.") from None
        with explained_disk_errors(self.path):
            file.truncate(0)
            file.write(json.dumps(_myself()))
            file.flush()
        return True


def _myself() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "user": user, "since": since}


def _holder(file: IO[str]) -> str:
    file.seek(0)
    try:
        data = json.loads(file.read())
        return f"process {data['pid']} on {data['host']} (user {data['user']}, since {data['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process"
