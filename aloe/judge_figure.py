"""How far judges agree, drawn: kappa of every two of them, of each with itself and with the truth.

In: the frame of `judge_findings`. Out: what is drawn as a frame, and matplotlib Axes. Nothing is computed or written.
"""

import pandas as pd
from matplotlib.axes import Axes

from aloe.figure_style import BLUE, GREY, INK, ORANGE, RED, legend_outside, prepare

_LOOKS = {"between": (BLUE, "o", "two judges"), "again": (ORANGE, "s", "a judge asked again"),
          "truth": (RED, "D", "a judge and the truth")}  # fmt: skip


def kappa_rows(found: pd.DataFrame) -> pd.DataFrame:
    """One row per kappa: audit (what is compared, and on which score), question, value, low, high."""
    rows = found[(found["measure"] == "kappa") & found["question"].isin(list(_LOOKS)) & found["value"].notna()]
    names = rows["one"] + " / " + rows["other"].astype(str) + ": " + rows["score"]
    return rows.assign(audit=names)[["audit", "question", "value", "low", "high"]].reset_index(drop=True)


def judge_agreement(rows: pd.DataFrame, ax: Axes | None = None, note: str | None = None) -> Axes:
    """A point with its interval per row of `kappa_rows`; lines at 0 (chance) and 1 (full agreement).

    A judge is called as its model is, so names are never read as mathematics.

    Raises:
        ValueError: there is no row.
    """
    ax = prepare(rows, ax, (8, 1.3 + 0.34 * len(rows)), "Weighted kappa: how far judges agree", note)
    for question, (colour, marker, label) in _LOOKS.items():
        own = rows[rows["question"] == question]
        if len(own):
            ax.hlines(own.index, own["low"].astype(float), own["high"].astype(float), color=colour, lw=2.5)
            ax.plot(own["value"], own.index, ls="", marker=marker, color=colour, markersize=7, label=label)
    ax.axvline(0, color=INK, lw=1)
    ax.axvline(1, color=GREY, lw=1, ls="--")
    ax.set_yticks(range(len(rows)), rows["audit"].tolist(), fontsize=9, parse_math=False)
    ax.set(xlabel="kappa: 0 as by chance, 1 full agreement", ylim=(len(rows) - 0.4, -0.6))
    ax.grid(False, axis="y")
    legend_outside(ax)
    return ax
