"""Every figure of the study: a data frame (or a record) in, matplotlib Axes out.

Each function draws on the `ax` it is given or on a figure of its own, and returns the Axes. `note`, such as
"simulated", is drawn in the corner. An empty frame is a ValueError. This module neither reads nor writes a file, nor
computes a statistic beyond counts, means and quartiles.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm

from aloe.figure_style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    RED,
    VIOLET,
    legend_outside,
    policy_styles,
    prepare,
    whole_numbers,
)  # fmt: skip

MANY = 7  # policies; of more than these, full bands would hide the lines


def al_curves(
    curves: pd.DataFrame, ax: Axes | None = None, note: str | None = None, confidence: float | None = None
) -> Axes:
    """AL(k) of each policy with its confidence band.

    Args:
        curves: `metrics.al_curve`: columns policy, turn, al, low, high.
        confidence: of the bands, named in the title.
    """
    bands = "" if confidence is None else f" with {confidence:.0%} band"
    many, alone = curves["policy"].nunique() > MANY, ax is None
    ax = prepare(curves, ax, (9, 6) if many else (6.2, 4.6), f"Alignment level by turn, mean over cases{bands}", note)
    last = curves.loc[curves.groupby("policy")["turn"].idxmax()].sort_values("al", ascending=False)
    styles = policy_styles(curves["policy"])
    for policy in last["policy"]:
        own, (colour, marker) = curves[curves["policy"] == policy].sort_values("turn"), styles[policy]
        ax.plot(own["turn"], own["al"], color=colour, marker=marker, markersize=5, label=policy)
        ax.fill_between(own["turn"], own["low"].astype(float), own["high"].astype(float), color=colour,
                        alpha=0.08 if many else 0.2, lw=0)  # fmt: skip
    ax.set(xlabel="turn k", ylabel="AL(k), level 1 to 5", ylim=(0.9, 5.1))
    whole_numbers(ax)
    legend_outside(ax, below=alone and not many)
    return ax


def case_heatmap(judgements: pd.DataFrame, ax: Axes | None = None, note: str | None = None) -> Axes:
    """Level of every case of one policy at every turn, cases grouped by profile; hatched where there is no level.

    Args:
        judgements: columns of `records.Judgement`, one policy; judges are averaged.
    """
    policies = judgements["policy"].unique()
    if len(policies) != 1:
        raise ValueError(f"the judgements of one policy expected, got those of {', '.join(policies) or 'none'}")
    cases = judgements.drop_duplicates("case").set_index("case")["profile_id"].sort_values(kind="stable")
    levels = judgements.assign(level=pd.to_numeric(judgements["level"]).astype(float)).pivot_table(
        index="case", columns="turn", values="level", dropna=False
    )
    order = sorted(cases.index, key=lambda case: (cases[case], case))
    size = (6, max(2.8, 1.5 + 0.055 * len(order)))
    ax = prepare(judgements, ax, size, f"Level by case and turn: {policies[0]}", note)
    ax.set_facecolor("white")
    norm = BoundaryNorm(np.arange(0.5, 6), 256)
    ax.patch.set(hatch="////", edgecolor="#bbbbbb")
    shown = levels.reindex(order)
    extent = (shown.columns[0] - 0.5, shown.columns[-1] + 0.5, len(order), 0)
    image = ax.imshow(shown, aspect="auto", cmap="cividis", norm=norm, extent=extent, interpolation="nearest")
    sizes = cases.groupby(cases).size()
    ends = sizes.cumsum()
    ax.hlines(ends[:-1], extent[0], extent[1], color="white", lw=0.8)
    ax.set_yticks(ends - sizes / 2, [str(name) for name in sizes.index], fontsize=7)
    ax.tick_params(axis="y", length=0)
    missing = ", hatched: no level" if shown.isna().to_numpy().any() else ""
    ax.set(xlabel=f"turn{missing}", ylabel="profile, one line per personality")
    ax.grid(False)
    whole_numbers(ax)
    plt.colorbar(image, ax=ax, ticks=range(1, 6), label="level", shrink=0.6)
    return ax


def pool_growth(growth: pd.DataFrame, ax: Axes | None = None, note: str | None = None) -> Axes:
    """Entries kept against candidates seen; a line that turns flat is a pool that is saturated.

    Args:
        growth: `personas.growth` of one or both kinds: columns kind, seen, pool.
    """
    ax = prepare(growth, ax, (7, 4), "Growth of the persona pool", note)
    for (kind, own), colour, line in zip(growth.groupby("kind", sort=False), (BLUE, RED), ("-", "--"), strict=False):
        ax.plot(own["seen"], own["pool"], color=colour, ls=line, lw=2, label=f"{kind}: {own['pool'].iloc[-1]} kept")
    top, right = growth["pool"].max(), growth["seen"].max()
    ax.axline((0, 0), slope=1, color=INK, lw=1, ls=":", label="every candidate kept")
    ax.set(xlabel="candidates seen", ylabel="entries in the pool", xlim=(0, right * 1.02), ylim=(0, top * 1.12))
    legend_outside(ax)
    return ax


def similarity_histogram(
    growth: pd.DataFrame, thresholds: Mapping[str, float], ax: Axes | None = None, note: str | None = None
) -> Axes:
    """Highest cosine similarity of each candidate to what came before it, with the threshold above which it goes.

    Args:
        growth: columns kind, similarity (missing where a candidate was refused unseen).
        thresholds: by kind.
    """
    known = growth.dropna(subset="similarity")
    ax = prepare(known, ax, (7, 4), "Candidates by similarity to their nearest neighbour", note)
    bins = np.linspace(min(0.0, known["similarity"].min()), 1, 51).tolist()
    for (kind, own), colour, line in zip(known.groupby("kind", sort=False), (BLUE, RED), ("-", "--"), strict=False):
        ax.hist(own["similarity"], bins=bins, histtype="stepfilled", color=colour, alpha=0.3)
        ax.hist(
            own["similarity"], bins=bins, histtype="step", color=colour, ls=line, lw=1.5, label=f"{kind} candidates"
        )
        if kind in thresholds:
            ax.axvline(thresholds[kind], color=colour, ls=line, lw=2, label=f"{kind} threshold {thresholds[kind]:g}")
    ax.set(xlabel="cosine similarity to the nearest entry", ylabel="candidates", xlim=(bins[0], 1))
    legend_outside(ax)
    return ax


def persona_map(points: pd.DataFrame, ax: Axes | None = None, note: str | None = None) -> Axes:
    """Where the texts of each split lie in a plane; near points are alike in the embedding.

    Args:
        points: columns x, y (a projection of embeddings, such as the first two principal components) and split.
    """
    ax = prepare(points, ax, (6.5, 4.6), "Map of the texts by split", note)
    looks = zip(points.groupby("split", sort=False), (BLUE, ORANGE, RED, VIOLET), "osD^", strict=False)
    for (split, own), colour, marker in looks:
        ax.scatter(
            own["x"], own["y"], s=22, color=colour, marker=marker, alpha=0.7, lw=0, label=f"{split} ({len(own)})"
        )
    ax.set(xlabel="first direction", ylabel="second direction", xticks=[], yticks=[])
    ax.set_aspect("equal", adjustable="datalim")
    legend_outside(ax)
    return ax


def length_by_turn(turns: pd.DataFrame, ax: Axes | None = None, note: str | None = None) -> Axes:
    """Mean length of messages by turn, with the middle half of them as a band.

    Args:
        turns: `tidy.turn_table`: column turn, and one column of words per kind of message, named "<kind>_words".
    """
    names = {column: column.removesuffix("_words") for column in turns.columns if column.endswith("_words")}
    ax = prepare(turns, ax, (7, 4), "Length of messages by turn, mean and middle half", note)
    _mean_lines(ax, turns, names)
    ax.set(ylabel="words", ylim=(0, 1.05 * ax.get_ylim()[1]))
    return ax


def reveal_curve(turns: pd.DataFrame, ax: Axes | None = None, note: str | None = None) -> Axes:
    """How many facts and traits the induced persona holds by turn, mean over dialogues with the middle half as a band.

    Args:
        turns: `tidy.turn_table`: columns turn, facts, traits.
    """
    ax = prepare(turns, ax, (7, 4), "What the induced persona holds by turn, mean and middle half", note)
    _mean_lines(ax, turns, {"facts": "facts", "traits": "traits"})
    ax.set(ylabel="items in the induced persona", ylim=(0, 1.05 * ax.get_ylim()[1]))
    return ax


def training_curves(log: pd.DataFrame, note: str | None = None) -> list[Axes]:
    """One panel per measure that the log holds: loss, reward margin, reward accuracy; training and held-out.

    Args:
        log: `training_log.write_log`: a row per logged step, step, split ("train", "dev") and any of loss,
            rewards/margins, rewards/accuracies.
    """
    measures = {"loss": "loss", "rewards/margins": "reward margin", "rewards/accuracies": "reward accuracy"}
    shown = [name for name in measures if name in log.columns]
    if log.empty or not shown:
        raise ValueError(f"a log with one of {', '.join(measures)} expected, got {list(log.columns)}")
    axes = plt.subplots(1, len(shown), figsize=(1.5 + 3.6 * len(shown), 3.6), layout="constrained", squeeze=False)[1]
    for name, ax in zip(shown, axes[0], strict=True):
        prepare(log, ax, None, measures[name].capitalize(), note if name == shown[-1] else None)
        looks = (("train", "training, mean since the last point", BLUE, "", "-"), ("dev", "held-out", RED, "D", ""))
        for split, label, colour, marker, line in looks:
            own = log[log["split"] == split].dropna(subset=name)
            if len(own):
                ax.plot(own["step"], own[name], color=colour, marker=marker, ls=line, markersize=6, label=label)
        if name == "rewards/accuracies":
            ax.axhline(0.5, color=INK, lw=1, ls=":", label="chance")
            ax.set_ylim(0, 1.02)
        ax.set(xlabel="step", ylabel=measures[name])
        whole_numbers(ax)
        ax.legend(frameon=False, fontsize=8)
    return list(axes[0])


def estimates(
    table: pd.DataFrame, name: str, title: str, label: str, ax: Axes | None = None, note: str | None = None,
    confidence: float | None = None,
) -> Axes:  # fmt: skip
    """One number of each policy with its interval, and its null band where the table has one.

    Rows that are no policies of the study alone (differences, say) all look alike.

    Args:
        table: `metrics.policy_table`: policy, <name>, <name>_low and _high, and maybe <name>_null_low and _high; with
            <name>_two_way_low and _high (`comparisons`) that interval is a thin line.
        confidence: of the intervals and bands, named in the label.
    """
    if confidence is not None:
        label = f"{label}, {confidence:.0%} interval"
    between = any(" - " in row for row in table["policy"])
    ax = prepare(table, ax, (7, 1.3 + 0.45 * len(table)), title, note)
    ax.use_sticky_edges = False  # a band at the edge keeps its margin
    banded = f"{name}_null_low" in table
    if banded:
        low, high = table[f"{name}_null_low"].fillna(0), table[f"{name}_null_high"].fillna(0)
        ax.barh(range(len(table)), high - low, left=low, height=0.7, color="#dddddd", lw=0, label="band without trend")
    for y, (_, row) in enumerate(table.iterrows()):
        colour, marker = (INK, "o") if between else policy_styles(table["policy"])[row["policy"]]
        if pd.isna(row[name]):
            ax.annotate("not defined: the curve is constant", (0, y), (8, 0), textcoords="offset points", va="center",
                        fontsize=9, color=INK)  # fmt: skip
            continue
        ax.hlines(y, row[f"{name}_low"], row[f"{name}_high"], color=colour, lw=2.5)
        if f"{name}_two_way_low" in table:
            ax.hlines(y, row[f"{name}_two_way_low"], row[f"{name}_two_way_high"], color=colour, lw=1)
        ax.plot(row[name], y, marker=marker, color=colour, markersize=8, ls="")
    if name != "al_mean" or not (table[f"{name}_low"] >= 1).all():  # a level is 1 at least: zero says nothing there
        ax.axvline(0, color=INK, lw=1)
    ax.set_yticks(range(len(table)), table["policy"].tolist())
    ax.set(xlabel=label, ylim=(len(table) - 0.4, -0.6))
    ax.grid(False, axis="y")
    if banded:
        legend_outside(ax)
    return ax


def _mean_lines(ax: Axes, turns: pd.DataFrame, names: Mapping[str, str]) -> None:
    looks = ((BLUE, "s"), (RED, "D"), (ORANGE, "^"), (PURPLE, "v"), (GREY, "o"), (VIOLET, "P"))
    for (column, name), (colour, marker) in zip(names.items(), looks, strict=False):
        by_turn = turns.dropna(subset=column).groupby("turn")[column]
        mean = by_turn.mean()
        ax.plot(mean.index, mean, color=colour, marker=marker, markersize=5, label=name)
        ax.fill_between(mean.index, by_turn.quantile(0.25), by_turn.quantile(0.75), color=colour, alpha=0.15, lw=0,
                        label=f"{name}, middle half")  # fmt: skip
    ax.set_xlabel("turn")
    whole_numbers(ax)
    legend_outside(ax)
