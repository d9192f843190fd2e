"""Are planted errors, favours and biases of alignment judges found? Coverage of 95% intervals; exits with 1 if not.

In: a number of seeds. Out: `outputs/bench/judges.csv` (setting, seed, what, planted, value, low, high) and `judges.md`.
A study has 20 profiles x 5 personalities x 4 turns, three policies and three judges; a family has a judge and a
policy, one judge and one policy belong to none. True levels come of fits as the sandbox's judge makes them, errors are
the sandbox's own (`judge.rate`), and a judge gives its own family a level more at its planted rate. True levels end at
3, so that the scale's end never cuts a favour. The position bias of the preference judge: `audits.py`.
"""

import argparse
import random
import sys
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from aloe.agreement import agreement_by_pair, agreement_with_truth, self_preference, self_preference_by_judge
from aloe.calibrated import calibrated_mean
from aloe.intervals import Estimate
from aloe.runs import OUTPUTS
from aloe.sandbox import judge
from aloe.writing import write_text

N_PROFILES, N_PERSONALITIES, N_TURNS, N_LABELS = 20, 5, 4, 200
QUALITY = {"model-a": 0.25, "model-b": 0.15, "model-c": 0.05}  # mean fit
FAMILY_OF_POLICY, FAMILY_OF_JUDGE = {"model-a": "A", "model-b": "B"}, {"judge-a": "A", "judge-b": "B"}
JUDGES, PLAIN = ("judge-a", "judge-b", "judge-c"), "judge-c"
SPREADS = (0.05, 0.08, 0.12)  # standard deviations of the fit: profile, case, turn
HIGHEST = 0.45  # fit; more is cut off here, at level 3
VALUES = (1.0, 2.0, 3.0, 4.0, 5.0)
TARGET = 0.89
OUT = OUTPUTS / "bench" / "judges.csv"


class Setting(NamedTuple):
    """What is planted, for the judges in their order: errors, and how often the own policy gets a level more."""

    errors: tuple[float, float, float]
    favours: tuple[float, float, float]


SETTINGS = {
    "first": Setting((0.1, 0.1, 0.1), (0.1, 0.1, 0.0)),
    "second": Setting((0.2, 0.2, 0.2), (0.3, 0.3, 0.0)),
    "none": Setting((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    "unequal errors": Setting((0.3, 0.05, 0.05), (0.0, 0.0, 0.0)),
    "unequal errors, one favours": Setting((0.2, 0.1, 0.1), (0.3, 0.0, 0.0)),
    "unequal errors, both favour": Setting((0.05, 0.3, 0.1), (0.2, 0.2, 0.0)),
}


def study(setting: Setting, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings of all judges, the plain judge's asked twice (`run`), and true levels."""
    rng, draw = np.random.default_rng(seed), random.Random(f"judges-{seed}")
    rated, again, truth = [], [], []
    for policy, mean in QUALITY.items():
        shape = (N_PROFILES, N_PERSONALITIES, N_TURNS)
        sizes = ((N_PROFILES, 1, 1), (*shape[:2], 1), shape)
        fits = mean + sum(sd * rng.standard_normal(size) for sd, size in zip(SPREADS, sizes, strict=True))
        for (p, t, k), fit in np.ndenumerate(np.minimum(fits, HIGHEST)):
            unit = (policy, f"bench-p{p:02d}-t{t}", f"bench-p{p:02d}", f"bench-t{t}", k + 1)
            truth.append((*unit, judge.level(fit)))
            for name, error, favour in zip(JUDGES, *setting, strict=True):
                level = judge.rate(fit, error, draw)
                own = FAMILY_OF_JUDGE.get(name, "") == FAMILY_OF_POLICY.get(policy)
                rated.append((*unit, name, level + (own and draw.random() < favour)))
            again += [(*unit, run, judge.rate(fit, setting.errors[-1], draw)) for run in (1, 2)]
    columns = ["policy", "case", "profile_id", "personality_id", "turn"]
    others = ([*columns, "judge", "level"], [*columns, "run", "level"], [*columns, "level"])
    first, second, third = (pd.DataFrame(x, columns=y) for x, y in zip((rated, again, truth), others, strict=True))
    return first, second, third


def population_mean() -> float:
    """Mean true level over all profiles, cases and turns there could be, and the three policies."""
    sd, cuts = sum(spread**2 for spread in SPREADS) ** 0.5, (0.1, 0.3)  # fits where level 2 and 3 begin
    return float(np.mean([1 + stats.norm.sf(cuts, mean, sd).sum() for mean in QUALITY.values()]))


def estimates(setting: Setting, seed: int) -> list[dict[str, Any]]:
    """What each function finds in one study, beside what was planted."""
    rated, again, truth = study(setting, seed)
    error, lowest = setting.errors[-1], float((truth["level"] == 1).mean())  # at 1 both errors go the same way
    same = (1 - error) ** 2 + error**2 * (lowest + (1 - lowest) / 2)
    judges = agreement_with_truth(rated[rated["judge"] == PLAIN], truth, VALUES, 0.95).set_index("measure")
    twice = agreement_by_pair(again, VALUES, 0.95, rater="run").set_index("measure")
    of_a = rated[rated["judge"] == "judge-a"]
    labels = truth["level"].to_numpy(float)
    labels[np.random.default_rng((seed, 1)).permutation(len(labels))[N_LABELS:]] = np.nan
    mean = calibrated_mean(of_a["level"].to_numpy(float), labels, pd.factorize(of_a["profile_id"])[0], 0.95)
    found = {
        "judge error": (error, *judges.loc["error", ["value", "low", "high"]]),
        "agreement with itself": (same, *twice.loc["exact", ["value", "low", "high"]]),
        **{name: (value, *estimate) for name, (value, estimate) in favours(setting, rated).items()},
        "mean corrected by labels": (population_mean(), *mean.mean),
        "mean by labels alone": (population_mean(), *mean.labels_alone),
    }
    return [
        dict(zip(("what", "planted", "value", "low", "high"), (name, *row), strict=True)) for name, row in found.items()
    ]


def favours(setting: Setting, rated: pd.DataFrame) -> dict[str, tuple[float, Estimate]]:
    """Planted and found: of each judge with a family, and one for all where it is the same."""
    families = FAMILY_OF_JUDGE, FAMILY_OF_POLICY
    planted = dict(zip(JUDGES, setting.favours, strict=True))
    found = {f"self-preference of {judge}": (planted[judge], estimate)
             for judge, estimate in self_preference_by_judge(rated, *families, 0.95).items()}  # fmt: skip
    if len({planted[judge] for judge in FAMILY_OF_JUDGE}) == 1:
        found["self-preference"] = (setting.favours[0], self_preference(rated, *families, 0.95))
    return {name: (value, estimate) for name, (value, estimate) in found.items() if estimate is not None}


def report(rows: pd.DataFrame) -> tuple[str, bool]:
    """The Markdown table, and whether every target is met."""
    head = ("setting", "what", "planted", "mean estimate", "covered", "median half-width", "target met")
    lines = [
        f"{N_PROFILES} profiles x {N_PERSONALITIES} personalities x {N_TURNS} turns, three policies and three judges, "
        f"95% intervals clustered on profiles. Target: {TARGET:.0%} of intervals cover what was planted. *Judge "
        "error*: share of wrong levels, beside the truth; *agreement with itself*: the same judge asked twice; "
        "*self-preference*: levels more for the own family, one number for all judges or one for each; *mean corrected "
        f"by labels*: mean true level from a favouring judge's levels of all replies and {N_LABELS} true ones. With "
        "*unequal errors* one judge errs more than the others, which an estimate that takes the judges' levels as they "
        "are would take for a favour or its opposite.",
        "", f"| {' | '.join(head)} |", "|---" * len(head) + "|",
    ]  # fmt: skip
    good = True
    for (setting, what), own in rows.groupby(["setting", "what"], sort=False):
        covered = int(((own["low"] <= own["planted"] + 1e-9) & (own["planted"] <= own["high"] + 1e-9)).sum())
        half, met = float(((own["high"] - own["low"]) / 2).median()), covered >= TARGET * len(own)
        good &= met
        mean = round(own["value"].mean(), 4) + 0.0  # no minus before a zero
        lines.append(f"| {setting} | {what} | {own['planted'].mean():.4g} | {mean:.4f} | {covered} of {len(own)} | "
                     f"{half:.3f} | {'yes' if met else 'no'} |")  # fmt: skip
    return "\n".join(lines) + "\n", good


def main() -> int:
    """Simulate, write both files, compare with the target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    options = parser.parse_args()
    rows = []
    for name, setting in SETTINGS.items():
        for seed in range(options.seeds):
            rows += [{"setting": name, "seed": seed, **row} for row in estimates(setting, seed)]
    table = pd.DataFrame(rows)
    write_text(OUT, table.to_csv(index=False, float_format="%.6g"))
    text, good = report(pd.read_csv(OUT))
    write_text(OUT.with_suffix(".md"), text)
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
