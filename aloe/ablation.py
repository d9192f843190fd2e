"""What each arm of a preset changes: paired differences to the policy that it is compared with, as numbers and as text.

In: judgements and the arms, or the part of `metrics.json` that holds them. Out: that part, a frame for a figure, and a
page of Markdown. Differences are arm minus reference on the same people, so a negative one says what the arm loses.
This module knows no file and no preset.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from aloe.comparisons import compare
from aloe.findings import signed
from aloe.intervals import Estimate
from aloe.metrics import both_complete, paired_difference
from aloe.tables import p_text


def compare_arms(scores: pd.DataFrame, reference: Mapping[str, str], confidence: float) -> dict[str, dict[str, Any]]:
    """Every arm that was scored beside its reference, for `metrics.json`.

    Args:
        scores: columns of `records.Judgement`.
        reference: by arm, the policy that it is compared with.
        confidence: of the intervals, such as 0.95.

    Returns:
        By arm: `reference`, `n_cases`, and the differences `al_mean` and `ir` with `_ci`, and `al` (per turn) with
        `al_ci`, and `al_mean_p_holm` and `ir_p_holm`, p-values corrected together (Holm); with a single profile
        intervals and p-values are None. Arms of which either side was not scored, or that share no complete case with
        it, are left out.
    """
    scored, found = set(scores["policy"]), {}
    pairs = [(arm, other) for arm, other in reference.items()
             if {arm, other} <= scored and both_complete(scores, arm, other)]  # fmt: skip
    tests = compare(scores, pairs, confidence).to_dict("records")
    for (arm, other), test in zip(pairs, tests, strict=True):
        gap = paired_difference(scores, arm, other, confidence)
        found[arm] = {
            "reference": other, "n_cases": gap.n_cases,
            "al_mean": gap.al_mean.value, "al_mean_ci": _interval(gap.al_mean),
            "ir": gap.ir.value, "ir_ci": _interval(gap.ir),
            "al": [turn.value for turn in gap.by_turn], "al_ci": [_interval(turn) for turn in gap.by_turn],
            **{name: None if pd.isna(test[name]) else test[name] for name in ("al_mean_p_holm", "ir_p_holm")},
        }  # fmt: skip
    return found


def arm_frame(found: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Differences as `figures.estimates` takes them: `policy`, and `al_mean` and `ir` with `_low` and `_high`."""
    rows = [{"policy": f"{arm} - {gap['reference']}"}
            | {f"{name}{end}": value for name in ("al_mean", "ir") for end, value in _ends(gap, name)}
            for arm, gap in found.items()]  # fmt: skip
    columns = ["policy", *(f"{name}{end}" for name in ("al_mean", "ir") for end in ("", "_low", "_high"))]
    return pd.DataFrame(rows, columns=columns)


def markdown_page(metrics: Mapping[str, Any] | None, digest: str, preset: str = "ablation") -> str:
    """The stored arms of a run as Markdown, with where they come from; that there are none, if there are none.

    Args:
        metrics: the `metrics.json` of the run; None where it has not been run.
        digest: the hash of that file.
        preset: of the run.
    """
    found = (metrics or {}).get("benchmark", {}).get("arms", {})
    if not metrics or not found:
        return f"Not run yet: `make all PRESET={preset}` makes it, and this page then shows its result."
    benchmark = metrics["benchmark"]
    last = benchmark["n_turns"]
    titles = ("arm", "beside", "AL(1)", f"AL({last})", "AVG", "p, corrected", "IR", "p of IR, corrected", "steps",
              "learned tokens")  # fmt: skip
    rows: list[Sequence[str]] = [titles, ("---", "---", *["---:"] * 8)]
    for arm, gap in found.items():
        turns = [signed(gap["al"][turn], gap["al_ci"][turn], 2) for turn in (0, -1)]
        rows.append((f"`{arm}`", f"`{gap['reference']}`", *turns,
                     signed(gap["al_mean"], gap["al_mean_ci"], 2), _p(gap, "al_mean"),
                     signed(gap["ir"], gap["ir_ci"], 3), _p(gap, "ir"),
                     *_learned(metrics, arm, gap["reference"])))  # fmt: skip
    what = "**Simulated.** " if metrics["simulated"] else ""
    return (
        f"{what}Each arm minus the policy beside it, on the same {benchmark['n_cases']} held-out cases, with intervals "
        f"clustered on profiles (below zero: the arm is worse), and p-values corrected for how many differences stand "
        f"here (Holm). Steps of the optimizer: the arm's, then those of the policy beside it; learned tokens: as a "
        f"multiple of the other's. Run `{metrics['preset']}`, seed {metrics['seed']}; "
        f"commit {benchmark.get('arms_commit') or 'unknown'}; hash of its `metrics.json`: {digest[:12]}.\n\n"
        + "\n".join(f"| {' | '.join(row)} |" for row in rows)
    )


def _learned(metrics: Mapping[str, Any], arm: str, other: str) -> tuple[str, str]:
    """How much an arm learned beside its reference, which some switches change too; dashes where it is not known."""
    ours, theirs = (metrics.get("training", {}).get(name, {}) for name in (arm, other))
    steps = [entry.get("steps") for entry in (ours, theirs)]
    tokens = [entry.get("learned_tokens") for entry in (ours, theirs)]  # of SFT
    return ("–" if None in steps else f"{steps[0]:,}; {steps[1]:,}",
            "–" if None in tokens else f"{tokens[0] / tokens[1]:.1f}×")  # fmt: skip


def _ends(gap: Mapping[str, Any], name: str) -> list[tuple[str, Any]]:
    low, high = gap[f"{name}_ci"] or (None, None)
    return [("", gap[name]), ("_low", low), ("_high", high)]


def _interval(estimate: Estimate) -> list[float] | None:
    return None if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]


def _p(gap: Mapping[str, Any], name: str) -> str:
    """A corrected p-value; a dash where there is none, as in results of earlier versions."""
    found = gap.get(f"{name}_p_holm")
    return p_text(float("nan") if found is None else found)
