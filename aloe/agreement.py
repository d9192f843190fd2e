"""How well raters agree: with each other, with themselves asked again, and with the truth; and whom they favour.

In: frames with one row per rating: the columns of `metrics.COLUMNS`, of any judges and policies, on any ordinal scale
(`values`, its levels in order). Out: `Estimate`s and frames of numbers, with jackknife or t intervals clustered on
profiles; judges and policies are taken as they are. This module does not know which judge is a person.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from aloe.intervals import Array, Codes, Estimate, mean_estimate, totals_estimate
from aloe.judge_slopes import can_be_told, offset, profile_sums, slopes

Level = Literal["nominal", "ordinal", "interval"]
UNIT = ["policy", "case", "turn"]


def agreement_between(
    frame: pd.DataFrame, values: Sequence[float], level: Level, confidence: float, rater: str = "judge"
) -> Estimate | None:
    """Krippendorff's alpha between all raters: 1 full agreement, 0 what chance gives, below 0 less than that.

    Args:
        frame: ratings; a unit is a (policy, case, turn). A missing rating is left out.
        values: of the scale, in order.
        level: how far apart two levels are: "nominal" (0/1 labels), "ordinal" (1 to 5).
        confidence: of the interval.
        rater: the column that tells raters apart; "run", say, for one judge asked again.

    Returns: None where no unit has two ratings, or only one level occurs.
    """
    totals = np.array([
        coincidences(own.pivot(index=UNIT, columns=rater, values="level").to_numpy(float), values)
        for _, own in _rated(frame, rater).groupby("profile_id")
    ])  # fmt: skip
    return totals_estimate(functools.partial(alpha, values=values, level=level), totals, confidence)


def agreement_by_pair(
    frame: pd.DataFrame, values: Sequence[float], confidence: float, rater: str = "judge"
) -> pd.DataFrame:
    """Every two raters on the units that both rated; with `rater="run"`, of one judge, this is test-retest.

    Returns: columns `one, other, n, measure, value, low, high`; measures: `exact` (share of equal levels), `kappa`
        (Cohen's, weighted by squared distance on the scale; 1 full, 0 chance), `shift` (mean of one minus other).
        A kappa that is not defined, since only one level occurs, is missing.
    """
    wide = _rated(frame, rater).pivot(index=["profile_id", *UNIT], columns=rater, values="level").astype(float)
    rows = []
    for one, other in itertools.combinations(wide.columns, 2):
        both = wide[[one, other]].dropna()
        if not both.empty:
            profiles = pd.factorize(both.index.get_level_values("profile_id"))[0]
            found = _pair(both.to_numpy(float), profiles, values, confidence)
            rows += [{"one": one, "other": other, "n": len(both), "measure": name, **estimate._asdict()}
                     for name, estimate in found.items()]  # fmt: skip
    return pd.DataFrame(rows, columns=["one", "other", "n", "measure", "value", "low", "high"])


def agreement_with_truth(
    frame: pd.DataFrame, truth: pd.DataFrame, values: Sequence[float], confidence: float
) -> pd.DataFrame:
    """Every judge beside the true levels, such as those that the sandbox's judge gives without errors.

    Args:
        frame: ratings.
        truth: columns policy, case, turn and level.
        values: of the scale, in order.
        confidence: of the intervals.

    Returns: columns `judge, n, measure, value, low, high`; measures: `error` (share of levels that are not the true
        one), `shift` (mean level too much) and `kappa`, as in `agreement_by_pair`.

    Raises:
        ValueError: no rating has a true level.
    """
    both = _rated(frame, "judge").merge(truth[[*UNIT, "level"]].dropna(), on=UNIT, suffixes=("", "_true"))
    if both.empty:
        raise ValueError("no rating has a true level: policies, cases and turns of the two frames differ")
    rows = []
    for judge, own in both.groupby("judge", sort=False):
        profiles = pd.factorize(own["profile_id"])[0]
        found = _pair(own[["level", "level_true"]].to_numpy(float), profiles, values, confidence)
        exact, low, high = found.pop("exact")
        wrong = Estimate(1 - exact, None if high is None else 1 - high, None if low is None else 1 - low)
        rows += [{"judge": judge, "n": len(own), "measure": name, **estimate._asdict()}
                 for name, estimate in {"error": wrong, **found}.items()]  # fmt: skip
    return pd.DataFrame(rows)


def self_preference(
    frame: pd.DataFrame, judge_family: Mapping[str, str], policy_family: Mapping[str, str], confidence: float
) -> Estimate | None:
    """How many levels more judges give policies of their own family than their strictness and its quality explain.

    A difference in differences: mean levels of policies by judges have an effect of the judge, one of the policy, and
    this offset where the families match (least squares), in the judges' own levels; 0 is no favour. One offset for all
    families. A judge who errs more draws very good and very bad policies to the middle, which would look like a favour
    where family and quality go together, so the effect of a policy is one times each judge's slope
    (`common_scale`), whose uncertainty is in the interval (leaving out one profile at a time). Where slopes cannot be
    told, all judges are taken to have the same, and the offset is a favour only as far as they use the scale alike.

    A slope is a straight line: errors at the ends of the scale bend it, and a favour that the top of the scale cuts
    off is found smaller, as it is.

    Args:
        frame: ratings; a reply's place (case and turn) that lacks one rating is left out. The truth is no judge.
        judge_family: by judge.
        policy_family: by policy; a policy or judge without a family belongs to none.
        confidence: of the interval.

    Returns: None where judges and policies are such that an offset cannot be told from strictness and quality.
    """
    wide = _side_by_side(frame)
    return _offset(wide, sum(_matches(wide, judge_family, policy_family).values(), np.zeros(wide.shape[1])), [],
                   confidence)  # fmt: skip


def self_preference_by_judge(
    frame: pd.DataFrame, judge_family: Mapping[str, str], policy_family: Mapping[str, str], confidence: float
) -> dict[str, Estimate | None]:
    """As `self_preference`, with an offset for each judge who has policies of their own family among those judged.

    The offsets are estimated together, so that the favour of one judge is not taken for a disfavour of another. It
    takes a policy of no judge's family, or a judge of no policy's: between two judges who each have all other policies
    for their own, only the sum of two favours shows, and that in neither.

    Returns: by judge; None where their offset cannot be told from strictness, quality and the other offsets.
    """
    wide = _side_by_side(frame)
    found = {judge: match for judge, match in _matches(wide, judge_family, policy_family).items() if match.any()}
    return {
        judge: _offset(wide, match, [other for name, other in found.items() if name != judge], confidence)
        for judge, match in found.items()
    }


def common_scale(frame: pd.DataFrame) -> dict[str, float] | None:
    """How far the levels of each judge move with what a reply is worth, by `judge_slopes.slopes`; 1 is usual.

    Below 1: this judge tells good from bad less than the others do, for one because it errs more.

    Args:
        frame: ratings, as for `self_preference`, which uses these slopes wherever there are any.

    Returns: by judge; None where slopes cannot be told: fewer than three judges, a judge who did not rate all
        policies, a single profile, or judges who hardly go together within policies (`judge_slopes.STRONG`).
    """
    wide = _side_by_side(frame)
    if wide.empty:
        return None
    totals = profile_sums(wide)
    steep = slopes(totals.sum(axis=0), wide.columns) if can_be_told(totals, wide.columns) else None
    judges = wide.columns.get_level_values(1)
    return None if steep is None else {str(judge): float(slope) for judge, slope in zip(judges, steep, strict=True)}


def coincidences(ratings: Array, values: Sequence[float]) -> Array:
    """How often two raters give a unit the values c and k; a unit of m ratings adds m in all, one of fewer than 2 none.

    Shape: ratings (n_units, n_raters), NaN where a rater is silent; returned (n_values, n_values), symmetric.

    Source: Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C.
    """
    counts = np.stack([(ratings == value).sum(axis=1) for value in values], axis=1).astype(float)
    counts = counts[counts.sum(axis=1) >= 2]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(len(values))
    return np.asarray((pairs / (counts.sum(axis=1) - 1)[:, None, None]).sum(axis=0))


def alpha(sums: Array, values: Sequence[float], level: Level) -> float | None:
    """Krippendorff's alpha from `coincidences`: 1 minus observed over expected disagreement.

    Source: Krippendorff (2011), sections C to E, whose squared differences these are.

    Returns: None where nothing can be paired, or only one value occurs.
    """
    each = sums.sum(axis=1)
    places = np.cumsum(each) - each / 2 if level == "ordinal" else np.asarray(values)
    apart = np.subtract.outer(places, places) ** 2 if level != "nominal" else 1.0 - np.eye(len(each))
    expected = float((np.outer(each, each) * apart).sum())
    return None if expected == 0 else 1 - (float(each.sum()) - 1) * float((sums * apart).sum()) / expected


def kappa(sums: Array, values: Sequence[float]) -> float | None:
    """Cohen's kappa, weighted by squared distance, from counts of (one's value, other's value).

    1 is full agreement, 0 what raters with the same habits would have by chance. It is what scikit-learn's
    `cohen_kappa_score(weights="quadratic")` gives for whole numbers one apart, but from counts, so that leaving out a
    profile is a subtraction.

    Source: Cohen (1968), Psychological Bulletin 70.

    Returns: None where one level is all that occurs.
    """
    apart = np.subtract.outer(np.asarray(values, dtype=float), np.asarray(values, dtype=float)) ** 2
    chance = float((np.outer(sums.sum(axis=1), sums.sum(axis=0)) * apart).sum()) / float(sums.sum())
    return None if chance == 0 else 1 - float((sums * apart).sum()) / chance


def _side_by_side(frame: pd.DataFrame) -> pd.DataFrame:
    """Levels, a row per (profile, case, turn) and a column per (policy, judge); rows that lack one are left out."""
    rated = _rated(frame, "judge")
    return rated.pivot_table(index=["profile_id", "case", "turn"], columns=["policy", "judge"], values="level",
                             aggfunc="mean").dropna()  # fmt: skip


def _matches(wide: pd.DataFrame, judge_family: Mapping[str, str], policy_family: Mapping[str, str]) -> dict[str, Array]:
    """By judge, for each column of `wide`: is it this judge's of a policy of their own family (1), or not (0)?"""
    columns = list(wide.columns)
    return {
        name: np.array([float(judge == name and policy in policy_family
                              and policy_family[policy] == judge_family.get(judge)) for policy, judge in columns])
        for name in dict.fromkeys(judge for _, judge in columns)
    }  # fmt: skip


def _offset(wide: pd.DataFrame, match: Array, others: Sequence[Array], confidence: float) -> Estimate | None:
    """The effect of `match` on levels beside those of policy, judge and `others`, on one scale where there is one."""
    columns, alike = wide.columns, np.ones(wide.shape[1])
    # Slopes that differ by chance would seem to tell apart what a design with equal ones cannot.
    if wide.empty or offset(alike, columns, alike, match, others) is None:
        return None
    totals = profile_sums(wide)
    scaled = can_be_told(totals, columns)

    def statistic(sums: Array) -> float | None:
        steep = slopes(sums, columns) if scaled else alike
        return None if steep is None else offset(sums[0, 1:] / sums[0, 0], columns, steep, match, others)

    return totals_estimate(statistic, totals, confidence)


def _pair(pairs: Array, profiles: Codes, values: Sequence[float], confidence: float) -> dict[str, Estimate]:
    """Shape: pairs (n, 2), levels of two raters."""
    gap = pairs[:, 0] - pairs[:, 1]
    counts = np.zeros((int(profiles.max()) + 1, len(values), len(values)))
    places = np.searchsorted(np.asarray(values), pairs)
    np.add.at(counts, (profiles, places[:, 0], places[:, 1]), 1.0)
    statistic: Callable[[Array], float | None] = functools.partial(kappa, values=values)
    return {
        "exact": mean_estimate((gap == 0).astype(float), profiles, confidence),
        "kappa": totals_estimate(statistic, counts, confidence) or Estimate(float("nan"), None, None),
        "shift": mean_estimate(gap, profiles, confidence),
    }


def _rated(frame: pd.DataFrame, rater: str) -> pd.DataFrame:
    """The rows with a level.

    Raises:
        ValueError: there is none, or a rater rated the same unit twice.
    """
    rated = frame.dropna(subset=["level"])
    if rated.empty or rated.duplicated([*UNIT, rater]).any():
        raise ValueError(f"one rating a unit and {rater} expected, got {'none' if rated.empty else 'more'}")
    return rated.assign(level=rated["level"].astype(float))
