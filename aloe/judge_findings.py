"""What further judges are worth: beside each other, asked again, beside the truth, and toward their own family.

In: the primary judges' scores, the verdicts of `further_judges`, which judge and which policy is of which family.
Out: one frame of numbers with intervals clustered on profiles (`agreement`), and what `metrics.json` keeps of it.
The primary judges take part with the replies that were judged further, and with nothing else. This module asks nobody.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from aloe.agreement import (
    UNIT,
    agreement_between,
    agreement_by_pair,
    agreement_with_truth,
    common_scale,
    self_preference,
    self_preference_by_judge,
)
from aloe.base_models import family_of
from aloe.families import families
from aloe.further_judges import unreadable
from aloe.intervals import Estimate, correlation_estimate, mean_estimate
from aloe.judging import judge_names
from aloe.params import Params
from aloe.scales import EVERYBODY, FAVOUR, FAVOUR_AS_IS, SCALES, TRUTH, Scale

COLUMNS = ("question", "scale", "score", "one", "other", "n", "measure", "value", "low", "high")
Row = tuple[Any, ...]


class Families(NamedTuple):
    """Families by name; who belongs to none that is known is not there."""

    judges: Mapping[str, str]
    policies: Mapping[str, str]


def known_families(params: Params) -> Families:
    """Of every judge and policy of a preset, as `families` knows it; a policy of the run itself is its base model's.

    What a trained policy has learned from its responders does not count here: it has their manner and other weights.
    """
    known, bench = families(params), params.benchmark
    names = judge_names(params.roles.alignment_judge)
    judges = {name: known[f"alignment_judge[{number}]"] for number, name in enumerate(names)}
    judges |= {name: known[f"judges.{name}"] for name in bench.judges or {}}
    base = family_of(params.training.base_model)
    own = base.model_type.rstrip("0123456789") if base else None
    asked = bench.endpoint_policies or {}
    policies = {name: known[f"policies.{name}"] if name in asked else own for name in bench.policies}
    return Families(*({name: family for name, family in found.items() if family} for found in (judges, policies)))


def doubles(params: Params) -> list[str]:
    """Further judges whose first answer *is* a primary judge's: the same model asked the same (to be asked again)."""
    primary = [judge.decides() for judge in params.roles.alignment_judge]
    judges = (params.benchmark.judges or {}).items()
    return [name for name, judge in judges if judge.scale == "levels" and judge.decides() in primary]


def findings(
    scores: pd.DataFrame, verdicts: pd.DataFrame, known: Families, confidence: float, same: Collection[str] = ()
) -> pd.DataFrame:
    """Every number on the judges.

    Args:
        scores: of the primary judges, columns of `records.Judgement`.
        verdicts: of `further_judges`, at least one row.
        known: families of judges and policies.
        confidence: of the intervals.
        same: judges who count for `again` only (`doubles`).

    Returns: the columns `COLUMNS`. `question` is one of
        `between` (judges of one scale: `alpha` of all of them; of two `exact`, `kappa`, `shift`),
        `again` (a judge asked the same once more: `alpha` of all times; of two times as above),
        `truth` (beside the simulated model without faults: `error`, `shift`, `kappa`),
        `own family` (`FAVOUR` or `FAVOUR_AS_IS`, in steps of the scale, as `agreement.self_preference` says it),
        `levels` (`correlation` of a judge's mean score on another scale with the mean level of those of levels),
        `mean` (of a judge's first answers, policy by policy: `other`).
        `n` counts replies, with `own family` those of one policy. A judge of whom no answer could be read is left out.
    """
    rated = together(scores, verdicts)
    rows: list[Row] = []
    for (scale, score), own in rated.groupby(["scale", "score"], sort=False):
        said, truth = own[own["judge"] != TRUTH], own[own["judge"] == TRUTH]
        first = said[(said["run"] == 1) & ~said["judge"].isin(list(same))]
        for question, own_rows in ((_between, first), (_again, said)):
            rows += [(name, scale, score, *rest) for name, *rest in question(own_rows, SCALES[scale], confidence)]
        rows += [("truth", scale, score, *rest) for rest in _beside_truth(first, truth, SCALES[scale], confidence)]
        rows += [("own family", scale, score, *rest) for rest in _own_family(first, known, confidence)]
        rows += [("mean", scale, score, *rest) for rest in _means(first, confidence)]
    rows += _with_levels(rated[~rated["judge"].isin(list(same))], confidence)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": float, "low": float, "high": float})


def together(scores: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Verdicts that could be read, and the primary judges' of the same replies, as `level` by scale and score."""
    judged = verdicts[UNIT].drop_duplicates()
    primary = scores.merge(judged, on=UNIT).assign(scale="levels", score="level", run=1)
    further = verdicts.rename(columns={"value": "level"})
    shared = [name for name in further.columns if name in primary]
    both = pd.concat([primary[shared].astype({"level": "Int64"}), further[shared]], ignore_index=True)
    return both.dropna(subset="level").astype({"level": float})


def judges_section(found: pd.DataFrame, verdicts: pd.DataFrame, params: Params) -> dict[str, Any]:
    """What `metrics.json` keeps: `judges` (who was asked, on which scale, how many answers could not be read) and
    `found` (the frame, a record per row, intervals as `ci`).
    """
    gone, known = unreadable(verdicts), known_families(params).judges
    asked = {}
    for name, judge in (params.benchmark.judges or {}).items():
        own = verdicts[verdicts["judge"] == name]
        unread, answers = gone.get(name, (0, 0))
        asked[name] = {
            "scale": judge.scale, "model": judge.model, "family": known.get(name), "temperature": judge.temperature,
            "repeat": judge.repeat, "replies": len(own[UNIT].drop_duplicates()), "answers": answers,
            "unreadable": unread,
        }  # fmt: skip
    plain = found.astype(object).where(found.notna(), None).to_dict("records")
    records = [{key: row[key] for key in COLUMNS[:-2]} | {"ci": _ends(row["low"], row["high"])} for row in plain]
    return {"judges": asked, "found": records}


def _between(first: pd.DataFrame, scale: Scale, confidence: float) -> list[Row]:
    names = list(dict.fromkeys(first["judge"]))
    if len(names) < 2:
        return []
    n = int((first.groupby(UNIT).size() > 1).sum())
    whole = agreement_between(first, scale.values, scale.level, confidence)
    pairs = agreement_by_pair(first, scale.values, confidence).itertuples(index=False, name=None)
    rows = [("between", one, other, *rest) for one, other, *rest in pairs]
    return [*_estimated("between", EVERYBODY, "", n, "alpha", whole), *rows]


def _again(said: pd.DataFrame, scale: Scale, confidence: float) -> list[Row]:
    rows: list[Row] = []
    for judge, own in said.groupby("judge", sort=False):
        if own["run"].nunique() > 1:
            n = int((own.groupby(UNIT).size() > 1).sum())
            whole = agreement_between(own, scale.values, scale.level, confidence, "run")
            rows += _estimated("again", judge, "", n, "alpha", whole)
            pairs = agreement_by_pair(own, scale.values, confidence, "run").itertuples(index=False, name=None)
            rows += [("again", judge, f"times {one} and {other}", *rest) for one, other, *rest in pairs]
    return rows


def _beside_truth(first: pd.DataFrame, truth: pd.DataFrame, scale: Scale, confidence: float) -> list[Row]:
    if truth.empty or first.merge(truth[UNIT], on=UNIT).empty:
        return []
    found = agreement_with_truth(first, truth, scale.values, confidence).itertuples(index=False, name=None)
    return [(judge, TRUTH, *rest) for judge, *rest in found]


def _own_family(first: pd.DataFrame, known: Families, confidence: float) -> list[Row]:
    if first["judge"].nunique() < 2:  # a single judge's favour cannot be told from the policies' quality
        return []
    n = len(first.drop_duplicates(["case", "turn"]))
    favour = FAVOUR if common_scale(first) else FAVOUR_AS_IS
    whole = self_preference(first, known.judges, known.policies, confidence)
    rows = [row[1:] for row in _estimated("", EVERYBODY, "", n, favour, whole)]
    for judge, own in self_preference_by_judge(first, known.judges, known.policies, confidence).items():
        rows += [row[1:] for row in _estimated("", judge, known.judges[judge], n, favour, own)]
    return rows


def _means(first: pd.DataFrame, confidence: float) -> list[Row]:
    rows = []
    for (judge, policy), own in first.groupby(["judge", "policy"], sort=False):
        mean = mean_estimate(own["level"].to_numpy(), pd.factorize(own["profile_id"])[0], confidence)
        rows.append((judge, policy, len(own), "mean", *mean))
    return rows


def _with_levels(rated: pd.DataFrame, confidence: float) -> list[Row]:
    first = rated[(rated["run"] == 1) & (rated["judge"] != TRUTH)]
    unit = ["profile_id", *UNIT]
    levels = first[first["scale"] == "levels"].groupby(unit)["level"].mean().rename("levels")
    rows: list[Row] = []
    for (scale, judge), own in first[first["scale"] != "levels"].groupby(["scale", "judge"], sort=False):
        both = own.groupby(unit)["level"].mean().to_frame().join(levels, how="inner").reset_index()
        if len(both):
            columns = both["level"].to_numpy(), both["levels"].to_numpy(), pd.factorize(both["profile_id"])[0]
            found = correlation_estimate(*columns, confidence)
            rows += [(row[0], scale, "mean", *row[1:])
                     for row in _estimated("levels", judge, "levels", len(both), "correlation", found)]  # fmt: skip
    return rows


def _estimated(question: str, one: Any, other: str, n: int, measure: str, found: Estimate | None) -> list[Row]:
    """The row of an estimate; none where there is none."""
    return [] if found is None else [(question, one, other, n, measure, *found)]


def _ends(low: float | None, high: float | None) -> Sequence[float] | None:
    return None if low is None or high is None else [low, high]
