"""The interval of a difference between scores for one's own persona and for a stranger's, who is somebody else's own.

In: levels of the same replies against their own persona and against a stranger's, one row per case, and who each of
the two is. Out: an `Estimate`. Every persona is judged twice, once as itself and once as a stranger, so that what its
profile does to a judge leaves the mean difference but not the profile means of it: t on profile means would be far too
wide (`tests/bench/calibration.py`). This module does not know how strangers are chosen.
"""

from typing import NamedTuple

import numpy as np

from aloe.intervals import Array, Codes, Estimate, t_interval

FLOOR = 0.7
"""The variance is at least so much of that from cases alone; chosen in simulations, where profiles differ or not."""


class Exchange(NamedTuple):
    """Who talks and who the stranger is, by case: codes from 0, the same code for the same profile or personality."""

    profiles: Codes
    personalities: Codes
    stranger_profiles: Codes
    stranger_personalities: Codes


def exchanged_estimate(own: Array, stranger: Array, who: Exchange, confidence: float) -> Estimate:
    """Mean of `own` minus `stranger`, with profiles taken as draws from many and the personalities as fixed.

    Variance: clustered on the profile that talks and on the profile that is judged, less what these two count twice
    (Cameron, Gelbach and Miller 2011, Journal of Business and Economic Statistics 29, of single scores with signs).
    With few profiles that can come out near 0 or below it, so it is at least `FLOOR` times the variance that cases
    alone would have, from what is left of the differences without profiles and personalities. t has n_profiles - 1
    degrees of freedom, or those of what is left where that floor is taken.

    0 means that a stranger's persona fits the replies as well.

    Shape: own and stranger (n_cases,), as the fields of `who`.

    Returns: an estimate without interval where a single profile talks.
    """
    gap, n = own - stranger, len(own)
    value, talking = float(gap.mean()), np.unique(who.profiles)
    if len(talking) < 2:
        return Estimate(value, None, None)
    size = int(max(who.profiles.max(), who.stranger_profiles.max())) + 1

    def sums(values: Array, codes: Codes) -> Array:
        return np.bincount(codes, values - values.mean(), minlength=size) / n

    few = len(talking) / (len(talking) - 1)
    by_talker = float((sums(gap, who.profiles) ** 2).sum())
    judged_twice = float(sums(own, who.profiles) @ sums(stranger, who.stranger_profiles))
    variance, freedom = few * (by_talker - 2 * judged_twice), len(talking) - 1
    alone, spare = _of_cases(gap, who)
    if variance < FLOOR * alone:
        variance, freedom = FLOOR * alone, spare
    return t_interval(value, max(0.0, variance), freedom, confidence)


def _of_cases(gap: Array, who: Exchange) -> tuple[float, int]:
    """Variance of the mean gap had cases nothing in common, and its degrees of freedom."""
    design = np.hstack([np.eye(int(codes.max()) + 1)[codes]
                        for codes in (who.profiles, who.personalities, who.stranger_personalities)])  # fmt: skip
    fitted, _, rank, _ = np.linalg.lstsq(design, gap, rcond=None)
    left = gap - design @ fitted
    spare = len(gap) - int(rank)
    return (float(left @ left) / spare / len(gap) if spare else 0.0), spare
