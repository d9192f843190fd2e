"""Every model reply that was paid for, kept in one SQLite file and found again by its request.

In: the hash of a request and its reply. Out: the reply, whenever the same request comes again. A reply is on file when
`put` returns: it survives the process being killed at any moment (write-ahead log, synchronous=NORMAL); a power cut
may lose the last few replies but does not damage the file. Several processes may use one journal at once; what two
journals hold can be put together. This module does not know what is asked, or where.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from aloe.errors import UserError
from aloe.writing import explained_disk_errors, write_text

DURABILITY = "Every reply is on file before it is used and survives kill -9; a power cut may lose the last few."
IN_MEMORY = Path(":memory:")  # what SQLite calls a file that is none: gone when it is closed
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, role TEXT NOT NULL, endpoint TEXT NOT NULL, model TEXT NOT NULL, reply TEXT NOT NULL,
    finish_reason TEXT, prompt_tokens INTEGER, completion_tokens INTEGER, seconds REAL NOT NULL, created REAL NOT NULL
) WITHOUT ROWID;
"""


class Entry(NamedTuple):
    """One reply and what is known of it; token counts are None where the server did not give them."""

    role: str
    endpoint: str
    model: str
    reply: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float


_COLUMNS = ("key", *Entry._fields, "created")


class Total(NamedTuple):
    """What one role asked of one model: tokens that are known, `seconds` of waiting added up over calls.

    `cut_off` counts replies that ended at the token limit; `uncounted` those whose tokens the server did not give.
    """

    role: str
    endpoint: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    cut_off: int
    uncounted: int


class Journal:
    """One journal file, made if it is not there. Use it from one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            UserError: the file is damaged, of another version, or cannot be written.
        """
        self.path = path
        with explained_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained():
            # isolation_level None: every statement commits by itself
            self._file = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            version = self._file.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise UserError(f"{path} was written by another version of this project; move it away and run again.")
            self._file.execute(_SCHEMA)
            self._file.execute(f"PRAGMA user_version={_VERSION}")

    def get(self, key: str) -> Entry | None:
        """The reply to the request of this hash, or None."""
        with self._explained():
            row = self._file.execute(f"SELECT {', '.join(Entry._fields)} FROM replies WHERE key=?", (key,)).fetchone()
        return None if row is None else Entry(*row)

    def put(self, key: str, entry: Entry) -> Entry:
        """Keep a reply. If another process kept one first, that one stays and is returned: one request, one reply."""
        row = (key, *entry, time.time())
        with self._explained():
            marks = ", ".join("?" * len(row))
            done = self._file.execute(f"INSERT OR IGNORE INTO replies ({', '.join(_COLUMNS)}) VALUES ({marks})", row)
        return entry if done.rowcount else (self.get(key) or entry)

    def summary(self) -> list[Total]:
        """What was asked and paid, by role, endpoint and model; an empty journal gives an empty list."""
        with self._explained():
            rows = self._file.execute(
                "SELECT role, endpoint, model, COUNT(*), COALESCE(SUM(prompt_tokens), 0),"
                " COALESCE(SUM(completion_tokens), 0), SUM(seconds), SUM(finish_reason IS 'length'),"
                " SUM(prompt_tokens IS NULL OR completion_tokens IS NULL)"
                " FROM replies GROUP BY role, endpoint, model ORDER BY role, endpoint, model"
            ).fetchall()
        return [Total(*row) for row in rows]

    def merge(self, other: Path) -> int:
        """Take over the replies of another journal to requests that this one does not hold; the other is only read.

        Returns:
            How many were taken. They count as asked and paid, for budgets too.

        Raises:
            UserError: the other one is not there, is damaged, or is of another version.
        """
        if not other.is_file():
            raise UserError(
                f"{other} does not exist; name the file of a journal, such as outputs/x/journal/replies.sqlite."
            )
        before, columns = self._file.total_changes, ", ".join(_COLUMNS)
        with (
            self._explained(other),
            contextlib.closing(sqlite3.connect(f"{other.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as source,
        ):
            if source.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
                raise UserError(f"{other} is no journal of this version of the project; nothing was taken from it.")
            rows = source.execute(f"SELECT {columns} FROM replies").fetchall()
        with self._explained():
            self._file.execute("BEGIN IMMEDIATE")  # all of them or none
            try:
                marks = ", ".join("?" * len(_COLUMNS))
                self._file.executemany(f"INSERT OR IGNORE INTO replies ({columns}) VALUES ({marks})", rows)
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")
        return self._file.total_changes - before

    def export(self, path: Path) -> int:
        """Write every reply as one line of JSON, in the order in which they came, and return how many there are.

        A line holds the request's hash (`key`), the fields of `Entry`, and `created` in seconds since 1970.
        """
        with self._explained():
            rows = self._file.execute(f"SELECT {', '.join(_COLUMNS)} FROM replies ORDER BY created, key").fetchall()
        lines = (json.dumps(dict(zip(_COLUMNS, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
        write_text(path, "".join(lines))
        return len(rows)

    def close(self) -> None:
        """Close the file; what was put stays."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _explained(self, path: Path | None = None) -> Iterator[None]:
        path = path or self.path
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "locked" in text or "busy" in text:
                remedy = "another process has been writing for half a minute; wait for it and run again"
            elif "full" in text:
                remedy = "the disk is full; make room and run again, nothing kept so far is lost"
            else:
                remedy = "check that the folder exists and can be written to"
            raise UserError(f"{path} could not be used ({text}): {remedy}.") from None
        except sqlite3.DatabaseError as error:
            raise UserError(
                f"{path} is damaged ({error}). Move it away together with the files beside it that begin with "
                "its name, and run again: its replies are then asked for once more."
            ) from None
