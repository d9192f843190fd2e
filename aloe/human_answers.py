"""The filled-in sheets of a human study, read back and checked: what is not whole is refused with its row.

In: CSV files as the page of `human_sheet` saves them, or its spreadsheet form filled in. Out: `Answer`s. Rows are
numbered as a spreadsheet does: the names of the columns are row 1. This module does not know which policy is on a side.
"""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from aloe.errors import UserError
from aloe.human_sheet import COLUMNS, TEXTS, Item

Preference = Literal["A", "B", "tie"]
_PREFERENCES: dict[str, Preference] = {"a": "A", "b": "B", "tie": "tie"}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one person says of one item; ratings are whole numbers, 1 (does not suit at all) to 5 (suits very well)."""

    rater: str
    item: str
    preference: Preference
    rating_a: int
    rating_b: int


def read_answers(path: Path, items: Sequence[Item]) -> list[Answer]:
    """One person's answers: every item once, in any order, with its texts as they were drawn.

    White space, the separator (comma, semicolon, tab) and empty rows do not matter: spreadsheets change them.

    Raises:
        UserError: names the file and the first row with a fault, and what to do.
    """
    known = {item.id: item for item in items}
    row_of: dict[str, int] = {}
    answers: list[Answer] = []
    for number, row in _rows(path):
        where = f"{path}, row {number}"
        item = known.get(row["item"])
        if item is None:
            raise UserError(f"{where}: this sheet has no item {row['item']!r:.40}; take a file that belongs to it.")
        if item.id in row_of:
            raise UserError(f"{where}: item {item.id} stands in row {row_of[item.id]} already; remove one of them.")
        row_of[item.id] = number
        _check_texts(row, item, where)
        answers.append(_answer(row, where))
        if answers[-1].rater != answers[0].rater:
            raise UserError(f"{where}: the rater is {answers[-1].rater!r:.60}, in the rows before it is "
                            f"{answers[0].rater!r:.60}; write one file per person.")  # fmt: skip
    for number, item in enumerate(items, 2):
        if item.id not in row_of:
            raise UserError(f"{path}: item {item.id} is missing (row {number} of the sheet); ask for a whole file.")
    return answers


def read_all(paths: Sequence[Path], items: Sequence[Item]) -> list[Answer]:
    """The answers of several people, one file each.

    Raises:
        UserError: as `read_answers`; or there is no file, or two are by the same person.
    """
    if not paths:
        raise UserError("There are no answers to read; put the files that people sent back into the folder for them.")
    file_of: dict[str, Path] = {}
    answers: list[Answer] = []
    for path in paths:
        own = read_answers(path, items)
        rater = own[0].rater.casefold()
        if rater in file_of:
            raise UserError(f"{path}, row 2: {own[0].rater!r} is the rater of {file_of[rater]} too; remove one of the "
                            f"files, or name one of the people differently in every row.")  # fmt: skip
        file_of[rater] = path
        answers += own
    return answers


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Row numbers and cells by column, without white space at their ends."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; save it as CSV in UTF-8.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    separator = max(",;\t", key=text.partition("\n")[0].count)
    table: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            table.append([cell.strip() for cell in row])
    except csv.Error as error:
        raise UserError(f"{path}, row {len(table) + 1}: not CSV ({error}); ask for the file again.") from None
    header = table[0] if table else []
    wrong = [f"{name!r:.40} is unknown" for name in header if name not in COLUMNS]
    wrong += [f"{name!r} is missing" for name in COLUMNS if name not in header]
    wrong += [f"{name!r} is there twice" for name in COLUMNS if header.count(name) > 1]
    if wrong:
        raise UserError(f"{path}, row 1: column {wrong[0]}; the columns are {', '.join(COLUMNS)}.")
    rows = [(number, row) for number, row in enumerate(table[1:], 2) if any(row)]
    for number, row in rows:
        if len(row) != len(header):
            raise UserError(f"{path}, row {number}: {len(header)} cells expected, got {len(row)}; restore the row.")
    return [(number, dict(zip(header, row, strict=True))) for number, row in rows]


def _check_texts(row: dict[str, str], item: Item, where: str) -> None:
    expected = {name: getattr(item, name) for name in TEXTS} | {"check": item.digest}
    for name, text in expected.items():
        if row[name].split() not in (text.split(), f"'{text}".split()):  # guarded or not
            raise UserError(f"{where}, column {name!r}: the text is not the one that was to be judged; take the sheet "
                            f"as it was sent out, and fill in the last columns only.")  # fmt: skip


def _answer(row: dict[str, str], where: str) -> Answer:
    if not row["rater"]:
        raise UserError(f"{where}, column 'rater': it is empty; write the person's name or code in every row.")
    preference = _PREFERENCES.get(row["preference"].casefold())
    if preference is None:
        raise UserError(f"{where}, column 'preference': expected A, B or tie, got {row['preference']!r:.40}.")
    for name in ("rating_a", "rating_b"):
        if row[name] not in ("1", "2", "3", "4", "5"):
            raise UserError(f"{where}, column {name!r}: expected a whole number from 1 to 5, got {row[name]!r:.40}.")
    return Answer(row["rater"], row["item"], preference, int(row["rating_a"]), int(row["rating_b"]))
