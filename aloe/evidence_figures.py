"""Two figures of repeated worlds: how often something is called significant, and what the variance comes from.

In: frames of `evidence`. Out: matplotlib Axes; no files. The limits that were fixed beforehand are lines; counts beside
bars are of whole worlds. This module computes nothing.
"""

import pandas as pd
from matplotlib.axes import Axes

from aloe.evidence import QUESTIONS
from aloe.figure_style import INK, PETROFF6, legend_outside, prepare


def false_and_true_finds(frame: pd.DataFrame, note: str | None = None, ax: Axes | None = None) -> Axes:
    """Shares of worlds in which something is called significant, by effect, with the limits of "any of the three".

    Args:
        frame: `evidence.world_frame`.
    """
    ax = prepare(frame, ax, (7.5, 1.4 + 0.34 * len(frame)), "Worlds in which something is called significant", note)
    names = {**QUESTIONS, "any": "any of the three"}
    effects = sorted(frame["effect"].unique())
    labels = []
    for y, (_, row) in enumerate(frame.iterrows()):
        colour = PETROFF6[effects.index(row["effect"]) % len(PETROFF6)]
        ax.barh(y, row["share"], color=colour, alpha=1.0 if row["question"] == "any" else 0.55)
        beyond = [row["share"], row["limit"]] if pd.notna(row["limit"]) else [row["share"]]
        ax.annotate(f"{row['found']:.0f} of {row['worlds']:.0f}", (max(beyond), y), (5, 0),
                    textcoords="offset points", va="center", fontsize=9, color=INK)  # fmt: skip
        if pd.notna(row["limit"]):
            ax.plot([row["limit"]] * 2, [y - 0.48, y + 0.48], color=INK, lw=2)
        labels.append(f"effect {row['effect']:g}: {names[row['question']]}")
    ax.set_yticks(range(len(labels)), labels)
    ax.set(xlabel="share of worlds (upright line: the limit fixed before)", xlim=(0, 1.12),
           ylim=(len(labels) - 0.4, -0.6), xticks=[0, 0.25, 0.5, 0.75, 1.0])  # fmt: skip
    ax.grid(False, axis="y")
    return ax


def variance_bars(frame: pd.DataFrame, note: str | None = None, ax: Axes | None = None) -> Axes:
    """Shares of variance by component, a stacked bar for a single score and for the mean, of each quantity.

    Args:
        frame: `evidence.variance_frame`.
    """
    titles = {"al_mean": "AVG", "dal": "dAL"}
    bars = [(quantity, column) for quantity in frame["quantity"].unique() for column in ("share", "share_of_mean")]
    ax = prepare(frame, ax, (8.5, 1.2 + 0.5 * len(bars)), "Where the variance comes from", note)
    left = [0.0] * len(bars)
    sources = [name for name in frame["component"].unique() if " x " not in name]
    for component in frame["component"].unique():
        own = frame[frame["component"] == component].set_index("quantity")
        widths = [float(own[column].get(quantity, 0.0)) for quantity, column in bars]
        source, _, crossed = component.partition(" x ")  # a source and what it does to single cases: one colour
        ax.barh(range(len(bars)), widths, left=left, label=component, hatch="//" if crossed else "",
                color=PETROFF6[sources.index(source) % len(PETROFF6)], edgecolor="white", lw=0.5)  # fmt: skip
        left = [start + width for start, width in zip(left, widths, strict=True)]
    words = {"share": "of one case", "share_of_mean": "of the mean of all"}
    ax.set_yticks(range(len(bars)), [f"{titles[quantity]} {words[column]}" for quantity, column in bars])
    ax.set(xlabel="share of the variance", xlim=(0, 1), ylim=(len(bars) - 0.4, -0.6))
    ax.grid(False, axis="y")
    legend_outside(ax)
    return ax
