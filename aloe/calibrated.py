"""A judge's mean score corrected by people's: prediction-powered inference, and how many labels it needs.

In: a judge's levels of all items, people's levels of some of them drawn at random, the profile of each item. Out: an
`Estimate` on the people's scale. The judge may be biased and noisy: that makes the interval longer, not wrong.
This module does not know where the labels come from.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from aloe.intervals import Array, Codes, Estimate, t_interval


class Calibrated(NamedTuple):
    """The corrected mean, people's labels alone, the judge's mean as it is, and how far the judge is trusted (0..1)."""

    mean: Estimate
    labels_alone: Estimate
    judge: float
    power: float


def calibrated_mean(judged: Array, labels: Array, clusters: Codes, confidence: float) -> Calibrated:
    """Mean level that people would give all items, from a judge's levels of all and people's of some.

    mean = λ·(judge's mean over all items) + mean over labelled items of (label − λ·judge's level), with the λ between
    0 and 1 that makes its variance smallest: 0 ignores the judge, so that the result is little worse than people's
    labels alone. Source: Angelopoulos, Duchi and Zrnic (2023, arXiv 2311.01453), PPI++; different from there, items
    of one profile may depend on each other (linearised contributions summed by profile; t, n_profiles - 1 degrees of
    freedom), and labelled items count among all items, as they are the same replies.

    Args:
        judged: (n_items,) the judge's levels.
        labels: (n_items,) people's, NaN where nobody was asked; which ones must have been drawn at random.
        clusters: (n_items,) codes from 0.
        confidence: of the interval.

    Returns: no interval where fewer than two profiles have a label.

    Raises:
        ValueError: no label, a level of the judge is missing, or lengths differ.
    """
    if not len(judged) == len(labels) == len(clusters) or np.isnan(judged).any() or np.isnan(labels).all():
        raise ValueError("a judge's level for every item and a label for one or more expected")
    asked = ~np.isnan(labels)
    n_profiles = int(clusters.max()) + 1
    label, rated = np.where(asked, labels, 0.0), np.where(asked, judged, 0.0)
    mean, rated_mean, all_mean = label.sum() / asked.sum(), rated.sum() / asked.sum(), judged.mean()

    def by_profile(terms: Array) -> Array:
        return np.asarray(np.bincount(clusters, terms, minlength=n_profiles), dtype=float)

    people = by_profile(np.where(asked, labels - mean, 0.0)) / asked.sum()
    beyond = (
        by_profile(judged - all_mean) / len(judged)
        - by_profile(np.where(asked, judged - rated_mean, 0.0)) / asked.sum()
    )
    size = float(beyond @ beyond)
    power = float(np.clip(-(people @ beyond) / size, 0, 1)) if size > 1e-18 else 0.0
    freedom = len(np.unique(clusters[asked])) - 1

    def estimate(value: float, parts: Array) -> Estimate:
        return t_interval(value, float(parts @ parts) * n_profiles / max(1, n_profiles - 1), freedom, confidence)

    return Calibrated(
        estimate(float(mean + power * (all_mean - rated_mean)), people + power * beyond),
        estimate(float(mean), people), float(all_mean), power,
    )  # fmt: skip


def planned_labels(
    half_width: float, spread: float, correlation: float, n_items: int, n_profiles: int, confidence: float = 0.95,
    intraclass: float = 0.05,
) -> int | None:  # fmt: skip
    """How many of `n_items` people should label for a calibrated mean of about `half_width` on either side.

    With the best λ the part of a label that the judge does not foretell, (1 − r²) of its variance s², is averaged
    over n labels, the rest over all N items; each mean of m items from K profiles has the variance
    s²((1 − ρ)/m + ρ/K) (Kish 1965). t has K − 1 degrees of freedom.

    Args:
        half_width: wanted, in levels.
        spread: s, the standard deviation of people's levels; from a pilot.
        correlation: r, between judge and people; from a pilot.
        n_items: N, that the judge has scored.
        n_profiles: K, 2 or more.
        confidence: of the interval.
        intraclass: ρ, of items of one profile.

    >>> [planned_labels(0.15, 1.0, correlation, 1000, 20, intraclass=0.0) for correlation in (0.8, 0.0)]
    [81, 195]

    Returns: None where not even a label for every item would do.

    Raises:
        ValueError: a number is outside its range.
    """
    if half_width <= 0 or spread <= 0 or not -1 <= correlation <= 1 or n_profiles < 2 or not 0 <= intraclass < 1:
        raise ValueError("a half-width and a spread above 0, a correlation from -1 to 1, 2 profiles or more and an "
                         "intraclass correlation from 0 to 1 expected")  # fmt: skip
    t = float(special.stdtrit(n_profiles - 1, (1 + confidence) / 2))
    foretold = correlation**2
    room = (half_width / t / spread) ** 2 - intraclass / n_profiles - foretold * (1 - intraclass) / n_items
    if room <= 0:
        return None
    needed = max(n_profiles, math.ceil((1 - foretold) * (1 - intraclass) / room))
    return needed if needed <= n_items else None
