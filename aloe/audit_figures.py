"""The figures of the audits: frames in, matplotlib Axes out.

In: estimates with their intervals, by audit or by turn. Out: Axes, on the `ax` given or on a figure of its own. An
empty frame is a ValueError. This module neither reads nor writes a file, nor computes anything.
"""

import pandas as pd
from matplotlib.axes import Axes

from aloe.figure_style import INK, OTHER_STYLES, PETROFF6, RED, legend_outside, prepare, whole_numbers

_STYLES = tuple(zip(PETROFF6, ("o", "s", "^", "D", "v", "P"), strict=True)) + OTHER_STYLES


def audit_estimates(found: pd.DataFrame, title: str, ax: Axes | None = None, note: str | None = None) -> Axes:
    """One line per audit: its estimate with the interval and, where something was planted, an upright line there.

    Args:
        found: columns audit, value, low, high, planted (the last three may be missing).
        title: of the figure.
        ax: where to draw; None for a figure of its own.
        note: such as "simulated".
    """
    ax = prepare(found, ax, (7.5, 1.2 + 0.36 * len(found)), title, note)
    places = range(len(found))
    ax.axvline(0, color=INK, lw=1)
    ax.hlines(places, found["low"].astype(float), found["high"].astype(float), color=PETROFF6[0], lw=2)
    ax.plot(found["value"].astype(float), places, "o", color=PETROFF6[0], ms=5, label="measured, with interval")
    if found["planted"].notna().any():  # taller than the dot is wide: where both agree, both can be seen
        ax.plot(found["planted"].astype(float), places, "|", color=RED, ms=16, mew=2, label="planted", zorder=1.9)
    ax.set_yticks(places, found["audit"].str.replace("_", " ").tolist())
    ax.set(xlabel="share", ylim=(len(found) - 0.5, -0.5))
    legend_outside(ax)
    return ax


def shares_by_turn(found: pd.DataFrame, title: str, what: str, ax: Axes | None = None, note: str | None = None) -> Axes:
    """A line with its band per series, from 0 to 1.

    Args:
        found: columns series, turn, value, low, high.
        title: of the figure.
        what: the share that is drawn, for the axis.
        ax: where to draw; None for a figure of its own.
        note: such as "simulated".
    """
    ax = prepare(found, ax, (7.5, 3.6), title, note)
    for name, (colour, marker) in zip(found["series"].unique(), _STYLES, strict=False):
        own = found[found["series"] == name].sort_values("turn")
        ax.plot(own["turn"], own["value"], color=colour, marker=marker, markersize=5, label=name)
        ax.fill_between(own["turn"], own["low"].astype(float), own["high"].astype(float), color=colour, alpha=0.2, lw=0)
    ax.set(xlabel="turn k", ylabel=what, ylim=(-0.03, 1.03))
    whole_numbers(ax)
    legend_outside(ax)
    return ax
