"""A whole dialogue tree drawn as a tree, its texts shown where the mouse points.

In: a `DialogueTree`, branching or not. Out: `Html` with one SVG: a box per user message with its two replies below it,
and a line from each reply that was continued to the message that answers it. Whatever a model wrote is escaped. No
script, nothing from the network: the full texts are <title> elements, which browsers show on hover and readers read.
"""

import html
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from aloe.branching import Path, paths
from aloe.records import DialogueTree, Source, Turn
from aloe.show import BLUE, GREY, ORANGE, Html, reply_name

BOX, REPLY, HIGH, GAP, LEVEL = 150, 108, 34, 8, 128  # pixels: widths of boxes, their height, gaps, from turn to turn
LETTERS = {BOX: 24, REPLY: 18}  # how many fit into a line of a box


_Row = tuple[float, float]
"""Where a row of boxes begins and ends."""


class _Place(NamedTuple):
    """Where a turn stands: the middle of its message, and of its two replies by their kind."""

    x: float
    y: float
    replies: dict[Source, float]


def tree_svg(tree: DialogueTree) -> Html:
    """The tree, its first turn on top. A preferred reply is blue, a rejected one orange, without a preference grey.

    Raises:
        ValueError: it has no turn, or is no tree (`branching.paths`).
    """
    if not tree.turns:
        raise ValueError(f"{tree.id} has no turn to draw")
    found = paths(tree)
    places = _places(tree, found)
    ends = (right for p in places.values() for right in (p.x + BOX / 2, *(x + REPLY / 2 for x in p.replies.values())))
    width = max(ends) + GAP
    height = max(place.y for place in places.values()) + LEVEL / 2 + HIGH + GAP
    lines = "".join(_line(*ends) for turn in tree.turns for ends in _lines(turn, places))
    boxes = "".join(_boxes(turn, len(found[turn.id]), places[turn.id], tree) for turn in tree.turns)
    said = f"Dialogue {tree.id} as a tree of {len(tree.turns)} user messages"
    return Html(
        f'<div style="overflow-x:auto"><svg xmlns="http://www.w3.org/2000/svg" role="img" '
        f'aria-label="{html.escape(said)}" width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}" '
        f'style="font:11px sans-serif;fill:currentColor">{lines}{boxes}</svg></div>'
    )


def _places(tree: DialogueTree, found: dict[str, Path]) -> dict[str, _Place]:
    """What follows a reply stands below it, and the two replies of a turn as near as what follows them lets them be."""
    below: dict[tuple[str, Source], str] = {
        (turn.parent, _answered(turn, found)): turn.id for turn in tree.turns if turn.parent is not None
    }
    apart: dict[str, float] = {}

    def outline(name: str) -> list[_Row]:
        """How far the turn and all below it reach to both sides of its middle, row by row."""
        left, right = (
            [(-REPLY / 2, REPLY / 2), *(outline(below[name, source]) if (name, source) in below else [])]
            for source in _order(found[name][-1])
        )
        apart[name] = GAP + max(end - start for (_, end), (start, _) in zip(left, right, strict=False))
        sides = _moved(left, -apart[name] / 2), _moved(right, apart[name] / 2)
        rows = [(min(start for start, _ in row), max(end for _, end in row)) for row in _level_by_level(*sides)]
        return [(-BOX / 2, BOX / 2), *rows]

    first = tree.turns[0].id
    middle = {first: GAP - min(start for start, _ in outline(first))}
    places: dict[str, _Place] = {}
    for name, path in found.items():
        x, half = middle[name], apart[name] / 2
        replies = dict(zip(_order(path[-1]), (x - half, x + half), strict=True))
        places[name] = _Place(x, GAP + HIGH / 2 + LEVEL * (len(path) - 1), replies)
        middle |= {below[name, source]: at for source, at in replies.items() if (name, source) in below}
    return places


def _moved(rows: list[_Row], by: float) -> list[_Row]:
    return [(start + by, end + by) for start, end in rows]


def _level_by_level(left: list[_Row], right: list[_Row]) -> Iterator[list[_Row]]:
    for pair in itertools.zip_longest(left, right):
        yield [row for row in pair if row is not None]


def _order(turn: Turn) -> tuple[Source, Source]:
    """The preferred reply stands left; where there is none, the hinted one."""
    return ("plain", "hinted") if turn.label == "plain" else ("hinted", "plain")


def _answered(turn: Turn, found: dict[str, Path]) -> Source:
    """The reply of its parent that a turn answers."""
    branch = found[turn.id][-2].branch
    other: Source = "plain" if branch == "hinted" else "hinted"
    return other if turn.off_branch else branch


def _lines(turn: Turn, places: dict[str, _Place]) -> Iterator[tuple[float, float, float, float]]:
    """From the message to its replies, and from the reply that it answers to the message."""
    place = places[turn.id]
    for x in place.replies.values():
        yield place.x, place.y + HIGH / 2, x, place.y + LEVEL / 2 - HIGH / 2
    if turn.parent is not None:
        above = places[turn.parent]
        nearest = min(above.replies.values(), key=lambda x: abs(x - place.x))
        yield nearest, above.y + LEVEL / 2 + HIGH / 2, place.x, place.y - HIGH / 2


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<path d="M{x1:g} {y1:g}L{x2:g} {y2:g}" stroke="rgba({GREY},.9)" stroke-width="1.5" fill="none"/>'


def _boxes(turn: Turn, number: int, place: _Place, tree: DialogueTree) -> str:
    noted = f"Noted so far: {turn.inferred_profile} | {turn.inferred_personality}"
    drawn = _box(place.x, place.y, BOX, GREY, f"user, turn {number}", turn.user, f"{turn.user}\n\n{noted}")
    parents = {(later.parent, later.off_branch) for later in tree.turns}
    for source, x in place.replies.items():
        verdict = turn.label if turn.preferred is None else "preferred" if turn.label == source else "rejected"
        colour = {"preferred": BLUE, "rejected": ORANGE}.get(verdict, GREY)
        went_on = (turn.id, source != turn.branch) in parents
        told = f"{reply_name(source, tree.origin)}: {verdict}{', continued' if went_on else ''}"
        label = verdict if tree.origin == "released" else f"{source}, {verdict}"
        drawn += _box(x, place.y + LEVEL / 2, REPLY, colour, label, turn.reply(source),
                      f"{told}\n\n{turn.reply(source)}", dashed=not went_on)  # fmt: skip
    return drawn


def _box(x: float, y: float, width: int, colour: str, label: str, text: str, title: str, dashed: bool = False) -> str:
    left, top, dash = x - width / 2, y - HIGH / 2, ' stroke-dasharray="4 3"' if dashed else ""
    lines = "".join(
        f'<text x="{left + 5:g}" y="{top + down}">{html.escape(_short(words, LETTERS[width]))}</text>'
        for down, words in ((13, label), (27, text))
    )
    return (
        f'<g><title>{html.escape(title)}</title><rect x="{left:g}" y="{top:g}" width="{width}" height="{HIGH}" rx="6" '
        f'fill="rgba({colour},.18)" stroke="rgba({colour},.9)" stroke-width="1.5"{dash}/>{lines}</g>'
    )


def _short(text: str, letters: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= letters else f"{line[: letters - 1]}…"
