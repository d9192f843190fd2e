"""Differences and levels as they are shown side by side: primary interval, two-way interval, adjusted p-value.

In: judgements (columns of `metrics.COLUMNS`). Out: frames, one row per difference or per policy and quantity. The
primary interval takes the personalities as fixed, the two-way one takes both profiles and personalities as draws from
many (`intervals.two_way_estimate`: wide, as 5 personalities say little about all others). p-values belong to the
primary intervals. This module knows no file.
"""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd

from aloe.intervals import Array, Codes, holm, mean_estimate, p_value, slope_weights, two_way_estimate
from aloe.metrics import complete_cases

KEYS = ["case", "profile_id", "personality_id"]
ENDS = ("", "_low", "_high", "_two_way_low", "_two_way_high", "_p", "_p_holm")


class Levels(NamedTuple):
    """One policy's levels, judges averaged, cases sorted by name; profiles and personalities as codes from 0."""

    levels: Array  # (n_cases, n_turns)
    profiles: Codes
    personalities: Codes


def compare(frame: pd.DataFrame, pairs: Sequence[tuple[str, str]], confidence: float) -> pd.DataFrame:
    """Paired differences between policies on the same cases, corrected for how many are shown together.

    Args:
        frame: judgements of all policies in `pairs`.
        pairs: (one, other): one minus other; above 0 means that `one` is better aligned, or gains faster.
        confidence: of the intervals, each of which stands for itself.

    Returns: a row per pair: `difference` ("one - other"), `n_cases`, and for `al_mean` (levels, mean over turns) and
        `ir` (levels a turn): value, `_low`, `_high`, `_two_way_low`, `_two_way_high`, `_p`, `_p_holm`. Holm's
        correction is over all p-values of the table, AVG and IR together. Empty for no pair.

    Raises:
        ValueError: no case is complete for both of a pair.
    """
    rows: list[dict[str, Any]] = []
    for one, other in pairs:
        both = frame[frame["policy"].isin([one, other])]
        ours, theirs = _wide(both, one), _wide(both, other)
        shared = ours.index.intersection(theirs.index).sort_values()
        gap = ours.loc[shared].to_numpy(float) - theirs.loc[shared].to_numpy(float)
        cases, n_turns = _coded(shared, gap), gap.shape[1]
        row: dict[str, Any] = {"difference": f"{one} - {other}", "n_cases": len(gap)}
        rows.append(row | _entry("al_mean", gap.mean(axis=1), cases, confidence)
                    | _entry("ir", gap @ slope_weights(n_turns), cases, confidence))  # fmt: skip
    names = ("al_mean", "ir")
    adjusted = holm([row[f"{name}_p"] for row in rows for name in names])
    for i, (row, name) in enumerate(itertools.product(rows, names)):
        row[f"{name}_p_holm"] = adjusted[i]
    columns = [f"{name}{end}" for name in names for end in ENDS]
    return pd.DataFrame(rows, columns=["difference", "n_cases", *columns]).astype(dict.fromkeys(columns, float))


def intervals_table(frame: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """AL(k), AVG and IR of every policy with both intervals.

    dAL comes of a frame whose `level` is the level minus that for a stranger.

    Returns: columns `policy, quantity` ("al_1", ..., "al_mean", "ir"), `value, low, high, two_way_low, two_way_high`.
    """
    rows: list[dict[str, Any]] = []
    for policy in frame["policy"].unique():
        wide = _wide(frame[frame["policy"] == policy], policy)
        cases = _coded(wide.index, wide.to_numpy(float))
        quantities = {f"al_{turn}": column for turn, column in enumerate(cases.levels.T, 1)}
        quantities["al_mean"] = cases.levels.mean(axis=1)
        quantities["ir"] = cases.levels @ slope_weights(cases.levels.shape[1])
        for name, values in quantities.items():
            value, low, high = mean_estimate(values, cases.profiles, confidence)
            _, two_low, two_high = two_way_estimate(values, cases.profiles, cases.personalities, confidence)
            rows.append({"policy": policy, "quantity": name, "value": value, "low": low, "high": high,
                         "two_way_low": two_low, "two_way_high": two_high})  # fmt: skip
    return pd.DataFrame(rows)


def _wide(frame: pd.DataFrame, policy: str) -> pd.DataFrame:
    """A row per complete case, a column per turn, judges averaged."""
    kept = complete_cases(frame).frame
    own = kept[kept["policy"] == policy]
    if own.empty:
        raise ValueError(f"no complete case of {policy!r}")
    return own.pivot_table(index=KEYS, columns="turn", values="level", aggfunc="mean").add_prefix("turn ")


def _coded(index: pd.Index, levels: Array) -> Levels:
    if not len(levels):
        raise ValueError("no case is complete for both policies")
    codes = [pd.factorize(index.get_level_values(name))[0] for name in KEYS[1:]]
    return Levels(levels, codes[0], codes[1])


def _entry(name: str, values: Array, cases: Levels, confidence: float) -> dict[str, float | None]:
    value, low, high = mean_estimate(values, cases.profiles, confidence)
    _, two_low, two_high = two_way_estimate(values, cases.profiles, cases.personalities, confidence)
    return {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_two_way_low": two_low,
            f"{name}_two_way_high": two_high, f"{name}_p": p_value(values, cases.profiles)}  # fmt: skip
