"""How a near-duplicate threshold follows from labelled pairs, drawn.

In: the similarity of each pair with its label, and thresholds by kind. Out: matplotlib Axes. This module neither
embeds nor chooses a threshold, and touches no file.
"""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from aloe.figure_style import BLUE, INK, ORANGE, PURPLE, RED, prepare

LABELS = (("distinct", BLUE), ("duplicate", RED))
KINDS = ((ORANGE, "s", "-"), (PURPLE, "D", "--"))


def calibration(
    pairs: pd.DataFrame, cuts: Mapping[str, float], thresholds: Mapping[str, float], note: str | None = None
) -> list[Axes]:
    """Per kind a histogram of the similarity by label, then the ROC curve of each kind with its cut marked.

    Args:
        pairs: `near_duplicates.Calibration.pairs` of one or more kinds: columns kind, label, similarity.
        cuts: by kind, the calibrated cut.
        thresholds: by kind, the threshold that the run uses.

    Raises:
        ValueError: there is no pair.
    """
    if pairs.empty:
        raise ValueError("at least one labelled pair expected, got none")
    kinds = list(dict.fromkeys(pairs["kind"]))
    n = len(kinds) + 1
    axes = list(plt.subplots(1, n, figsize=(4 * n, 3.8), layout="constrained", squeeze=False)[1][0])
    bins = np.linspace(min(0.0, float(pairs["similarity"].min())), 1, 41).tolist()
    for ax, kind in zip(axes, kinds, strict=False):
        own = prepare(pairs[pairs["kind"] == kind], ax, None, f"Labelled pairs: {kind}", None)
        for label, colour in LABELS:
            own.hist(_similarity(pairs, kind, label), bins=bins, color=colour, alpha=0.55, label=label)
        own.axvline(cuts[kind], color=INK, lw=2, label=f"calibrated cut {cuts[kind]:.2f}")
        own.axvline(thresholds[kind], color=INK, lw=2, ls=":", label=f"this run's threshold {thresholds[kind]:g}")
        own.set(xlabel="cosine similarity of the two texts", ylabel="pairs", xlim=(bins[0], 1))
        own.yaxis.set_major_locator(MaxNLocator(integer=True))
        own.set_ylim(0, 1.6 * own.get_ylim()[1])  # room for the legend
        own.legend(loc="upper left", frameon=False, fontsize=8)
    roc = prepare(pairs, axes[-1], None, "ROC: all cuts", note)
    for kind, (colour, marker, line) in zip(kinds, KINDS, strict=False):
        false, true = roc_points(_similarity(pairs, kind, "distinct"), _similarity(pairs, kind, "duplicate"))
        roc.plot(false, true, color=colour, ls=line, lw=2, label=kind)
        at = [float((_similarity(pairs, kind, label) > cuts[kind]).mean()) for label, _ in LABELS]
        roc.plot(*at, color=colour, marker=marker, markersize=9, ls="", label=f"{kind}, calibrated cut")
    roc.axline((0, 0), slope=1, color=INK, lw=1, ls=":", label="chance")
    roc.set(xlabel="distinct pairs flagged", ylabel="duplicates found", xlim=(-0.02, 1), ylim=(0, 1.02))
    roc.legend(loc="lower right", frameon=False, fontsize=8)
    return axes


def embedders(pairs: pd.DataFrame, note: str | None = None) -> list[Axes]:
    """Per kind, the ROC curve of each embedder.

    Args:
        pairs: columns embedder, kind, label, similarity.
    """
    kinds = list(dict.fromkeys(pairs["kind"]))
    axes = list(plt.subplots(1, len(kinds), figsize=(4.2 * len(kinds), 3.8), layout="constrained", squeeze=False)[1][0])
    for ax, kind in zip(axes, kinds, strict=True):
        own = prepare(pairs, ax, None, f"ROC by embedder: {kind}", note if ax is axes[-1] else None)
        for (name, rows), (colour, _, line) in zip(pairs.groupby("embedder", sort=False), KINDS, strict=False):
            own.plot(
                *roc_points(_similarity(rows, kind, "distinct"), _similarity(rows, kind, "duplicate")),
                color=colour, ls=line, lw=2, label=str(name),
            )  # fmt: skip
        own.axline((0, 0), slope=1, color=INK, lw=1, ls=":", label="chance")
        own.set(xlabel="distinct pairs flagged", ylabel="duplicates found", xlim=(-0.02, 1), ylim=(0, 1.02))
        own.legend(loc="lower right", frameon=False, fontsize=8)
    return axes


def roc_points(
    distinct: npt.NDArray[np.float64], duplicate: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """False and true positive rates of all cuts, from the strictest to the one that calls everything a duplicate.

    >>> false, true = roc_points(np.array([0.1, 0.5]), np.array([0.4, 0.9]))
    >>> false.tolist(), true.tolist()
    ([0.0, 0.0, 0.5, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0, 1.0])
    """
    cuts = np.append(np.unique(np.concatenate([distinct, duplicate])), -np.inf)
    cuts[::-1].sort()
    rates = [np.array([(own > cut).mean() for cut in cuts]) for own in (distinct, duplicate)]
    return rates[0], rates[1]


def _similarity(pairs: pd.DataFrame, kind: str, label: str) -> npt.NDArray[np.float64]:
    return pairs.loc[(pairs["kind"] == kind) & (pairs["label"] == label), "similarity"].to_numpy(dtype=float)
