"""What N-IR and N-R2 would be without a trend: noise like that of the data, and bands that hold with few clusters.

In: levels with one row per case, the cluster (here: the profile) of each row as a code 0..n_clusters-1. Out: simulated
curves and two bands. The noise is normal; its covariance between turns depends on the lag only and is estimated from
the clusters. That estimate errs with 20 clusters, so the bands are calibrated for its error (`null_bands`).
This module does not know what the numbers mean.
"""

from typing import NamedTuple

import numpy as np

from aloe.intervals import Array, Codes, cluster_deviations, slope_weights

N_ESTIMATES, N_PER_ESTIMATE = 100, 100


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
    roots = _roots((deviations.T @ deviations)[None])
    if not len(roots):
        return None
    noise = rng.standard_normal((n_curves, n_turns))
    anew = rng.standard_normal((N_ESTIMATES, max(1, n_clusters - 1), n_turns)) @ _square_root(deviations)
    others = _roots(np.einsum("sgi,sgj->sij", anew, anew))
    again = rng.standard_normal((len(others), N_PER_ESTIMATE, n_turns)) @ others.transpose(0, 2, 1)
    pairs = zip(_statistics(noise @ roots[0].T), _statistics(again), strict=True)
    n_ir, n_r2 = (_calibrated(own, other, confidence) for own, other in pairs)
    return NullBands((-n_ir, n_ir), (0.0, n_r2))


def _calibrated(own: Array, again: Array, confidence: float) -> float:
    """The quantile of `own` whose level makes bands from estimated covariances hold at the rate `confidence`.

    Shape: own (n_curves,), again (n_estimates, n_per_estimate), values of one statistic.
    """
    own, again = np.sort(own), np.sort(again, axis=1)  # column j: a band's end at level (j + 1) / (n + 1), by estimate
    held = (np.searchsorted(own, again, side="right") / len(own)).mean(axis=0)
    levels = (np.arange(again.shape[1]) + 1) / (again.shape[1] + 1)
    return float(np.quantile(own, np.interp(confidence, held, levels)))


def _statistics(curves: Array) -> tuple[Array, Array]:
    """N-IR without its sign, and N-R2, of curves of mean 0: shape (..., n_turns) to (...,)."""
    weights = slope_weights(curves.shape[-1])
    slopes = np.abs(curves @ weights)
    return slopes / np.ptp(curves, axis=-1), slopes**2 / (weights @ weights) / np.einsum(
        "...i,...i->...", curves, curves
    )


def _roots(products: Array) -> Array:
    """R for each matrix of sums of products, so that `R @ noise` is a curve of mean 0 with that covariance.

    The covariance is averaged along its diagonals: it depends on the lag only, which few clusters estimate better
    than each of its entries. Permuting turns instead would ignore that neighbouring turns are alike. What an estimate
    has of negative variances is taken as none; where nothing varies between turns there is no R.

    Shape: products (n, n_turns, n_turns), returned (at most n, n_turns, n_turns).
    """
    n_turns = products.shape[-1]
    lags = np.abs(np.subtract.outer(np.arange(n_turns), np.arange(n_turns)))
    by_lag = np.stack([np.diagonal(products, lag, 1, 2).mean(axis=1) for lag in range(n_turns)], axis=1)
    centre = np.eye(n_turns) - 1.0 / n_turns
    variances, directions = np.linalg.eigh(centre @ by_lag[:, lags] @ centre)
    kept = variances.max(axis=1) > 1e-9
    return np.asarray(directions * np.sqrt(np.maximum(variances, 0.0))[:, None, :])[kept]


def _square_root(deviations: Array) -> Array:
    """(n_turns, n_turns) S, so that normal rows times S have the covariance of the deviations, up to a factor."""
    variances, directions = np.linalg.eigh(deviations.T @ deviations)
    return np.asarray((directions * np.sqrt(np.maximum(variances, 0.0))).T)
