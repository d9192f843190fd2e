"""The shuffled-persona control drawn: levels for the own persona and for a stranger's, and what lies between them.

In: a data frame. Out: matplotlib Axes. An empty frame is a ValueError. This module computes nothing.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from aloe.figure_style import INK, legend_outside, policy_styles, prepare, whole_numbers


def against_strangers(
    curves: pd.DataFrame, note: str | None = None, confidence: float | None = None
) -> tuple[Axes, Axes]:
    """Above: AL(k) of each policy, and dashed the level of the same replies for a stranger. Below: dAL(k) with bands.

    Args:
        curves: `controls.control_curves`: columns policy, turn, al, al_shuffled, dal, low, high (of dAL).
        confidence: of the bands, named in the title.
    """
    above, below = plt.subplots(2, 1, figsize=(7.5, 6.8), layout="constrained", sharex=True)[1]
    bands = "" if confidence is None else f" with {confidence:.0%} band"
    prepare(curves, above, None, "The same replies judged for their user and for a stranger (dashed)", None)
    prepare(curves, below, None, f"dAL: level for the user minus level for a stranger{bands}", note)
    last = curves.loc[curves.groupby("policy")["turn"].idxmax()].sort_values("dal", ascending=False)
    styles = policy_styles(curves["policy"])
    for policy in last["policy"]:
        own, (colour, marker) = curves[curves["policy"] == policy].sort_values("turn"), styles[policy]
        above.plot(own["turn"], own["al"], color=colour, marker=marker, markersize=5, label=policy)
        above.plot(own["turn"], own["al_shuffled"], color=colour, ls="--", lw=1.2, marker=marker, markersize=3)
        below.plot(own["turn"], own["dal"], color=colour, marker=marker, markersize=5, label=policy)
        limits = own["low"].astype(float), own["high"].astype(float)
        below.fill_between(own["turn"], *limits, color=colour, alpha=0.2, lw=0)
    below.axhline(0, color=INK, lw=1)
    above.set(ylabel="level 1 to 5", ylim=(0.9, 5.1))
    below.set(xlabel="turn k", ylabel="dAL(k), levels")
    whole_numbers(below)
    legend_outside(above)
    return above, below
