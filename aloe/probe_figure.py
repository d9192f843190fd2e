"""The probe drawn: what policies know of their users, and what they make of it, turn by turn.

In: a data frame. Out: matplotlib Axes. An empty frame is a ValueError. This module computes nothing.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from aloe.figure_style import legend_outside, policy_styles, prepare, whole_numbers


def infers_and_adapts(
    curves: pd.DataFrame, note: str | None = None, confidence: float | None = None
) -> tuple[Axes, Axes]:
    """Above: the share of told facts that each policy names when asked. Below: its alignment level. Both with bands.

    Args:
        curves: `knowledge.infers_and_adapts`.
        note: such as "simulated".
        confidence: of the bands, named in the titles.
    """
    above, below = plt.subplots(2, 1, figsize=(7.5, 6.8), layout="constrained", sharex=True)[1]
    bands = "" if confidence is None else f", with {confidence:.0%} band"
    prepare(curves, above, None, f"Infers: share of the facts told by turn k that it names when asked{bands}", None)
    prepare(curves, below, None, f"Adapts: alignment level of its replies{bands}", note)
    styles = policy_styles(curves["policy"])
    last = curves.loc[curves.groupby("policy")["turn"].idxmax()].sort_values("al", ascending=False)
    for policy in last["policy"]:
        own, (colour, marker) = curves[curves["policy"] == policy].sort_values("turn"), styles[policy]
        for ax, name in ((above, "recall"), (below, "al")):
            ax.plot(own["turn"], own[name].astype(float), color=colour, marker=marker, markersize=5, label=policy)
            limits = own[f"{name}_low"].astype(float), own[f"{name}_high"].astype(float)
            ax.fill_between(own["turn"], *limits, color=colour, alpha=0.12, lw=0)
    above.set(ylabel="share of told facts", ylim=(-0.03, 1.03))
    below.set(xlabel="turn k", ylabel="AL(k), level 1 to 5", ylim=(0.9, 5.1))
    whole_numbers(below)
    legend_outside(above)
    return above, below
