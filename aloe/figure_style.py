"""The look of every figure: colours, markers, frame, legend.

In: names and Axes. Out: the same look everywhere. A policy keeps one colour and one marker in every figure (palette
petroff6, which colour-blind readers can tell apart; the marker says it again). Beside the study's own policies the
prompting baselines have fixed ones too, from petroff8 and petroff10: no palette keeps so many apart by colour alone, so
no two share a marker. This module draws no data.
"""

from collections.abc import Iterable, Sized

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

PETROFF6 = ("#5790fc", "#f89c20", "#e42536", "#964a8b", "#9c9ca1", "#7a21dd")
BLUE, ORANGE, RED, PURPLE, GREY, VIOLET = PETROFF6
POLICY_STYLES = {
    "base": (GREY, "o"), "told": (ORANGE, "^"), "sft_rejected": (PURPLE, "v"), "sft_preferred": (BLUE, "s"),
    "dpo": (RED, "D"), "dpo_from_base": ("#bd1f01", "d"), "concise": ("#656364", ">"), "reminder": ("#86c8dd", "X"),
    "self_critic": ("#adad7d", "<"), "chain_of_thought": ("#1845fb", "h"), "retrieval": ("#a96b59", "p"),
    "hinted": (VIOLET, "P"), "told_responder": ("#e76300", "*"),
}  # fmt: skip
OTHER_STYLES = (
    (VIOLET, "P"), ("#86c8dd", "X"), ("#adad7d", "<"), ("#656364", ">"), ("#1845fb", "h"), ("#92dadd", "8"),
    ("#b9ac70", "H"),
)  # fmt: skip
INK = "#333333"


def policy_styles(policies: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of each policy; the study's own are fixed, others take what is left in order of name."""
    names = list(dict.fromkeys(policies))
    others = sorted(set(names) - set(POLICY_STYLES))
    taken = [POLICY_STYLES[name] for name in names if name in POLICY_STYLES]
    left = [style for style in OTHER_STYLES if style not in taken] or OTHER_STYLES
    free = {name: left[i % len(left)] for i, name in enumerate(others)}
    return {name: POLICY_STYLES.get(name) or free[name] for name in names}


def prepare(data: Sized, ax: Axes | None, size: tuple[float, float] | None, title: str, note: str | None) -> Axes:
    """The given Axes, or those of a new figure of `size` inches, in the study's look.

    Raises:
        ValueError: `data` is empty.
    """
    if not len(data):
        raise ValueError(f"nothing to draw: the data of {title!r} has no row")
    if ax is None:
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    ax.set_title(title, loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#e6e6e6", lw=0.8)
    ax.set_axisbelow(True)
    if note:
        figure = ax.get_figure(root=True)
        assert figure is not None
        figure.text(0.995, 0.01, note, ha="right", va="bottom", fontsize=9, color="#666666", style="italic")
    return ax


def whole_numbers(ax: Axes) -> None:
    """Turns are counted: no tick at 2.5."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=12))


def legend_outside(ax: Axes, below: bool = False) -> None:
    """A legend right of the Axes, or below where the figure is to be read on a phone too; it covers nothing."""
    where = {"bbox_to_anchor": (0, -0.14), "ncols": 3} if below else {"bbox_to_anchor": (1.01, 1)}
    ax.legend(loc="upper left", frameon=False, fontsize=9, **where)
