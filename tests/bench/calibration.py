"""Do the intervals of AL mean, IR, dAL and N-IR hold what they promise? Exits with 1 if a target is missed.

In: numbers of simulated studies. Out: `outputs/bench/calibration.csv` (a row per cell) and `calibration.md`. A study
is two arms on the same 20 profiles x 5 personalities x 10 turns, the first also judged against strangers' personas,
scored by the project's own functions, with no effect (how often is one reported?) or with a planted slope in the first
arm (how often is it found?). What a level is made of stands in `study`. Nothing here knows a preset or a run.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aloe import metrics
from aloe.intervals import Array, Estimate, mean_estimate, slope_weights, two_way_estimate
from aloe.runs import OUTPUTS
from aloe.stranger_intervals import Exchange, exchanged_estimate
from aloe.writing import write_text

N_PROFILES, N_PERSONALITIES, N_TURNS, N_NULL = 20, 5, 10, 2000
PROFILES = np.repeat(np.arange(N_PROFILES), N_PERSONALITIES)
PERSONALITIES = np.tile(np.arange(N_PERSONALITIES), N_PROFILES)
STRANGERS = Exchange(  # as `shuffling` pairs them: the next profile, a personality 1 to 4 places on
    PROFILES, PERSONALITIES, (PROFILES + 1) % N_PROFILES,
    (PERSONALITIES + 1 + PROFILES % (N_PERSONALITIES - 1)) % N_PERSONALITIES,
)  # fmt: skip
MIXES = ((0.0, 0.0, 1.0), (0.25, 0.0, 1.0), (0.1, 0.1, 1.0), (0.0, 1.0, 1.0))  # variances: profile, personality, case
AUTOCORRELATIONS = (0.0, 0.3, 0.6)
SLOPES = (0.01, 0.02, 0.03, 0.05)  # levels a turn
MIDDLE, SPREAD, SHARED = 3.0, 0.8, 0.5  # of the scale; levels for a latent 1; what two arms have in common
FALSE_ALARMS, BAND = (0.03, 0.07), (0.93, 0.97)
OUT = OUTPUTS / "bench" / "calibration.csv"
INTERVALS = ("ir", "al_difference", "ir_difference", "dal", "dal_ir")
BANDS = ("n_ir_outside", "n_r2_outside")
TWO_WAY = ("ir_two_way", "al_difference_two_way", "ir_difference_two_way")
CHECKS = (*INTERVALS, *BANDS, "dal_profile_means", *TWO_WAY)
TITLES = ("IR", "AL difference", "IR difference", "dAL", "slope of dAL", "N-IR", "N-R²", "dAL, profile means")


class Cell(NamedTuple):
    """What a thousand studies have in common; `slope` is planted in the first arm, in levels a turn."""

    levels: str  # "rounded" to 1..5, or "continuous"
    personalities: str  # "fixed": no effect of these five on average; "drawn": of all personalities
    mix: tuple[float, float, float]
    autocorrelation: float
    slope: float = 0.0


def cells() -> list[Cell]:
    """No effect; no effect with drawn personalities; planted slopes."""
    pairs = [(mix, correlation) for mix in MIXES for correlation in AUTOCORRELATIONS]
    return [
        *(Cell("rounded", "fixed", *pair) for pair in pairs),
        *(Cell("rounded", "drawn", *pair) for pair in pairs),
        *(Cell("rounded", "fixed", *pair, slope) for pair in pairs for slope in SLOPES),
    ]


def study(cell: Cell, rng: np.random.Generator) -> Array:
    """Levels of two arms, and of the first arm's replies for strangers: shape (3, n_cases, n_turns).

    level = 3 + 0.8 (profile + personality + case), each a normal AR(1) over the turns with the cell's
    autocorrelation and its variance of the mix. Half of each variance is shared by the arms. Fixed personalities sum
    to zero over the five at every turn. A slope is added before rounding and clipping, and is 0 at turn 1. A reply
    judged against a stranger carries the effects of the stranger's profile and personality, and shares half of the
    variance of its case with its level for the own persona; the slope is not in it.
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
    arms = [np.sqrt(variance) * np.broadcast_to(part, (2, N_PROFILES, N_PERSONALITIES, N_TURNS)).reshape(2, -1, N_TURNS)
            for variance, part in zip(cell.mix, parts, strict=True)]  # fmt: skip
    fresh = np.sqrt(cell.mix[2]) * (rng.standard_normal((len(PROFILES), N_TURNS)) @ root.T)
    who = STRANGERS.stranger_profiles * N_PERSONALITIES + STRANGERS.stranger_personalities
    shuffled = arms[0][0, who] + arms[1][0, who] + np.sqrt(SHARED) * arms[2][0] + np.sqrt(1 - SHARED) * fresh
    levels = MIDDLE + SPREAD * np.concatenate([np.sum(arms, axis=0), shuffled[None]])
    levels[0] += cell.slope * np.arange(N_TURNS)
    return np.clip(np.round(levels), 1, 5) if cell.levels == "rounded" else levels


def found(levels: Array, seed: int, two_way: bool = True) -> tuple[float, ...]:
    """Does a study report an effect? In the order of `CHECKS`: intervals without 0, values outside their null band.

    What `metrics.summarise` (first arm) and `metrics.paired_difference` say, without their data frames, which would
    take twenty times as long; a test compares them. Without `two_way` those have no number.
    """
    weights, gap, beside = slope_weights(N_TURNS), levels[0] - levels[1], levels[0] - levels[2]
    own, stranger = levels[0], levels[2]
    linear = (own @ weights, gap.mean(axis=1), gap @ weights)
    intervals = [mean_estimate(values, PROFILES, 0.95) for values in linear]
    intervals += [exchanged_estimate(own.mean(axis=1), stranger.mean(axis=1), STRANGERS, 0.95),
                  exchanged_estimate(own @ weights, stranger @ weights, STRANGERS, 0.95)]  # fmt: skip
    curve = metrics.improvement(own.mean(axis=0).tolist())
    bands = metrics._null_bands(metrics._Cases(own, PROFILES), 0.95, N_NULL, seed)
    if curve.n_ir is None or curve.n_r2 is None or bands is None:
        raise ValueError("levels that do not vary have no N-IR")
    outside = (not bands.n_ir[0] <= curve.n_ir <= bands.n_ir[1], curve.n_r2 > bands.n_r2[1])
    intervals.append(mean_estimate(beside.mean(axis=1), PROFILES, 0.95))
    alarms = [*map(_excludes_zero, intervals)]
    wide = [_excludes_zero(two_way_estimate(one, PROFILES, PERSONALITIES, 0.95)) for one in linear if two_way]
    no_answer = [float("nan")] * len(linear)
    return (*alarms[:-1], *outside, alarms[-1], *(wide if two_way else no_answer))


def measured(cell: Cell, number: int, n_studies: int) -> dict[str, Any]:
    """The row of a cell: the share of its studies in which each of `CHECKS` reports an effect."""
    drawn = cell.personalities == "drawn"
    hits = np.array([found(study(cell, np.random.default_rng((number, i))), i, drawn) for i in range(n_studies)])
    profile, personality, case = cell.mix
    return {
        "levels": cell.levels, "personalities": cell.personalities, "profile": profile, "personality": personality,
        "case": case, "autocorrelation": cell.autocorrelation, "slope": cell.slope, "studies": n_studies,
        **dict(zip(CHECKS, hits.mean(axis=0), strict=True)),
    }  # fmt: skip


def missed(row: Any) -> list[str]:
    """The targets that a row of no effect misses."""
    low, high = FALSE_ALARMS
    names = [name for name in INTERVALS if not low <= round(row[name], 6) <= high]
    return names + [name for name in BANDS if not BAND[0] <= round(1 - row[name], 6) <= BAND[1]]


def report(rows: pd.DataFrame) -> tuple[str, bool]:
    """The Markdown tables, and whether every target is met."""
    none, power = rows[rows["slope"] == 0], rows[rows["slope"] > 0]
    fixed, drawn = (none[none["personalities"] == kind] for kind in ("fixed", "drawn"))
    misses = [name for _, row in fixed.iterrows() for name in missed(row)]
    n, checks = int(fixed["studies"].min()), len(INTERVALS + BANDS) * len(fixed)
    head = ("levels", "mix", "autocorrelation", *TITLES[:5], *(f"{name} in band" for name in TITLES[5:7]), "missed",
            TITLES[7])  # fmt: skip
    two = ("levels", "mix", "autocorrelation", *TITLES[:3], *(f"{name}, two-way" for name in TITLES[:3]))
    parts = [
        f"{n:,} simulated studies a row: two arms, {N_PROFILES} profiles x {N_PERSONALITIES} personalities x {N_TURNS} "
        f"turns, levels {MIDDLE:g} + {SPREAD:g} times a latent value, 95% intervals. *mix*: variances of profile, "
        "personality and case, each an AR(1) over the turns, half of it shared by the arms. Levels are rounded to "
        "1 to 5. dAL: levels of the first arm minus those of the same replies for a stranger, "
        "which carry the stranger's profile and personality and share half of the case's variance.",
        *([] if len(rows) == len(cells()) else [
            f"**{len(rows)} of {len(cells())} cells so far**: `python tests/bench/calibration.py --resume` goes on.",
        ]),
        "## No effect: how often is one reported?",
        f"Targets: {FALSE_ALARMS[0]:.0%} to {FALSE_ALARMS[1]:.0%} of intervals exclude 0, {BAND[0]:.0%} to "
        f"{BAND[1]:.0%} of N-IR and N-R² lie in the null band. Missed: {len(misses)} of {checks} checks. With {n:,} "
        f"studies a share of 5% is known to {1.96 * (0.05 * 0.95 / n) ** 0.5:.1%}; the last row pools all. "
        "Personalities are fixed, as the intervals take them: no effect on average of these five. The last column has "
        "no target: dAL with t on profile means, which takes as noise that profiles differ as judged personas, though "
        "every profile is judged as often as itself as it is as a stranger.",
        _table(head, [
            *((*_names(row), *_shares(row), ", ".join(missed(row)) or "-", f"{row['dal_profile_means']:.1%}")
              for _, row in fixed.iterrows()),
            ("all", "", "", *_shares(fixed[list(CHECKS)].mean()), "", f"{fixed['dal_profile_means'].mean():.1%}"),
        ]),
    ]  # fmt: skip
    if len(drawn):
        parts += [
            "## The same, had the personalities been drawn from many",
            "No effect on average of all personalities, but by chance one on average of the five at hand. The primary "
            "intervals do not speak of other personalities and have no target here: read as if they did, they exclude "
            "0 far too often where personalities differ. The two-way intervals are made for this reading. They are "
            f"wide, as five personalities say little about all others. {int(drawn['studies'].min()):,} studies a row.",
            _table(two, [(*_names(row), *(f"{row[name]:.1%}" for name in (*INTERVALS[:3], *TWO_WAY)))
                         for _, row in drawn.iterrows()]),
        ]  # fmt: skip
    if len(power):
        parts += [
            "## A planted slope: how often is it found?",
            f"{int(power['studies'].min()):,} studies a row. Slope of the first arm, in levels a turn before rounding, "
            f"at {N_PROFILES * N_PERSONALITIES} cases; the other arm and the levels for strangers have none, so AVG "
            f"and dAL differ by {(N_TURNS - 1) / 2:g} slopes. N-IR and N-R²: outside their null bands.",
            _table(("mix", "autocorrelation", "slope", *TITLES), [
                (*_names(row)[1:], f"{row['slope']:g}", *(f"{row[name]:.1%}" for name in CHECKS[:8]))
                for _, row in power.iterrows()
            ]),
        ]  # fmt: skip
    return "\n\n".join(parts) + "\n", not misses


def main() -> int:
    """Simulate every cell, write both files, compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000, help="in each cell of fixed personalities and no effect")
    parser.add_argument("--others", type=int, default=200, help="in each other cell")
    parser.add_argument("--resume", action="store_true", help="keep the rows that the file has")
    options = parser.parse_args()
    table = pd.read_csv(OUT) if options.resume else pd.DataFrame()
    for number, cell in list(enumerate(cells()))[len(table) :]:
        checked = cell.personalities == "fixed" and not cell.slope
        row = measured(cell, number, options.studies if checked else options.others)
        table = pd.concat([table, pd.DataFrame([row])], ignore_index=True)
        write_text(OUT, table.to_csv(index=False, float_format="%g"))
        write_text(OUT.with_suffix(".md"), report(table)[0])
        print(number + 1, "of", len(cells()), cell, file=sys.stderr, flush=True)
    text, good = report(table)
    print(text)
    return 0 if good else 1


def _excludes_zero(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.high is not None and not estimate.low <= 0 <= estimate.high


def _names(row: Any) -> tuple[str, ...]:
    mix = ", ".join(f"{row[name]:g}" for name in ("profile", "personality", "case"))
    return row["levels"], f"({mix})", f"{row['autocorrelation']:g}"


def _shares(row: Any) -> tuple[str, ...]:
    return *(f"{row[name]:.1%}" for name in INTERVALS), *(f"{1 - row[name]:.1%}" for name in BANDS)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


if __name__ == "__main__":
    sys.exit(main())
