"""How strongly each judge's ratings move with what a reply is worth, and an offset beside that: from sums alone.

In: ratings side by side, a row per reply's place and a column per (policy, judge). Out: sums by profile, of which a
jackknife leaves out one at a time; slopes of the judges on one scale; the effect of single columns beside worth and
strictness. A judge who errs more moves less with worth, in a policy's good and bad replies as much as between
policies; so the first, where no policy is compared with another, tells how much of the second is error.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from aloe.intervals import Array

STRONG = 10.0
"""Least squared ratio of a covariance to its standard error for slopes to be taken from it: the usual limit of a weak
instrument (Staiger and Stock 1997, Econometrica 65). Ratios of covariances near 0 may be anything."""


def profile_sums(wide: pd.DataFrame) -> Array:
    """Sums over each profile's rows of (1, ratings) times itself: number of rows, sums, and sums of products.

    Shape: wide (n_rows, n_columns) with `profile_id` in its index; returned (n_profiles, 1 + n_columns, 1 + n_columns).
    """
    rows = np.hstack([np.ones((len(wide), 1)), wide.to_numpy(float)])
    profiles = pd.factorize(wide.index.get_level_values("profile_id"))[0]
    return np.stack([own.T @ own for own in (rows[profiles == code] for code in range(int(profiles.max()) + 1))])


def slopes(sums: Array, columns: pd.MultiIndex) -> Array | None:
    """How far each judge's rating moves with the worth of a reply, by one factor on deviations from policy means.

    Errors of two judges are taken as independent, so that their covariance within policies is the product of their
    slopes and the variance of worth; of three judges that gives each slope, of more it is solved by least squares on
    logarithms. What judges of one model have in common beside worth counts as worth. A judge asked again is no third
    one: what it says twice is also its taste, which would pass for a steeper slope.

    Args:
        sums: over profiles, shape (1 + n_columns, 1 + n_columns).
        columns: (policy, judge) of each column.

    Returns: one for each column, as those of its judge, with a geometric mean of 1 over judges (their common scale has
        no unit of its own). None with fewer than three judges, or where one did not rate all policies or has no
        positive covariance with another.
    """
    judges = list(dict.fromkeys(columns.get_level_values(1)))
    if len(judges) < 3 or len(columns) != len(judges) * columns.get_level_values(0).nunique():
        return None
    pairs = list(itertools.combinations(range(len(judges)), 2))
    found = covariances(sums, columns)
    if (found <= 1e-9).any():
        return None
    design = np.array([[float(place in pair) for place in range(len(judges))] for pair in pairs])
    logs = np.linalg.lstsq(design, np.log(found), rcond=None)[0]
    return np.asarray(np.exp(logs - logs.mean())[[judges.index(judge) for judge in columns.get_level_values(1)]])


def covariances(sums: Array, columns: pd.MultiIndex) -> Array:
    """Of every two judges, in the order of `itertools.combinations`: mean covariance over the policies."""
    mean = sums[0, 1:] / sums[0, 0]
    between = sums[1:, 1:] / sums[0, 0] - np.outer(mean, mean)
    policies, judges = (pd.factorize(columns.get_level_values(level))[0] for level in (0, 1))
    same = policies[:, None] == policies[None, :]
    return np.array([between[same & (judges[:, None] == one) & (judges[None, :] == other)].mean()
                     for one, other in itertools.combinations(range(int(judges.max()) + 1), 2)])  # fmt: skip


def can_be_told(totals: Array, columns: pd.MultiIndex) -> bool:
    """Whether there are `slopes`, and every covariance that they come of is `STRONG`.

    Shape: totals as of `profile_sums`.
    """
    whole, n = totals.sum(axis=0), len(totals)
    if n < 2 or slopes(whole, columns) is None:
        return False
    parts = np.array([covariances(whole - own, columns) for own in totals])
    return bool((covariances(whole, columns) ** 2 > STRONG * (n - 1) * parts.var(axis=0)).all())


def offset(
    means: Array, columns: pd.MultiIndex, steep: Array, match: Array, others: Sequence[Array]
) -> float | None:  # fmt: skip
    """The effect of `match` beside strictness of the judges, slope times quality of the policies, and `others`.

    By least squares on the mean of each column, so it is in the levels of the judges whose columns `match` names.

    Shape: means, steep, match and each of `others` (n_columns,).

    Returns: None where it cannot be told from the rest.
    """
    policies, judges = (np.eye(len(set(names)))[pd.factorize(names)[0]]
                        for names in map(columns.get_level_values, (0, 1)))  # fmt: skip
    design = np.hstack([policies * steep[:, None], judges, *(other[:, None] for other in others)])
    left = match - design @ np.linalg.lstsq(design, match, rcond=None)[0]
    return None if float(left @ left) < 1e-9 else float(means @ left) / float(left @ left)
