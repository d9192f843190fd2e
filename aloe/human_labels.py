"""People's ratings as labels by which a judge's mean level is corrected, and how many labels that takes.

In: decoded answers of a human study, and the judge's scores of the same run. Out: frames of numbers, by `calibrated`.
People and judge rate on the same scale, 1 to 5; raters of one reply are averaged first. Which replies were rated was
drawn at random. This module reads and writes no file.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from aloe.calibrated import calibrated_mean, planned_labels


class Pilot(NamedTuple):
    """What a plan needs to know of labels: how much they differ, and how far the judge foretells them."""

    spread: float
    correlation: float


def labelled(decoded: pd.DataFrame, policies: tuple[str, str], scores: pd.DataFrame) -> pd.DataFrame:
    """Every reply of two policies that every judge scored, with people's mean rating where they were asked.

    Args:
        decoded: of `human_study.decode`; its `one` is the first of `policies`.
        policies: the two.
        scores: columns of `records.Judgement`; judges are averaged.

    Returns: policy, profile, case, turn, judged, label (missing where nobody was asked).
    """
    own = pd.concat([scores[scores["policy"] == policy] for policy in policies]).astype({"level": float})
    unit = ["policy", "profile_id", "case", "turn"]
    judged = own.groupby(unit, sort=False)["level"].agg(lambda levels: levels.mean(skipna=False)).rename("judged")
    sides = [decoded[["case", "turn", column]].rename(columns={column: "label"}).assign(policy=policy)
             for policy, column in zip(policies, ("rating_one", "rating_other"), strict=True)]  # fmt: skip
    labels = pd.concat(sides).groupby(["policy", "case", "turn"])["label"].mean()
    both = judged.dropna().reset_index().join(labels, on=["policy", "case", "turn"])
    return both.rename(columns={"profile_id": "profile"})


def corrected(frame: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Mean level of each policy's replies on people's scale, by people's labels of some and the judge's of all.

    Args:
        frame: of `labelled`.
        confidence: of the intervals, clustered on profiles.

    Returns: policy, labels (how many), replies, judge (its mean as it is), corrected with low and high, alone (people's
        labels without the judge) with alone_low and alone_high, trust (0: the judge is of no use, 1: taken as it is).
        A policy without a label is left out.
    """
    rows = []
    for policy, own in frame.groupby("policy", sort=False):
        if own["label"].notna().any():
            arrays = own["judged"].to_numpy(float), own["label"].to_numpy(float)
            found = calibrated_mean(*arrays, pd.factorize(own["profile"])[0], confidence)
            rows.append((policy, int(own["label"].notna().sum()), len(own), found.judge, *found.mean,
                         *found.labels_alone, found.power))  # fmt: skip
    columns = ["policy", "labels", "replies", "judge", "corrected", "low", "high", "alone", "alone_low", "alone_high",
               "trust"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def pilot(frame: pd.DataFrame) -> Pilot | None:
    """Spread of the labels within policies, and their correlation with the judge's levels there.

    Returns: None with fewer than three labels, or where labels or levels do not differ.
    """
    rated = frame.dropna(subset="label")
    inside = rated[["judged", "label"]] - rated.groupby("policy")[["judged", "label"]].transform("mean")
    if len(rated) < 3 or (inside.abs().max() < 1e-9).any():
        return None
    freedom = max(1, len(rated) - rated["policy"].nunique())
    spread = float(np.sqrt((inside["label"] ** 2).sum() / freedom))
    return Pilot(spread, float(np.corrcoef(inside["judged"], inside["label"])[0, 1]))


def planned_table(
    n_replies: int, n_profiles: int, confidence: float, found: Pilot | None = None,
    half_widths: Sequence[float] = (0.1, 0.15, 0.2, 0.3), assumed: Sequence[float] = (0.0, 0.5, 0.7, 0.9),
) -> pd.DataFrame:  # fmt: skip
    """How many of a policy's replies people should label, by the half-width that is wanted of its corrected mean.

    Args:
        n_replies: of the policy, that the judge has scored.
        n_profiles: 2 or more.
        confidence: of the interval.
        found: of a pilot; None: labels that spread by one level, and each of the `assumed` correlations with the judge.
        half_widths: in levels.
        assumed: see `found`.

    Returns: a row per correlation, a column per half-width; missing where not even a label for every reply would do.
    """
    spread, known = (found.spread, [found.correlation]) if found else (1.0, list(assumed))
    rows = {f"{r:.2f}": [planned_labels(half, spread, r, n_replies, n_profiles, confidence) for half in half_widths]
            for r in known}  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[f"±{half:g}" for half in half_widths])
    return table.astype("Int64").rename_axis("correlation with the judge")
