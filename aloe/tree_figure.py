"""One preference dialogue drawn as a tree.

In: a `DialogueTree`. Out: matplotlib Axes. Text of a model is drawn as it is, never read as mathematics. This module
neither reads nor writes a file.
"""

import textwrap

from matplotlib.axes import Axes

from aloe.figure_style import BLUE, GREY, INK, ORANGE, prepare
from aloe.records import DialogueTree, Source, Turn
from aloe.show import reply_name


def dialogue_tree(tree: DialogueTree, n_turns: int = 4, ax: Axes | None = None, note: str | None = None) -> Axes:
    """The first turns of a dialogue as a tree: a user message, two replies, and the one that it went on with (solid).

    The preferred reply stands left; where there is none, the hinted one. Long texts are shortened.
    """
    turns = tree.turns[:n_turns]
    size = (8.5, 0.4 + 2.2 * len(turns))
    ax = prepare(turns, ax, size, f"Dialogue {tree.id}, turns 1 to {len(turns)}", note)
    came_from = None
    for k, turn in enumerate(turns):
        if came_from is not None:
            ax.plot([came_from, 0], [1 - 2 * k, -2 * k], color=INK, lw=1.8, zorder=1)
        _text_box(ax, 0, -2 * k, f"user, turn {k + 1}", turn.user, GREY, "-")
        for x, source, colour in _reply_places(turn):
            taken = source == turn.branch
            ax.plot([0, x], [-2 * k, -2 * k - 1], color=INK, lw=1.8 if taken else 1, ls="-" if taken else ":", zorder=1)
            verdict = turn.label if turn.preferred is None else "preferred" if x < 0 else "rejected"
            label = f"{reply_name(source, tree.origin)}, {verdict}{', continued' if taken else ''}"
            _text_box(ax, x, -2 * k - 1, label, getattr(turn, source), colour, "-" if taken else "--")
            came_from = x if taken else came_from
    ax.set(xlim=(-2, 2), ylim=(0.35 - 2 * len(turns), 0.5))
    ax.axis("off")
    return ax


def _reply_places(turn: Turn) -> list[tuple[int, Source, str]]:
    """Where each reply stands and its colour: the preferred left in blue, or both grey where none is."""
    if turn.preferred is None:
        return [(-1, "hinted", GREY), (1, "plain", GREY)]
    preferred: Source = "hinted" if turn.label == "hinted" else "plain"
    return [(-1, preferred, BLUE), (1, "plain" if preferred == "hinted" else "hinted", ORANGE)]


def _text_box(ax: Axes, x: float, y: float, label: str, text: str, colour: str, outline: str) -> None:
    lines = textwrap.wrap(" ".join(text.split()), 50)
    shown = lines if len(lines) <= 4 else [*lines[:3], textwrap.shorten(" ".join(lines[3:]), 50, placeholder=" …")]
    ax.text(
        x, y, "\n".join([label.upper(), *shown]), ha="center", va="center", fontsize=7.5, linespacing=1.35,
        color="black", parse_math=False, zorder=2,
        bbox={"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": colour, "linestyle": outline, "lw": 1.8},
    )  # fmt: skip
