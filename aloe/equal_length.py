"""Policies compared at equal reply length: would the one still be better if it wrote as many words as the other?

In: judgements and the number of words of every reply. Out: the paired difference of level, as it is and at equal
length. The difference of level is regressed on the difference in words, as length-controlled win rates do it (Dubois
et al., 2024, arXiv 2404.04475): words enter as tanh(d / s), which levels off, with s the standard deviation of d. This
module knows no file and no policy's name.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from aloe.intervals import Array, Codes, Estimate, mean_estimate, totals_estimate
from aloe.metrics import complete_cases


class EqualLength(NamedTuple):
    """One policy minus another over pairs of replies: same person, same turn.

    `words` and `level` are the plain mean differences; `at_equal_length` is that of levels where both replies are as
    long as each other, None where no pair comes near it (one of the two is always the longer) or nothing varies.
    """

    n_pairs: int
    words: Estimate
    level: Estimate
    at_equal_length: Estimate | None


def at_equal_length(
    frame: pd.DataFrame, words: pd.DataFrame, policy: str, other: str, confidence: float = 0.95
) -> EqualLength:
    """Compare two policies on the cases complete for both, with intervals clustered on profiles.

    level(policy) - level(other) = a_k + b * tanh(d / s), with d the difference in words of the two replies of a case at
    turn k, by least squares; the result is the mean of a_1..a_K. Every turn has an intercept of its own, since both
    lengths and levels grow with the turn. What a policy gains by writing long to those who like it long, and short to
    others, is no matter of length as such and mostly stays.

    Args:
        frame: columns of `records.Judgement`, of several policies; judges are averaged. With `controls.minus_control`
            of it, the result is about dAL.
        words: columns policy, case, turn, words: one row per reply.
        policy, other: two policies of the frame.
        confidence: of the intervals (t on leaving out one profile at a time).

    Raises:
        ValueError: no case is complete for both, or a reply has no number of words.
    """
    kept = complete_cases(frame[frame["policy"].isin([policy, other])]).frame
    keys = ["policy", "case", "turn"]
    levels = kept.groupby([*keys, "profile_id"], as_index=False)["level"].mean()
    joined = levels.merge(words[[*keys, "words"]], on=keys, how="left", validate="one_to_one")
    if joined["words"].isna().any():
        raise ValueError(f"{int(joined['words'].isna().sum())} replies have a level but no number of words")
    pairs = joined.pivot(index=["profile_id", "case", "turn"], columns="policy", values=["level", "words"]).dropna()
    if pairs.empty or pairs["level"].shape[1] < 2:
        raise ValueError(f"no case is complete for both {policy} and {other}")
    level = (pairs["level"][policy] - pairs["level"][other]).to_numpy(dtype=float)
    longer = (pairs["words"][policy] - pairs["words"][other]).to_numpy(dtype=float)
    profiles = pd.factorize(pairs.index.get_level_values("profile_id"))[0]
    turns = pd.factorize(pairs.index.get_level_values("turn"), sort=True)[0]
    return EqualLength(
        n_pairs=len(level),
        words=mean_estimate(longer, profiles, confidence),
        level=mean_estimate(level, profiles, confidence),
        at_equal_length=_adjusted(level, longer, turns, profiles, confidence),
    )


def _adjusted(level: Array, longer: Array, turns: Codes, profiles: Codes, confidence: float) -> Estimate | None:
    """The mean intercept of the regression; None where equal length lies outside what was seen, or nothing varies."""
    spread = float(longer.std())
    if spread == 0:
        return mean_estimate(level, profiles, confidence) if not longer.any() else None
    if longer.min() > 0 or longer.max() < 0:
        return None
    x = np.tanh(longer / spread)
    totals = np.zeros((int(profiles.max()) + 1, int(turns.max()) + 1, 5))
    np.add.at(totals, (profiles, turns), np.stack([np.ones_like(x), x, level, x * x, x * level], axis=1))
    return totals_estimate(_mean_intercept, totals, confidence)


def _mean_intercept(sums: Array) -> float | None:
    """From sums per turn of (1, x, y, xx, xy): mean over turns of y - b x, with b the slope within turns."""
    n, x, y, xx, xy = sums.T
    if (n == 0).any():
        return None
    varied = float((xx - x * x / n).sum())
    if varied <= 1e-12 * float(n.sum()):
        return None
    slope = float((xy - x * y / n).sum()) / varied
    return float((y / n - slope * x / n).mean())
