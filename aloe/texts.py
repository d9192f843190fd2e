"""Texts in, checked: seed profiles and personalities, benchmark personas, and a model's list of more.

In: a JSONL file with one `{"id": ..., "text": ...}` per line, or a reply. Out: `Text` records in file order. A line
that is not exactly that is a `UserError` naming file and line. This module does not know what the texts are for.
"""

import json
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aloe.errors import UserError

LONGEST = 10_000  # characters
REMEDY = 'each line must be like {"id": "seed-p01", "text": "Ana is a nurse. She ..."}'


@dataclass(frozen=True)
class Text:
    """A profile or a personality. Its id begins with its split: "train-p012", "bench-t3"."""

    id: str
    text: str


def load_texts(path: Path, minimum: int = 5) -> list[Text]:
    """Every text of a file, in order.

    Args:
        path: JSONL; a line may also carry `novel` and `wants` (see `load_novel`, `load_wants`).
        minimum: fewer texts are refused.

    Raises:
        UserError: names the file, the line and what to do: not JSON, another shape, an empty, repeated or over-long
            text, a repeated id, a control character, too few lines.
    """
    texts: list[Text] = []
    seen: dict[tuple[str, str], int] = {}
    for number, data in _lines(path):
        where = f"{path}, line {number}"
        text = Text(_string(data, "id", where), _string(data, "text", where))
        if unknown := sorted(set(data) - {"id", "text", "novel", "wants"}):
            raise UserError(f"{where}: unknown field {unknown[0]!r}; {REMEDY}.")
        if problem := text_problem(text.text) or text_problem(text.id):
            raise UserError(f"{where}: {problem}; mend the line or remove it.")
        for key in (("id", text.id), ("text", " ".join(text.text.casefold().split()))):
            if key in seen:
                raise UserError(f"{where}: the same {key[0]} as in line {seen[key]}; remove one of the two.")
            seen[key] = number
        texts.append(text)
    if len(texts) < minimum:
        raise UserError(f"{path}: {len(texts)} texts, but at least {minimum} are needed; add more lines.")
    return texts


def load_novel(path: Path) -> dict[str, tuple[str, ...]]:
    """By id, the facts or trait words of a benchmark text that occur in no pretraining or alignment data.

    Raises:
        UserError: a line has no `novel` list of strings, or one of its strings is not part of its text.
    """
    novel = {}
    for number, data in _lines(path):
        where, parts = f"{path}, line {number}", data.get("novel")
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            raise UserError(f"{where}: `novel` must be a list of strings, empty if there are none.")
        text = _string(data, "text", where)
        for part in parts:
            if part.casefold() not in text.casefold():
                raise UserError(f"{where}: {part!r} of `novel` does not occur in the text.")
        novel[_string(data, "id", where)] = tuple(parts)
    return novel


def load_wants(path: Path, dimensions: Collection[str]) -> dict[str, dict[str, bool]]:
    """By id of a personality, of which dimensions of manner its owner wants much (True) or little (False) in a reply.

    A line says so by `"wants": {"much": [...], "little": [...]}`; one without `wants` is left out.

    Raises:
        UserError: `wants` has another shape, or a word that is not one of the dimensions, or one on both sides.
    """
    found = {}
    for number, data in _lines(path):
        if "wants" not in data:
            continue
        where, wants = f"{path}, line {number}", data["wants"]
        much, little = (wants.get("much"), wants.get("little")) if isinstance(wants, dict) else (None, None)
        if not isinstance(much, list) or not isinstance(little, list) or not {*much, *little} <= set(dimensions):
            raise UserError(f"{where}: `wants` must be {{\"much\": [...], \"little\": [...]}} with words out of "
                            f"{', '.join(dimensions)}.")  # fmt: skip
        if both := set(much) & set(little):
            raise UserError(f"{where}: {min(both)!r} of `wants` stands on both sides.")
        found[_string(data, "id", where)] = dict.fromkeys(much, True) | dict.fromkeys(little, False)
    return found


def text_problem(text: str) -> str | None:
    """Why a text cannot be used, in a few words, or None."""
    if not text.strip():
        return "empty text"
    if len(text) > LONGEST:
        return f"text over {LONGEST:,} characters"
    # Controls, lone surrogates, line and paragraph separators: they break lines of JSONL, prompts or UTF-8.
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        return "control character or line break in the text"
    return None


def json_strings(reply: str) -> list[str] | None:
    """The strings of a JSON array, runs of white space made one space; None for anything else.

    A code fence around the whole array is taken off, since many models put one there.

    >>> json_strings('["Ana is a nurse.  She sings."]')
    ['Ana is a nurse. She sings.']
    >>> json_strings("Sure! Here are two profiles") is None
    True
    """
    fenced = re.fullmatch(r"\s*```(?:json)?\s*\n(.*)\n\s*```\s*", reply, re.DOTALL)
    try:
        data = json.loads(fenced.group(1) if fenced else reply)
    except (json.JSONDecodeError, RecursionError):
        return None
    if not isinstance(data, list) or not data or not all(isinstance(item, str) for item in data):
        return None
    return [" ".join(item.split()) for item in data]


def _lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); check the path in the preset.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}); save it as UTF-8.") from None
    parsed = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            if any(rest.strip() for rest in lines[number:]):
                raise UserError(f"{path}, line {number}: the line is empty; remove it.")
            break
        try:
            data = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UserError(f"{path}, line {number}: not valid JSON ({error}); {REMEDY}.") from None
        if not isinstance(data, dict):
            raise UserError(f"{path}, line {number}: {type(data).__name__} instead of an object; {REMEDY}.")
        parsed.append((number, data))
    return parsed


def _string(data: dict[str, Any], field: str, where: str) -> str:
    value = data.get(field)
    if not isinstance(value, str):
        raise UserError(f"{where}: field {field!r} must be a string, got {value!r:.40}; {REMEDY}.")
    return value
