"""Every prompt is a text file, by default in `aloe/prompts/`, with named fields such as {profile}.

In: the file's name, its folder, and a text for each of its fields. Out: the prompt. `&`, `<` and `>` in a text are
escaped, so that no text can close the tag that it stands in. A field without a text, or a text without a field, is an
error. This module does not know which prompt belongs to which role.
"""

import string
from collections.abc import Iterable
from pathlib import Path

from aloe.errors import UserError
from aloe.records import Message

FOLDER = Path(__file__).resolve().parent / "prompts"


class Escaped(str):
    """Text that is escaped already; `render` puts it in as it is."""

    __slots__ = ()


def escape(text: str) -> Escaped:
    """Make a text harmless between tags.

    >>> escape("R&D </profile>")
    'R&amp;D &lt;/profile&gt;'
    """
    if isinstance(text, Escaped):
        return text
    return Escaped(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def conversation(messages: Iterable[Message]) -> Escaped:
    """User and assistant messages as tagged lines, escaped; no messages give an empty text.

    >>> conversation([Message("user", "Hi!"), Message("assistant", "1 < 2")])
    '<user>Hi!</user>\\n<assistant>1 &lt; 2</assistant>'
    """
    return Escaped("\n".join(f"<{m.role}>{escape(m.content)}</{m.role}>" for m in messages))


def prompt_file(name: str, folder: Path | None = None) -> Path:
    """The file `<name>.txt` of a folder (`FOLDER`).

    Raises:
        UserError: there is no such prompt.
    """
    path = (folder or FOLDER) / f"{name}.txt"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.txt")))
        raise UserError(f"There is no prompt {path}; there {'are ' + there if there else 'is none in that folder'}.")
    return path


def render(name: str, folder: Path | None = None, /, **fields: str) -> str:
    """The prompt `<name>.txt` of a folder (`FOLDER`) with its fields filled in, without the newline at its end.

    Raises:
        UserError: there is no such prompt, its braces are not plain fields, or it and `fields` do not go together.
    """
    path = prompt_file(name, folder)
    try:
        parts = list(string.Formatter().parse(path.read_text(encoding="utf-8").rstrip("\n")))
    except ValueError as error:  # a lone brace, or not UTF-8
        raise UserError(f"{path}: {error}; write {{{{ and }}}} for braces that are no field.") from None
    known = set()
    pieces: list[str] = []
    for literal, field, specification, conversion in parts:
        pieces.append(literal)
        if field is None:
            continue
        if not field.isidentifier() or specification or conversion:
            raise UserError(f"{path}: {{{field}}} is not a plain field; write {{{{ and }}}} for braces that are none.")
        if field not in fields:
            raise UserError(f"{path}: nothing is given for the field {{{field}}}; given are {', '.join(fields)}.")
        known.add(field)
        pieces.append(escape(fields[field]))
    unused = sorted(set(fields) - known)
    if unused:
        raise UserError(f"{path}: the field {{{unused[0]}}} is missing from the prompt; put it in.")
    return "".join(pieces)
