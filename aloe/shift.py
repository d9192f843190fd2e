"""What a change of the user in the middle of a dialogue does to a level: how far it falls, and whether it recovers.

In: judgements, a column of them (`level`, or a difference of columns such as dAL's), the turn of the change. Out:
estimates clustered on the profiles that the dialogues began with, a table of policies, one of policies minus another,
a curve. This module knows no file, and not who a policy is. Levels are on the judge's scale.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from aloe.controls import minus_control
from aloe.figure_style import INK
from aloe.figures import al_curves
from aloe.intervals import Codes, Estimate, holm, mean_estimate, p_value, slope_weights
from aloe.metrics import al_curve, complete_cases
from aloe.records import Transcript

BEFORE = 3
"""Turns before the change whose mean a fall is measured from; the single turn before would be noisier, and a longer
mean would hold turns at which little was known. Fixed before any run with a change was looked at."""


MOVES, ENDS = ("fall", "recovery"), ("", "_low", "_high")


class ShiftEffect(NamedTuple):
    """Of one policy: cases, `fall` in levels (below 0: it fell), `recovery` in levels a turn (above 0: it recovers)."""

    n_cases: int
    fall: Estimate
    recovery: Estimate


def shift_effect(
    frame: pd.DataFrame, turn: int, column: str = "level", confidence: float = 0.95, before: int = BEFORE
) -> ShiftEffect:
    """How one policy's level moves where its users change.

    The fall is the level at `turn` minus the mean of the `before` turns before it (as many as there are); the recovery
    is the least-squares slope over `turn` and all later ones. Both are linear in the levels, so they are computed case
    by case, and their intervals are those of a mean clustered on profiles. A change to other profiles in a circle
    (`cases.successors`) makes neighbours in that circle depend on each other, so that what profiles differ in cancels
    in the mean of the falls but not in the interval, which is wider than it need be.

    Args:
        frame: judgements of one policy; incomplete cases are left out.
        turn: the first turn of the new user; 2 or later.
        column: which column to take for the level.

    Raises:
        ValueError: not one policy, no complete case, no such column, or no turn before or after the change.
    """
    moved = _moved(frame, turn, column, before)
    profiles = _profiles(moved)
    return ShiftEffect(len(moved), *(mean_estimate(moved[name].to_numpy(), profiles, confidence) for name in MOVES))


def shift_table(frame: pd.DataFrame, turn: int, column: str = "level", confidence: float = 0.95) -> pd.DataFrame:
    """`shift_effect` of every policy of a frame.

    Returns: policy, n_cases, fall, fall_low, fall_high, recovery, recovery_low, recovery_high; an end of an interval is
        NaN with a single profile.
    """
    rows = []
    for policy, own in frame.groupby("policy", sort=False):
        effect = shift_effect(own, turn, column, confidence)
        rows.append((policy, effect.n_cases, *effect.fall, *effect.recovery))
    ends = [f"{name}{end}" for name in MOVES for end in ENDS]
    return pd.DataFrame(rows, columns=["policy", "n_cases", *ends]).astype(dict.fromkeys(ends, float))


def shift_minus(
    frame: pd.DataFrame, turn: int, other: str, column: str = "level", confidence: float = 0.95
) -> pd.DataFrame:  # fmt: skip
    """Fall and recovery of every policy minus those of `other`, on the same cases.

    What raises a level after the change without any learning, such as taking up what the new user just said, raises
    that of a policy as well which was told the old person and holds on to it. Beside such a policy a recovery above 0
    says that something of the new person is learned; beside 0 alone it does not. A smaller fall says less: who knew
    nothing of the old person does not fall.

    Args:
        frame: judgements of `other` and of all policies to compare; cases that are not complete for both are left out.
        turn, column, confidence: as of `shift_effect`.
        other: a policy of the frame.

    Returns: a row per other policy: `policy` and `n_cases`, and for `fall` (levels; above 0: it falls less) and
        `recovery` (levels a turn; above 0: it recovers faster) the difference, `_low`, `_high` (clustered on profiles),
        `_p` and `_p_holm`, Holm's correction over all p-values of the table. Empty where `other` is alone.

    Raises:
        ValueError: as `shift_effect`, or no case is complete for both policies.
    """
    moved = {str(policy): _moved(own, turn, column, BEFORE) for policy, own in frame.groupby("policy", sort=False)}
    rows: list[dict[str, Any]] = []
    for policy in [name for name in moved if name != other]:
        gaps = (moved[policy] - moved[other]).dropna()
        if gaps.empty:
            raise ValueError(f"no case is complete for both {policy!r} and {other!r}")
        row: dict[str, Any] = {"policy": policy, "n_cases": len(gaps)}
        for name in MOVES:
            values, profiles = gaps[name].to_numpy(), _profiles(gaps)
            row |= dict(zip([f"{name}{end}" for end in ENDS], mean_estimate(values, profiles, confidence), strict=True))
            row[f"{name}_p"] = p_value(values, profiles)
        rows.append(row)
    tests = [(row, name) for row in rows for name in MOVES]
    for (row, name), p in zip(tests, holm([row[f"{name}_p"] for row, name in tests]), strict=True):
        row[f"{name}_p_holm"] = p
    columns = [f"{name}{end}" for name in MOVES for end in (*ENDS, "_p", "_p_holm")]
    return pd.DataFrame(rows, columns=["policy", "n_cases", *columns]).astype(dict.fromkeys(columns, float))


def shift_curves(
    frame: pd.DataFrame, turn: int, column: str = "level", confidence: float = 0.95, note: str | None = None,
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """The mean of a column by turn and policy with its band, and a line where the users change.

    Draws `metrics.al_curve` of the column; what is no level of 1 to 5, such as a difference, gets an axis of its own.
    """
    curves = al_curve(frame.assign(level=frame[column]), confidence)
    ax = al_curves(curves, ax, note, confidence)
    if column != "level":
        ends, shown = curves[["al", "low", "high"]].astype(float), "dAL" if column == "dal" else column
        ax.set(ylim=(min(0.0, ends.min().min()) - 0.1, ends.max().max() + 0.1), ylabel=shown)
        ax.set_title(f"{shown} by turn, mean over cases", loc="left", fontsize=11)
        ax.axhline(0, color=INK, lw=1)
    ax.axvline(turn - 0.5, color=INK, lw=1.2, ls="--")
    ax.annotate("the user changes", (turn - 0.5, 1), (4, -4), xycoords=("data", "axes fraction"), va="top",
                textcoords="offset points", fontsize=9, color=INK)  # fmt: skip
    return ax


def with_dal(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column `dal`, the level minus that for a stranger, where every policy has a case with both.

    With few people there may be nobody who is a stranger to both persons that a user was.
    """
    found = minus_control(frame)
    complete = complete_cases(found).frame
    if set(complete["policy"]) != set(frame["policy"]):
        return frame
    return frame.assign(dal=found["level"])


def before_shift(transcripts: Iterable[Transcript]) -> list[Transcript]:
    """The part of each transcript in which the user is its persona: all of it where nobody changes."""
    return [
        held if held.shift is None
        else dataclasses.replace(held, messages=held.messages[: 2 * (held.shift.turn - 1)], shift=None)
        for held in transcripts
    ]  # fmt: skip


def described(table: pd.DataFrame) -> list[str]:
    """A sentence for each policy of `shift_table`; an interval that holds 0, or is not there, shows nothing."""
    at = "where the user changes"
    sides = {
        "fall": (f"falls {at}", f"rises {at}", f"shows no fall {at}"),
        "recovery": ("goes on falling afterwards", "recovers afterwards", "shows no recovery afterwards"),
    }
    found = []
    for row in table.to_dict("records"):
        said = [_side(row, name, *words) for name, words in sides.items()]
        found.append(f"{row['policy']} {said[0]} and {said[1]}")
    return found


def described_minus(table: pd.DataFrame, other: str, alpha: float) -> list[str]:
    """A sentence for each policy of `shift_minus`; what its corrected p-value does not show below `alpha` is not said.

    Args:
        table: of `shift_minus`.
        other: the policy that was taken off.
        alpha: 1 minus the confidence of the intervals.
    """
    words = {
        "fall": ("falls more", "falls less", "is not shown to fall more or less"),
        "recovery": ("recovers more slowly", "recovers faster", "is not shown to recover faster or more slowly"),
    }
    found = []
    for row in table.to_dict("records"):
        said = []
        for name in MOVES:
            shown = row[f"{name}_p_holm"] < alpha  # False without a p-value
            side = words[name][2 if not shown else int(row[name] > 0)]
            said.append(f"{side} ({row[name]:+.2f} {_interval(row, name)}{_corrected(row[f'{name}_p_holm'])})")
        found.append(f"beside {other}, {row['policy']} {said[0]} and {said[1]}")
    return found


def _side(row: Mapping[Any, Any], name: str, below: str, above: str, neither: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    words = below if high < 0 else above if low > 0 else neither
    return f"{words} ({row[name]:+.2f} {_interval(row, name)})"


def _corrected(p: float) -> str:
    if np.isnan(p):
        return ""
    return ", corrected p " + ("below 0.001" if p < 0.001 else f"{p:.3f}")


def _interval(row: Mapping[Any, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "no interval" if np.isnan(low) else f"[{low:+.2f}, {high:+.2f}]"


def _moved(frame: pd.DataFrame, turn: int, column: str, before: int) -> pd.DataFrame:
    """Fall and recovery of each complete case of one policy; index case and profile_id."""
    wide = _by_case(frame, column)
    levels = wide.to_numpy(float)
    n_turns = levels.shape[1]
    if not 2 <= turn < n_turns:
        raise ValueError(f"a change at turn 2..{n_turns - 1} expected, got {turn}")
    earlier, later = levels[:, max(0, turn - 1 - before) : turn - 1], levels[:, turn - 1 :]
    falls = later[:, 0] - earlier.mean(axis=1)
    return pd.DataFrame({"fall": falls, "recovery": later @ slope_weights(later.shape[1])}, index=wide.index)


def _profiles(cases: pd.DataFrame) -> Codes:
    return pd.factorize(cases.index.get_level_values("profile_id"))[0]


def _by_case(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """Levels of the complete cases of one policy: a row per (case, profile_id), a column per turn, judges averaged."""
    if column not in frame.columns:
        raise ValueError(f"judgements with a column {column!r} expected, got {', '.join(frame.columns)}")
    if frame["policy"].nunique() != 1:
        raise ValueError(f"the judgements of one policy expected, got those of {frame['policy'].nunique()}")
    kept = complete_cases(frame.assign(level=frame[column])).frame
    if kept.empty:
        raise ValueError("no case has a level at every turn")
    return kept.pivot_table(index=["case", "profile_id"], columns="turn", values="level", aggfunc="mean")
