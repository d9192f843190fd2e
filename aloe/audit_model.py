"""The model behind the audits: counts per cluster in, rates with intervals out.

Verdicts. A pair of replies is judged in both orders. With probability b (*position bias*), drawn for each order by
itself, the reply shown first is named, whatever it says. Else, with probability l (*length bias*), drawn once for the
pair, the longer one is named, if one is longer. Else the better one for this user is named, or with probability e
(*judge error*, once for the pair, its rate may differ by turn) the other one. Then P(first named in both orders) is b,
and among pairs whose orders agree the longer one is named with l + (1 - l)e where it is the worse and 1 - (1 - l)e
where it is the better. What is the better one has to be known from elsewhere: people's labels, or the sandbox without
its faults.

Notes. Each fact that has not come out by a turn stands in its notes with probability `leak`, and each that has is
missing with probability `missed`. Messages. While two facts or more are untold, a message tells one more with
probability `early`, whether or not it tells one anyway. Both are read by a rule with errors of its own (`RuleErrors`),
which are taken out. Everything is a method of moments; values are not cut off at 0, so that they are right on average.
Intervals leave out one cluster (profile) at a time, since turns of one dialogue depend on each other. This module knows
no text.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from aloe.intervals import Array, Estimate, totals_estimate


class RuleErrors(NamedTuple):
    """How well the rule of `telling` reads: shares of 1, all 1 for a rule that never errs.

    `out_seen`: of facts that have come out, those that it takes for told; `untold_seen`: of the others, those that it
    takes for untold; `second_seen`: of messages with one fact more, those in which it sees one more.
    """

    out_seen: float
    untold_seen: float
    second_seen: float


def share(rows: pd.DataFrame, column: str, confidence: float) -> Estimate | None:
    """Mean of a column over rows, clustered by the column `profile`; None without rows."""
    totals = _totals(rows, [rows[column], pd.Series(1.0, rows.index)])
    return totals_estimate(lambda s: _ratio(s[0], s[1]), totals, confidence)


def position_bias(verdicts: pd.DataFrame, confidence: float) -> Estimate | None:
    """b: how much more often both orders name the first reply than both the second; 0 is no liking for a place.

    Toss-ups between equally good replies fall on both sides alike, so they cancel.

    Args:
        verdicts: `label_audit.verdict_table`; pairs without two verdicts do not count.
        confidence: of the interval, such as 0.95.
    """
    judged = verdicts[verdicts["outcome"].isin(["hinted", "plain", "tie"])]
    both_first, both_second = (judged["first"] == 1) & (judged["second"] == 1), judged["outcome"] == "tie"
    signed = both_first.astype(float) - (both_second & ~both_first).astype(float)
    return share(judged.assign(signed=signed), "signed", confidence)


def length_bias(verdicts: pd.DataFrame, confidence: float) -> Estimate | None:
    """l: how much oftener the judge errs towards the longer reply than towards the shorter one, at the same turns.

    Args:
        verdicts: `label_audit.verdict_table` with the better reply in `better`; rows without one do not count.
        confidence: of the interval.

    Returns: None where no turn has both kinds of pairs.
    """
    return totals_estimate(_length_bias, _error_totals(verdicts), confidence)


def judge_error(verdicts: pd.DataFrame, confidence: float, turns: range | None = None) -> Estimate | None:
    """e, over some turns (None: all): the share of verdicts turned around, what length explains being taken out.

    Args:
        verdicts: `label_audit.verdict_table` with the better reply in `better`.
        confidence: of the interval.
        turns: numbers from 1.

    Returns: None where l cannot be told, or there is no such pair.
    """
    totals = _error_totals(verdicts)
    chosen = np.array([turns is None or turn in turns for turn in range(1, totals.shape[1] + 1)])

    def error(sums: Array) -> float | None:
        length = _length_bias(sums)
        if length is None:
            return None
        worse, worse_wrong, better, better_wrong, equal, equal_wrong = sums[chosen].sum(axis=0)
        wrong = worse_wrong + better_wrong + equal_wrong - worse * length
        return _ratio(wrong, (worse + better) * (1 - length) + equal)

    return totals_estimate(error, totals, confidence)


def leak(facts: pd.DataFrame, errors: RuleErrors, confidence: float) -> Estimate | None:
    """Share of facts not yet told that stand in the notes all the same, turn by turn; 0 is an inducer that never leaks.

    Args:
        facts: `label_audit.fact_table`.
        errors: of the rule that says what is told.
        confidence: of the interval.
    """
    return _noted(facts, errors, confidence, lambda noted_out, noted_not: noted_not)


def missed(facts: pd.DataFrame, errors: RuleErrors, confidence: float) -> Estimate | None:
    """Share of facts told by a turn that its notes lack (1 minus recall); arguments as of `leak`."""
    return _noted(facts, errors, confidence, lambda noted_out, noted_not: 1 - noted_out)


def early_disclosure(messages: pd.DataFrame, errors: RuleErrors, confidence: float) -> Estimate | None:
    """How often a message tells one fact more than it need, while two or more are untold; 0: one at a time.

    With z and t the shares of messages that tell no fact and more than one, and s = t / `second_seen`, independence of
    the two tellings gives e^2 - e(1 - z + s) + s = 0; e is the smaller root.

    Args:
        messages: `simulator_audit.message_table`.
        errors: of the rule that says what is told.
        confidence: of the interval.

    Returns: None without such a message, or where the counts fit no such user.
    """
    rows = messages[messages["untold_before"] >= 2]
    totals = _totals(rows, [rows["new"] == 0, rows["new"] >= 2, pd.Series(1.0, rows.index)])

    def early(sums: Array) -> float | None:
        if not sums[2]:
            return None
        seen = sums[1] / sums[2] / errors.second_seen
        middle = 1 - sums[0] / sums[2] + seen
        inner = middle**2 - 4 * seen
        return None if inner < 0 else float((middle - inner**0.5) / 2)

    return totals_estimate(early, totals, confidence)


def as_table(found: Mapping[str, Estimate | None], planted: Mapping[str, float]) -> pd.DataFrame:
    """Estimates as a frame: audit, value, low, high, planted (missing where nothing was); those that are None are left
    out."""
    rows = [(name, *estimate, planted.get(name)) for name, estimate in found.items() if estimate is not None]
    return pd.DataFrame(rows, columns=["audit", "value", "low", "high", "planted"]).astype(
        dict.fromkeys(["value", "low", "high", "planted"], float)
    )


def with_ends(table: pd.DataFrame) -> dict[str, dict[str, float | list[float] | None]]:
    """`as_table` as plain data for `metrics.json`: by audit its value, its interval as `ci` (null without one),
    `planted`."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return {
        row["audit"]: {
            "value": row["value"], "ci": None if row["low"] is None else [row["low"], row["high"]],
            "planted": row["planted"],
        }
        for row in rows
    }  # fmt: skip


def _noted(
    facts: pd.DataFrame, errors: RuleErrors, confidence: float, wanted: Callable[[float, float], float]
) -> Estimate | None:
    told, noted = facts["told"].astype(float), facts["noted"].astype(float)
    totals = _totals(facts, [told, 1 - told, told * noted, (1 - told) * noted])

    def solve(sums: Array) -> float | None:
        """Rates of noting what is out and what is not, from those of what seems told and what does not."""
        n = sums[0] + sums[1]
        power = errors.out_seen + errors.untold_seen - 1
        if not n or power <= 0:
            return None
        out = (sums[0] / n + errors.untold_seen - 1) / power
        mix = np.array([
            [out * errors.out_seen, (1 - out) * (1 - errors.untold_seen)],
            [out * (1 - errors.out_seen), (1 - out) * errors.untold_seen],
        ])  # fmt: skip
        if abs(np.linalg.det(mix)) < 1e-9:
            return None
        noted_out, noted_not = np.linalg.solve(mix, sums[2:] / n)
        return float(wanted(noted_out, noted_not))

    return totals_estimate(solve, totals, confidence)


def _error_totals(verdicts: pd.DataFrame) -> Array:
    """Shape (n_clusters, n_turns, 6): pairs, and those judged wrongly, of which the longer is the worse, the better,
    and neither longer."""
    rows = verdicts[verdicts["outcome"].isin(["hinted", "plain"]) & verdicts["better"].isin(["hinted", "plain"])]
    if rows.empty:
        return np.zeros((0, 1, 6))
    wrong = (rows["outcome"] != rows["better"]).astype(float)
    gap = (rows["hinted_words"] - rows["plain_words"]) * np.where(rows["better"] == "hinted", 1, -1)
    clusters, turns = pd.factorize(rows["profile"])[0], rows["turn"].to_numpy() - 1
    totals = np.zeros((clusters.max() + 1, turns.max() + 1, 6))
    for place, kind in enumerate((gap < 0, gap > 0, gap == 0)):
        np.add.at(totals, (clusters, turns, 2 * place), kind.astype(float))
        np.add.at(totals, (clusters, turns, 2 * place + 1), kind * wrong)
    return totals


def _length_bias(sums: Array) -> float | None:
    """Difference of two error rates within turns, weighted as Mantel and Haenszel do; `sums`: (n_turns, 6)."""
    worse, worse_wrong, better, better_wrong = sums[:, :4].T
    n = np.maximum(worse + better, 1)
    weight = float((worse * better / n).sum())
    return None if not weight else float(((worse_wrong * better - better_wrong * worse) / n).sum() / weight)


def _totals(rows: pd.DataFrame, columns: "list[pd.Series[float]]") -> Array:
    values = np.stack([np.asarray(column, dtype=float) for column in columns], axis=1)
    clusters = pd.factorize(rows["profile"])[0]
    totals = np.zeros((int(clusters.max()) + 1 if len(clusters) else 0, len(columns)))
    np.add.at(totals, clusters, values)
    return totals


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None
