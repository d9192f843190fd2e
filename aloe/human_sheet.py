"""The sheet of a human study: replies of two policies side by side, blinded, as a web page and as a spreadsheet.

In: transcripts of two policies. Out: a `Draw`: items that show neither policy's name, and apart from them the key that
says which side is which; one HTML file that asks nothing of any network (template: `data/human_sheet.jinja`), and a CSV
file. The key goes to nobody who rates. This module does not know what people answer.
"""

import csv
import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aloe.errors import UserError
from aloe.records import Message, Transcript
from aloe.writing import write_text

TEXTS = ("persona", "conversation_a", "reply_a", "conversation_b", "reply_b")
ANSWERS = ("rater", "preference", "rating_a", "rating_b")
COLUMNS = ("item", *TEXTS, "check", *ANSWERS)
TEMPLATE = Path(__file__).resolve().parent / "data" / "human_sheet.jinja"
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class Item:
    """One comparison as a rater sees it: one persona, and at the same turn a reply of either policy, called A and B.

    The two conversations differ, since each policy held its own; each ends with the message that its reply answers.
    """

    id: str
    persona: str
    conversation_a: str
    reply_a: str
    conversation_b: str
    reply_b: str

    @property
    def digest(self) -> str:
        """A short hash of the id and all texts; begins with a letter, so that no spreadsheet takes it for a number."""
        return "h" + hashlib.sha256(json.dumps(dataclasses.astuple(self)).encode()).hexdigest()[:15]


@dataclasses.dataclass(frozen=True)
class KeyLine:
    """What a rater must not know of an item: the policies of its sides `a` and `b`, and where it was drawn."""

    item: str
    a: str
    b: str
    case: str
    profile_id: str
    turn: int


class Draw(NamedTuple):
    """A sheet and its key, in the same order."""

    items: list[Item]
    key: list[KeyLine]


def make_sheet(transcripts: Sequence[Transcript], policies: tuple[str, str], n_items: int, seed: int) -> Draw:
    """Draw comparisons of two policies at random: cases and turns that both have, none twice.

    Profiles are gone round, so that each gives the same number of items or one more. Either policy is on side A in half
    of the items (one more for one of them where their number is odd), in random order.

    Args:
        transcripts: of any policies; those of others are ignored.
        policies: the two to be compared.
        n_items: how many comparisons; 1 or more.
        seed: decides about the whole draw.

    Raises:
        UserError: the policies are the same, one has no transcripts, or there are fewer comparisons than asked for.
    """
    held = {name: {t.persona.id: t for t in transcripts if t.policy == name} for name in policies}
    for name, own in held.items():
        if not own or len(held) < 2:
            there = ", ".join(dict.fromkeys(t.policy for t in transcripts)) or "none"
            raise UserError(f"A sheet compares two different policies that have transcripts, got {policies[0]!r} and "
                            f"{policies[1]!r} ({name!r} cannot be compared). There are: {there}.")  # fmt: skip
    one, other = (held[name] for name in policies)
    by_profile: dict[str, list[tuple[str, int]]] = {}
    for case in sorted(set(one) & set(other)):
        n_turns = min(len(one[case].messages), len(other[case].messages)) // 2
        by_profile.setdefault(one[case].persona.profile_id, []).extend((case, turn + 1) for turn in range(n_turns))
    n_there = sum(len(places) for places in by_profile.values())
    if not 1 <= n_items <= n_there:
        raise UserError(f"{n_items} comparisons were asked for; give a number from 1 to {n_there}, which is how many "
                        f"cases and turns {policies[0]!r} and {policies[1]!r} share.")  # fmt: skip
    rng = np.random.default_rng(seed)
    drawn = _spread(by_profile, n_items, rng)
    swapped = rng.permutation(np.arange(n_items) % 2 == rng.integers(2))
    items, key = [], []
    for number, (case, turn), swap in zip(_ids(n_items, rng), drawn, swapped, strict=True):
        a, b = (other[case], one[case]) if swap else (one[case], other[case])
        who = a.persona_at(turn)
        persona = _clean(f"{who.profile}\n{who.personality}")
        items.append(Item(number, persona, *_side(a, turn), *_side(b, turn)))
        key.append(KeyLine(number, a.policy, b.policy, case, a.persona.profile_id, turn))
    return Draw(items, key)


def write_csv(items: Sequence[Item], path: Path) -> None:
    """Write the sheet as a spreadsheet form: a row per item, the columns of `ANSWERS` empty.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for item in items:
        texts = [guarded(getattr(item, name)) for name in TEXTS]
        writer.writerow([item.id, *texts, item.digest, *[""] * len(ANSWERS)])
    write_text(path, "\ufeff" + text.getvalue())  # the mark by which spreadsheets know UTF-8


def write_html(items: Sequence[Item], path: Path, title: str = "Which reply suits this person better?") -> None:
    """Write the sheet as one HTML file with everything in it; it gives its answers as a CSV file with `COLUMNS`.

    Texts are escaped, and a content policy allows the page's own script alone and no request.
    """
    from jinja2 import Environment, StrictUndefined

    template = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    sheet = hashlib.sha256("".join(item.digest for item in items).encode()).hexdigest()[:20]
    page = template.from_string(TEMPLATE.read_text(encoding="utf-8"))
    write_text(path, page.render(items=items, columns=" ".join(COLUMNS), sheet=sheet, title=title) + "\n")


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula.

    >>> guarded("=1+1"), guarded("1 + 1")
    ("'=1+1", '1 + 1')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def _spread(by_profile: dict[str, list[tuple[str, int]]], n: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """`n` places, one profile after the other until there are enough, then in random order."""
    shuffled = [[places[i] for i in rng.permutation(len(places))] for places in by_profile.values()]
    order = [shuffled[i] for i in rng.permutation(len(shuffled))]
    rounds = [own[k] for k in range(max(map(len, order))) for own in order if k < len(own)]
    return [rounds[i] for i in rng.permutation(n)]


def _ids(n: int, rng: np.random.Generator) -> list[str]:
    """Different ids that say nothing; "q-" keeps spreadsheets from reading 12e456 as a number."""
    return [f"q-{number:06x}" for number in rng.choice(16**6, size=n, replace=False)]


def _side(transcript: Transcript, turn: int) -> tuple[str, str]:
    before, reply = transcript.messages[: 2 * turn - 1], transcript.messages[2 * turn - 1]
    return _clean("\n\n".join(_said(message) for message in before)), _clean(reply.content) or "(no words)"


def _said(message: Message) -> str:
    return f"{'Person' if message.role == 'user' else 'Assistant'}: {message.content}"


def _clean(text: str) -> str:
    """Without control characters, which a browser or a spreadsheet would drop or change."""
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
