"""Do the intervals of AL mean, IR and N-IR hold what they promise? Exits with 1 if a target is missed.

In: a number of simulated studies. Out: `outputs/bench/calibration.csv` (a row per cell) and `calibration.md`. A study
is two arms on the same 20 profiles x 5 personalities x 10 turns, scored by the project's own functions, with no effect
(how often is one reported?) or with a planted slope in the first arm (how often is it found?). What a level is made
of stands in `study`. Nothing here knows a preset, a run or a model.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aloe import metrics
from aloe.intervals import Array, Estimate, mean_estimate, slope_weights
from aloe.records import write_text
from aloe.runs import OUTPUTS

N_PROFILES, N_PERSONALITIES, N_TURNS, N_NULL = 20, 5, 10, 2000
PROFILES = np.repeat(np.arange(N_PROFILES), N_PERSONALITIES)
MIXES = ((0.0, 0.0, 1.0), (0.25, 0.0, 1.0), (0.1, 0.1, 1.0), (0.0, 1.0, 1.0))  # variances: profile, personality, case
AUTOCORRELATIONS = (0.0, 0.3, 0.6)
SLOPES = (0.01, 0.02, 0.03, 0.05, 0.08)  # levels a turn
MIDDLE, SPREAD, SHARED = 3.0, 0.8, 0.5  # of the scale; levels for a latent 1; what two arms have in common
FALSE_ALARMS, BAND = (0.03, 0.07), (0.93, 0.97)
OUT = OUTPUTS / "bench" / "calibration.csv"
CHECKS = ("ir", "al_difference", "ir_difference", "n_ir_outside")


class Cell(NamedTuple):
    """What a thousand studies have in common; `slope` is planted in the first arm, in levels a turn."""

    levels: str  # "rounded" to 1..5, or "continuous"
    personalities: str  # "fixed": no effect of these five on average; "drawn": of all personalities
    mix: tuple[float, float, float]
    autocorrelation: float
    slope: float = 0.0


def cells() -> list[Cell]:
    """No effect, on both scales; no effect with drawn personalities where these vary; planted slopes."""
    pairs = [(mix, correlation) for mix in MIXES for correlation in AUTOCORRELATIONS]
    return [
        *(Cell(levels, "fixed", *pair) for levels in ("rounded", "continuous") for pair in pairs),
        *(Cell("rounded", "drawn", *pair) for pair in pairs if pair[0][1]),
        *(Cell("rounded", "fixed", *pair, slope) for pair in pairs for slope in SLOPES),
    ]


def study(cell: Cell, rng: np.random.Generator) -> Array:
    """Levels of two arms, shape (2, n_cases, n_turns).

    level = 3 + 0.8 (profile + personality + case), each a normal AR(1) over the turns with the cell's
    autocorrelation and its variance of the mix. Half of each variance is shared by the arms. Fixed personalities sum
    to zero over the five at every turn. A slope is added before rounding and clipping, and is 0 at turn 1.
    """
    lags = np.abs(np.subtract.outer(np.arange(N_TURNS), np.arange(N_TURNS)))
    root = np.linalg.cholesky(cell.autocorrelation**lags)

    def effects(*shape: int) -> Array:
        """Two arms of AR(1) curves with variance 1: what they share, and what each has of its own."""
        drawn = rng.standard_normal((3, *shape, N_TURNS)) @ root.T
        return np.sqrt(SHARED) * drawn[:1] + np.sqrt(1 - SHARED) * drawn[1:]

    personality = effects(1, N_PERSONALITIES)
    if cell.personalities == "fixed":
        personality -= personality.mean(axis=2, keepdims=True)
    parts = (effects(N_PROFILES, 1), personality, effects(N_PROFILES, N_PERSONALITIES))
    latent = sum(np.sqrt(variance) * part for variance, part in zip(cell.mix, parts, strict=True))
    levels = MIDDLE + SPREAD * np.asarray(latent).reshape(2, -1, N_TURNS)
    levels[0] += cell.slope * np.arange(N_TURNS)
    return np.clip(np.round(levels), 1, 5) if cell.levels == "rounded" else levels


def found(levels: Array, seed: int) -> tuple[bool, ...]:
    """Does a study report an effect? In the order of `CHECKS`: three intervals without 0, N-IR outside its band.

    What `metrics.summarise` (first arm) and `metrics.paired_difference` say, without their data frames, which would
    take twenty times as long; a test compares them.
    """
    weights, gap = slope_weights(N_TURNS), levels[0] - levels[1]
    intervals = [
        mean_estimate(values, PROFILES, 0.95) for values in (levels[0] @ weights, gap.mean(axis=1), gap @ weights)
    ]
    n_ir = metrics.improvement(levels[0].mean(axis=0).tolist()).n_ir
    bands = metrics._null_bands(metrics._Cases(levels[0], PROFILES), 0.95, N_NULL, seed)
    if n_ir is None or bands is None:
        raise ValueError("levels that do not vary have no N-IR")
    return (*(_excludes_zero(one) for one in intervals), not bands.n_ir[0] <= n_ir <= bands.n_ir[1])


def measured(cell: Cell, number: int, n_studies: int) -> dict[str, Any]:
    """The row of a cell: the share of its studies in which each of `CHECKS` reports an effect."""
    hits = np.array([found(study(cell, np.random.default_rng((number, i))), seed=i) for i in range(n_studies)])
    profile, personality, case = cell.mix
    return {
        "levels": cell.levels, "personalities": cell.personalities, "profile": profile, "personality": personality,
        "case": case, "autocorrelation": cell.autocorrelation, "slope": cell.slope, "studies": n_studies,
        **dict(zip(CHECKS, hits.mean(axis=0), strict=True)),
    }  # fmt: skip


def missed(row: Any) -> list[str]:
    """The targets that a row of no effect misses."""
    low, high = FALSE_ALARMS
    names = [name for name in CHECKS[:3] if not low <= round(row[name], 6) <= high]
    return names + ([] if BAND[0] <= round(1 - row["n_ir_outside"], 6) <= BAND[1] else ["n_ir_band"])


def report(rows: pd.DataFrame) -> tuple[str, bool]:
    """The Markdown tables, and whether every target is met."""
    none, power = rows[rows["slope"] == 0], rows[rows["slope"] > 0]
    fixed, drawn = (none[none["personalities"] == kind] for kind in ("fixed", "drawn"))
    misses = [name for _, row in fixed.iterrows() for name in missed(row)]
    n, checks = int(rows["studies"].min()), len(CHECKS) * len(fixed)
    head = ("levels", "mix", "autocorrelation", "IR", "AL difference", "IR difference", "N-IR in band", "missed")
    parts = [
        f"{n:,} simulated studies a row: two arms, {N_PROFILES} profiles x {N_PERSONALITIES} personalities x {N_TURNS} "
        f"turns, levels {MIDDLE:g} + {SPREAD:g} times a latent value, 95% intervals. *mix*: variances of profile, "
        "personality and case, each an AR(1) over the turns, half of it shared by the arms. *rounded*: to whole levels "
        "1 to 5; *continuous*: as drawn. A difference to a shuffled-persona score (dAL), which the study does not "
        "have yet, would be a paired difference on the same cases like those here.",
        "## No effect: how often is one reported?",
        f"Targets: {FALSE_ALARMS[0]:.0%} to {FALSE_ALARMS[1]:.0%} of intervals exclude 0, {BAND[0]:.0%} to "
        f"{BAND[1]:.0%} of N-IR lie in the null band. Missed: {len(misses)} of {checks} checks. With {n:,} studies a "
        f"share of 5% is known to {1.96 * (0.05 * 0.95 / n) ** 0.5:.1%}; the last row pools all. "
        "Personalities are fixed, as the intervals take them: no effect on average of these five.",
        _table(head, [
            *((*_names(row), *_shares(row), ", ".join(missed(row)) or "-") for _, row in fixed.iterrows()),
            ("all", "", "", *_shares(fixed[list(CHECKS)].mean()), ""),
        ]),
        "## The same, had the personalities been drawn from many",
        "No effect on average of all personalities, but by chance one on average of the five at hand. The intervals do "
        "not speak of other personalities, and have no target here: read as if they did, they would exclude 0 far too "
        "often where personalities differ.",
        _table(head[:-1], [(*_names(row), *_shares(row)) for _, row in drawn.iterrows()]),
        "## A planted slope: how often is it found?",
        f"Slope of the first arm, in levels a turn before rounding, at {N_PROFILES * N_PERSONALITIES} cases; the "
        f"other arm has none, so AVG differs by {(N_TURNS - 1) / 2:g} slopes. Last column: N-IR outside its null band.",
        _table(("mix", "autocorrelation", "slope", *head[3:6], "N-IR"), [
            (*_names(row)[1:], f"{row['slope']:g}", *(f"{row[name]:.1%}" for name in CHECKS))
            for _, row in power.iterrows()
        ]),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n", not misses


def main() -> int:
    """Simulate every cell, write both files, compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    options = parser.parse_args()
    rows = []
    for number, cell in enumerate(cells()):
        rows.append(measured(cell, number, options.studies))
        print(number + 1, "of", len(cells()), cell, file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    write_text(OUT, table.to_csv(index=False, float_format="%g"))
    text, good = report(table)
    write_text(OUT.with_suffix(".md"), text)
    print(text)
    return 0 if good else 1


def _excludes_zero(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.high is not None and not estimate.low <= 0 <= estimate.high


def _names(row: Any) -> tuple[str, ...]:
    mix = ", ".join(f"{row[name]:g}" for name in ("profile", "personality", "case"))
    return row["levels"], f"({mix})", f"{row['autocorrelation']:g}"


def _shares(row: Any) -> tuple[str, ...]:
    return *(f"{row[name]:.1%}" for name in CHECKS[:3]), f"{1 - row['n_ir_outside']:.1%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    sys.exit(main())
