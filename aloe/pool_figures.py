"""Figures of the pool card: who is in the pool, how near its texts are to one another, what they are about.

In: data frames. Out: matplotlib Axes. This module computes nothing but counts and touches no file.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from aloe.figure_style import BLUE, GREY, INK, ORANGE, PURPLE, RED, VIOLET, legend_outside, prepare

SOURCES = {"seed": GREY, "train": BLUE, "dev": ORANGE, "bench": RED}
REACHES = {"within": (BLUE, "-"), "across": (RED, "--")}
REACH_NAMES = {"within": "of its own split", "across": "of another split"}
BIN = 0.025
MARKS = [(colour, mark) for mark in "osD^" for colour in (BLUE, ORANGE, RED, PURPLE, GREY, VIOLET)]


def share_bars(tables: Mapping[str, pd.DataFrame], note: str | None = None) -> list[Axes]:
    """One panel per attribute: the share of each value by source.

    Args:
        tables: by title, `pool_card.shares`: one row per value, one column per source.
    """
    heights = [len(table) for table in tables.values()]
    grid = plt.subplots(
        len(tables), 1, figsize=(7.5, 1.1 * len(tables) + 0.42 * sum(heights)), layout="constrained", squeeze=False,
        height_ratios=[1 + height for height in heights], sharex=True,
    )[1]  # fmt: skip
    axes = list(grid[:, 0])
    for ax, (title, table) in zip(axes, tables.items(), strict=True):
        own = prepare(table, ax, None, title, note if ax is axes[-1] else None)
        places, width = np.arange(len(table)), 0.8 / len(table.columns)
        for i, source in enumerate(table.columns):
            offset = (i - (len(table.columns) - 1) / 2) * width
            own.barh(places + offset, table[source], height=width, color=SOURCES.get(source, VIOLET), label=source)
        own.set_yticks(places, [str(value) for value in table.index])
        own.set_ylim(len(table) - 0.4, -0.6)
        own.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[-1].set_xlabel("share of the texts of a source")
    legend_outside(axes[0])
    return axes


def neighbour_histograms(near: pd.DataFrame, thresholds: Mapping[str, float], note: str | None = None) -> list[Axes]:
    """Per kind, each text's highest similarity to another of its split and to one of another split.

    Args:
        near: `pool_card.neighbours` with a column kind.
        thresholds: by kind, what the expansion allowed.
    """
    kinds = list(dict.fromkeys(near["kind"]))
    axes = list(plt.subplots(1, len(kinds), figsize=(5 * len(kinds), 3.8), layout="constrained", squeeze=False)[1][0])
    least = min(0.0, float(near["similarity"].min()))
    for ax, kind in zip(axes, kinds, strict=True):
        # An edge at the threshold: no bar stands on both sides of it.
        below, above = np.arange(thresholds[kind], least - BIN, -BIN)[::-1], np.arange(thresholds[kind], 1 + BIN, BIN)
        bins = [*below.tolist(), *above[1:].tolist()]
        own = prepare(near, ax, None, f"Nearest neighbour: {kind}", note if ax is axes[-1] else None)
        for reach, (colour, line) in REACHES.items():
            values = near.loc[(near["kind"] == kind) & (near["reach"] == reach), "similarity"]
            own.hist(values, bins=bins, color=colour, alpha=0.3)
            own.hist(values, bins=bins, histtype="step", color=colour, ls=line, label=REACH_NAMES[reach])
        own.axvline(thresholds[kind], color=INK, lw=2, ls=":", label=f"threshold {thresholds[kind]:g}")
        own.set(xlabel="cosine similarity to the nearest text", ylabel="texts", xlim=(least, 1))
        own.yaxis.set_major_locator(MaxNLocator(integer=True))
        own.legend(loc="upper left", frameon=False, fontsize=8)
    return axes


def topic_map(points: pd.DataFrame, title: str, note: str | None = None) -> Axes:
    """Texts, facts or traits in the plane, one colour and marker per topic.

    Args:
        points: columns x, y, topic.
    """
    ax = prepare(points, None, (7.5, 5), title, note)
    order: Sequence[str] = points["topic"].value_counts().index.tolist()
    for topic, (colour, mark) in zip(order, MARKS, strict=False):
        own = points[points["topic"] == topic]
        ax.scatter(own["x"], own["y"], s=10, color=colour, marker=mark, alpha=0.7, label=f"{topic} ({len(own)})")
    ax.set(xlabel="first principal component", ylabel="second principal component")
    legend_outside(ax)
    return ax
