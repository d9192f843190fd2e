"""Differences and levels as they are shown side by side: primary interval, two-way interval, adjusted p-value.

In: judgements (columns of `metrics.COLUMNS`). Out: frames, one row per difference or per policy and quantity. The
primary interval takes the personalities as fixed, the two-way one takes both profiles and personalities as draws from
many (`intervals.two_way_estimate`: wide, as 5 personalities say little about all others). p-values belong to the
primary intervals. This module knows no file.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aloe.controls import minus_control
from aloe.intervals import Array, Codes, Estimate, holm, mean_estimate, p_value, slope_weights, two_way_estimate
from aloe.metrics import complete_cases, improvement

KEYS = ["case", "profile_id", "personality_id"]
_BY_TURN = {"al": "al", "dal": "dal_by_turn"}
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
    return _compared(frame, pairs, {"al_mean": _mean_weights, "ir": slope_weights}, confidence)


def halves(frame: pd.DataFrame, pairs: Sequence[tuple[str, str]], confidence: float) -> pd.DataFrame:
    """As `compare`, for `early` and `late`: the mean difference over the first and the second half of the turns.

    Of an odd number of turns the one in the middle is late. Both are levels; a single turn is late and has no early
    half, which is 0 then.
    """
    weights = {"early": lambda n: _mean_weights(n, last=n // 2), "late": lambda n: _mean_weights(n, first=n // 2)}
    return _compared(frame, pairs, weights, confidence)


def both_intervals(
    frame: pd.DataFrame, policies: Mapping[str, Mapping[str, Any]], confidence: float
) -> pd.DataFrame:  # fmt: skip
    """Every number of a policy with its primary and its two-way interval.

    N-IR and R2 are no means over cases: their two-way interval is that of their linear part at the mean curve, so it
    is to be read, as the primary one, where the value lies outside its null band. That of dAL takes as noise what
    profiles differ in as judged personas, and is wider than it need be.

    Args:
        frame: judgements of all policies.
        policies: `metrics.summarise` of each, whose values and primary intervals are taken as they are.
        confidence: as there.

    Returns: a row per policy: `policy`, and for `al_mean, ir, n_ir, r2, dal, dal_ir`, and `al_1, dal_1` and so on turn
        by turn, the value, `_low`, `_high`, `_two_way_low`, `_two_way_high`; missing where there is none.
    """
    parts = ((frame, "al", {"al_mean": "mean", "ir": "ir", "n_ir": "n_ir", "r2": "r2"}),
             (minus_control(frame), "dal", {"dal": "mean", "dal_ir": "ir"}))  # fmt: skip
    rows = []
    for policy, own in policies.items():
        row: dict[str, Any] = {"policy": policy}
        for scores, prefix, names in parts:
            known = own.get(next(iter(names))) is not None
            wide = _two_way(_wide(scores, policy), confidence) if known else {}
            for name, key in names.items():
                row |= _both(name, own.get(name), own.get(f"{name}_ci"), wide.get(key))
            values, ends = (own.get(key) or () for key in (_BY_TURN[prefix], f"{_BY_TURN[prefix]}_ci"))
            for turn, (value, limits) in enumerate(zip(values, ends, strict=True), 1):
                row |= _both(f"{prefix}_{turn}", value, limits, wide[f"{turn}"])
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.astype({name: float for name in table.columns if name != "policy"})


def with_two_way(policies: Mapping[str, Mapping[str, Any]], table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The policies' entries of `metrics.json` with those of `both_intervals` as `<name>_two_way_ci`."""
    names = {name: name for name in ("al_mean", "ir", "dal", "dal_ir")}
    wide = {row["policy"]: two_way_ends(row, names) for row in table.to_dict("records")}
    return {policy: {**own, **wide[policy]} for policy, own in policies.items()}


def two_way_ends(row: Mapping[Any, Any], names: Mapping[str, str]) -> dict[str, list[float]]:
    """The two-way intervals in a row of `compare` or `both_intervals`, by new names: `<new>_two_way_ci`, if known.

    >>> two_way_ends({"ir_two_way_low": -0.5, "ir_two_way_high": 1.0}, {"ir": "dal_ir"})
    {'dal_ir_two_way_ci': [-0.5, 1.0]}
    """
    ends = {new: [row[f"{old}_two_way_low"], row[f"{old}_two_way_high"]] for old, new in names.items()}
    return {f"{name}_two_way_ci": own for name, own in ends.items() if not any(map(pd.isna, own))}


def _compared(
    frame: pd.DataFrame, pairs: Sequence[tuple[str, str]], weights: Mapping[str, Callable[[int], Array]],
    confidence: float,
) -> pd.DataFrame:  # fmt: skip
    """Paired differences in weighted sums over the turns; `weights` by name, each from the number of turns."""
    rows: list[dict[str, Any]] = []
    for one, other in pairs:
        both = frame[frame["policy"].isin([one, other])]
        ours, theirs = _wide(both, one), _wide(both, other)
        shared = ours.index.intersection(theirs.index).sort_values()
        gap = ours.loc[shared].to_numpy(float) - theirs.loc[shared].to_numpy(float)
        cases = _coded(shared, gap)
        row: dict[str, Any] = {"difference": f"{one} - {other}", "n_cases": len(gap)}
        for name, own in weights.items():
            row |= _entry(name, gap @ own(gap.shape[1]), cases, confidence)
        rows.append(row)
    adjusted = holm([row[f"{name}_p"] for row in rows for name in weights])
    for i, (row, name) in enumerate(itertools.product(rows, weights)):
        row[f"{name}_p_holm"] = adjusted[i]
    columns = [f"{name}{end}" for name in weights for end in ENDS]
    return pd.DataFrame(rows, columns=["difference", "n_cases", *columns]).astype(dict.fromkeys(columns, float))


def _mean_weights(n_turns: int, first: int = 0, last: int | None = None) -> Array:
    """Weights of a mean over the turns `first`..`last` (counted from 0, `last` left out)."""
    inside = np.zeros(n_turns)
    inside[first:last] = 1.0
    return inside / max(1.0, float(inside.sum()))


def _two_way(wide: pd.DataFrame, confidence: float) -> dict[str, Estimate]:
    """Two-way intervals by name: "1", "2", ... of the turns, "mean", "ir" and, unless it is constant, "n_ir", "r2"."""
    cases = _coded(wide.index, wide.to_numpy(float))
    n_turns = cases.levels.shape[1]
    values = {f"{turn}": column for turn, column in enumerate(cases.levels.T, 1)}
    values |= {"mean": cases.levels.mean(axis=1), "ir": cases.levels @ slope_weights(n_turns)}
    curve = cases.levels.mean(axis=0)
    if improvement(curve.tolist()).n_ir is not None:
        step = 1e-4 * float(np.ptp(curve))
        for name in ("n_ir", "r2"):
            ends = [[getattr(improvement((curve + side * move).tolist()), name) for side in (1, -1)]
                    for move in step * np.eye(n_turns)]  # fmt: skip
            values[name] = (cases.levels - curve) @ np.array([(up - down) / (2 * step) for up, down in ends])
    return {name: two_way_estimate(each, cases.profiles, cases.personalities, confidence)
            for name, each in values.items()}  # fmt: skip


def _both(name: str, value: float | None, limits: Sequence[float] | None, wide: Estimate | None) -> dict[str, Any]:
    """A value with both intervals; the two-way one lies around it as it does around its estimate."""
    low, high = limits or (None, None)
    ends: list[float] | list[None] = [None, None]
    if wide is not None and value is not None and wide.low is not None and wide.high is not None:
        ends = [value + wide.low - wide.value, value + wide.high - wide.value]
        if name == "r2":  # a share
            ends = [max(0.0, ends[0]), min(1.0, ends[1])]
    return {name: value, f"{name}_low": low, f"{name}_high": high, f"{name}_two_way_low": ends[0],
            f"{name}_two_way_high": ends[1]}  # fmt: skip


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
