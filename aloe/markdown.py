"""Texts of others inside a page of ours: what a model, a user or an error wrote, taken literally.

In: any text. Out: Markdown on one line that shows it, whatever is in it. This module does not know which pages there
are.
"""

import re
import unicodedata

# They turn the order of what is read around: a text could look as if it said something else.
_TURNING = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def literal(text: str) -> str:
    """A text that Markdown takes literally, on one line; characters that cannot be seen or turn others are marked.

    >>> literal("`a_b` <b>")
    '\\\\`a\\\\_b\\\\` \\\\<b\\\\>'
    """
    shown = "".join("\ufffd" if _cannot_be_seen(character) else character for character in text)
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(shown.split()))


def sentence(text: str) -> str:
    """As `literal`, but names and short commands between backticks stay code: an error's own sentence.

    >>> sentence("run `make all` of <b>")
    'run `make all` of \\\\<b\\\\>'
    """
    parts = re.split(r"`([A-Za-z][\w./ =:-]{0,80})`", text)
    shown = [literal(f".{part}.")[2:-2] if i % 2 == 0 else f"`{part}`" for i, part in enumerate(parts)]
    return "".join(shown)


def _cannot_be_seen(character: str) -> bool:
    hidden = unicodedata.category(character) in ("Cc", "Cs") and not character.isspace()
    return hidden or character in _TURNING
