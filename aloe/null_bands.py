"""What N-IR and N-R2 would be without a trend: noise like that of the data, and bands that hold with few clusters.

In: levels with one row per case, the cluster (here: the profile) of each row as a code 0..n_clusters-1. Out: simulated
curves and two bands. The noise is normal; its covariance between turns depends on the lag only and is estimated from
the clusters. That estimate errs with 20 clusters, so the bands are calibrated for its error (`null_bands`).
This module does not know what the numbers mean.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from aloe.intervals import Array, Codes, cluster_deviations, slope_weights

N_ESTIMATES, N_PER_ESTIMATE = 100, 200


class NullBands(NamedTuple):
    """Central band of N-IR, and the band from 0 of N-R2, when AL(k) has no trend at all."""

    n_ir: tuple[float, float]
    n_r2: tuple[float, float]


def null_bands(values: Array, clusters: Codes, confidence: float, n_curves: int, seed: int) -> NullBands | None:
    """What N-IR and N-R2 of a policy would be if its AL(k) had no trend, from `n_curves` curves of pure noise.

    The plain quantiles of those curves cover too seldom, as if the covariance between turns were known. So it is
    asked how often bands do that are made from covariances estimated anew, by as many clusters, from data like these;
    the quantile taken is the one that covers at the rate `confidence` there (a double bootstrap: Beran 1987,
    Biometrika 74). N-IR without a trend is as often positive as negative, so its band is symmetric.

    Coverage in simulated studies of 20 profiles x 5 personalities: `tests/bench/calibration.py`.

    Shape: values (n_cases, n_turns), clusters (n_cases,).

    Returns: None where nothing varies between clusters.
    """
    rng = np.random.default_rng(seed)
    deviations = cluster_deviations(values, clusters)
    size, (n_clusters, n_turns) = float(np.abs(deviations).max()), deviations.shape
    deviations = deviations / (size or 1.0)  # neither number depends on the unit
    root = _root(_by_lag(deviations.T @ deviations))
    if root is None:
        return None
    curves = rng.standard_normal((n_curves, n_turns)) @ root.T
    anew = rng.standard_normal((N_ESTIMATES, max(1, n_clusters - 1), n_turns)) @ _square_root(deviations)
    noise, again = rng.standard_normal((N_PER_ESTIMATE, n_turns)), []
    for sample in anew:
        other = _root(_by_lag(sample.T @ sample))
        if other is not None:
            again.append(noise @ other.T)
    ends = [_calibrated(statistic, curves, np.array(again), confidence) for statistic in (_n_ir_size, _n_r2)]
    return NullBands((-ends[0], ends[0]), (0.0, ends[1]))


def _calibrated(statistic: Callable[[Array], Array], curves: Array, again: Array, confidence: float) -> float:
    """The quantile of the statistic whose level makes a band from an estimated covariance hold at `confidence`."""
    own = np.sort(statistic(curves))
    others = np.sort(statistic(again), axis=1)  # column j: a band's end at level (j + 1/2) / n, by estimate
    held = (np.searchsorted(own, others, side="right") / len(own)).mean(axis=0)
    levels = (np.arange(others.shape[1]) + 0.5) / others.shape[1]
    return float(np.quantile(own, np.interp(confidence, held, levels)))


def _n_ir_size(curves: Array) -> Array:
    """Shape (..., n_turns) to (...,): slope over range, without its sign."""
    return np.asarray(np.abs(curves @ slope_weights(curves.shape[-1])) / np.ptp(curves, axis=-1))


def _n_r2(curves: Array) -> Array:
    """Shape (..., n_turns) to (...,): share of the variance between turns that a straight line explains."""
    turns = np.arange(curves.shape[-1])
    return np.asarray((curves @ slope_weights(len(turns))) ** 2 * turns.var() / curves.var(axis=-1))


def _by_lag(products: Array) -> Array:
    """(n_turns, n_turns) sums of products to one mean per lag, which few clusters estimate better than each entry."""
    return np.array([np.diagonal(products, lag).mean() for lag in range(len(products))])


def _root(by_lag: Array) -> Array | None:
    """R, so that `R @ noise` is a curve of mean 0 with these covariances; None where there is nothing to vary.

    Permuting turns instead would ignore that neighbouring turns are alike. What an estimate has of negative
    variances is taken as none.
    """
    n_turns = len(by_lag)
    covariance = by_lag[np.abs(np.subtract.outer(np.arange(n_turns), np.arange(n_turns)))]
    centre = np.eye(n_turns) - 1.0 / n_turns
    variances, directions = np.linalg.eigh(centre @ covariance @ centre)
    if variances.max() <= 1e-9:
        return None
    return np.asarray(directions * np.sqrt(np.maximum(variances, 0.0)))


def _square_root(deviations: Array) -> Array:
    """(n_turns, n_turns) S, so that normal rows times S have the covariance of the deviations, up to a factor."""
    variances, directions = np.linalg.eigh(deviations.T @ deviations)
    return np.asarray((directions * np.sqrt(np.maximum(variances, 0.0))).T)
