"""Rows of a published table scored again, with the intervals that they came without, as text for the report.

In: `aloe/data/published_rows.csv`, AL(1..K) in percent of 0/1 scores beside the AVG, N-IR and N-R2 printed with them.
Out: named numbers and Markdown. Repetitions of a study are simulated under a stated dependence between the turns of a
case, which the table does not tell. This module knows no run; that its cases stand for others is an assumption.
"""

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from aloe.intervals import Array, share_estimate, slope_weights
from aloe.metrics import improvement
from aloe.params import ROOT

ROWS = ROOT / "aloe" / "data" / "published_rows.csv"
CONFIDENCE, N_STUDIES, SEED = 0.95, 4000, 0
AUTOCORRELATIONS = 0.0, 0.6, 1.0  # of the turns of a case


class Row(NamedTuple):
    """One row as printed: `levels` are AL(1..K) in percent of `n_cases` cases."""

    name: str
    source: str
    n_cases: int
    levels: tuple[float, ...]
    average: float
    n_ir: float
    n_r2: float


class Spread(NamedTuple):
    """Where repetitions of a study lie: ends of IR (points a turn) and of N-IR; the latter None if it has no value."""

    ir: tuple[float, float]
    n_ir: tuple[float, float] | None


def read_rows(path: Path = ROWS) -> list[Row]:
    """The rows of the file.

    Raises:
        ValueError: a level that no whole number of cases gives to two decimals.
    """
    rows = []
    with path.open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            levels = tuple(float(line[name]) for name in line if name.startswith("al_"))
            printed = (float(line[name]) for name in ("avg", "n_ir", "n_r2"))
            rows.append(Row(line["row"], line["source"], int(line["n_cases"]), levels, *printed))
            for level, count in zip(levels, counts(rows[-1]), strict=True):
                if abs(100 * count / rows[-1].n_cases - level) > 0.0051:
                    raise ValueError(f"{line['row']}: no number of {line['n_cases']} cases gives {level}%")
    return rows


def counts(row: Row) -> list[int]:
    """How many cases scored 1, turn by turn: the whole numbers nearest to the printed percentages."""
    return [round(level * row.n_cases / 100) for level in row.levels]


def wrong_average(row: Row) -> bool:
    """Is the printed AVG not the mean of the printed AL(k), even if all were rounded to two decimals?"""
    return abs(float(np.mean(row.levels)) - row.average) > 0.0101


def wrong_slope(row: Row) -> bool:
    """Do the printed N-IR and N-R2 not follow from the printed AL(k), to three decimals?"""
    again = improvement(row.levels)
    return again.n_ir is None or (round(again.n_ir, 3), round(again.n_r2 or 0.0, 3)) != (row.n_ir, row.n_r2)


def repetitions(shares: Sequence[float], n_cases: int, autocorrelation: float) -> Array:
    """Mean curves of studies with these true shares per turn, as shares. Shape: (N_STUDIES, n_turns).

    A case scores 1 at turn k where a uniform number lies below share k; the uniform numbers of a case are those of a
    normal AR(1): 0 makes turns independent, 1 gives a case one number for all turns, so that its scores are nested.
    """
    found: Array = (_uniform(n_cases, len(shares), autocorrelation) < np.asarray(shares)).mean(axis=1)
    return found


def spread(shares: Sequence[float], n_cases: int, autocorrelation: float) -> Spread:
    """The central 95% of IR and N-IR over `repetitions`; constant curves, which have no N-IR, are left out of it."""
    curves = 100 * repetitions(shares, n_cases, autocorrelation)
    slopes, ranges = curves @ slope_weights(curves.shape[1]), np.ptp(curves, axis=1)
    some = ranges > 1e-9
    return Spread(_central(slopes), _central(slopes[some] / ranges[some]) if some.any() else None)


@cache  # asked for by the table and by the sentences
def null_band(row: Row, autocorrelation: float) -> tuple[float, float] | None:
    """The central 95% of N-IR, had every turn the row's mean share; None where such curves are all constant."""
    share = sum(counts(row)) / (row.n_cases * len(row.levels))
    return spread([share] * len(row.levels), row.n_cases, autocorrelation).n_ir


def page_fields(n_cases: int, n_turns: int) -> dict[str, str]:
    """What the report's page "Published numbers" has to fill in, for a run with so many cases and turns."""
    rows = read_rows()
    n, k = rows[0].n_cases, len(rows[0].levels)
    zero = share_estimate(0, n, CONFIDENCE)
    ramps = [[1 + step * turn for turn in range(k)] for step in (0.01, 4 / (k - 1))]
    return {
        "source": rows[0].source, "n": f"{n}", "turns": f"{k}", "own_n": f"{n_cases}", "own_turns": f"{n_turns}",
        "level": f"{CONFIDENCE:.0%}", "studies": f"{N_STUDIES:,}", "rho": f"{AUTOCORRELATIONS[1]:g}",
        "printed": printed_table(rows), "verdict": verdict(rows), "by_turn": turns_table(rows),
        "spreads": spreads_table(rows), "bands": band_sentences(rows), "later": later_table(rows),
        "zero": _shown([100 * (end or 0.0) for end in zero], 1), "narrower": f"{(n_cases / n) ** 0.5:.2f}",
        "low_ramp": f"{ramps[0][0]:.2f} to {ramps[0][-1]:.2f}", "high_ramp": f"{ramps[1][0]:.2f} to {ramps[1][-1]:.2f}",
        "ramp_n_irs": " and ".join(f"{improvement(ramp).n_ir:.3f}" for ramp in ramps),
        "ramp_irs": " and ".join(f"{improvement(ramp).ir:.3f}" for ramp in ramps),
    }  # fmt: skip


def printed_table(rows: Sequence[Row]) -> str:
    """Printed numbers beside those that follow from the printed curves."""
    lines = []
    for row in rows:
        again = improvement(row.levels)
        lines.append((row.name, f"{row.average:.2f}", f"{np.mean(row.levels):.2f}", f"{row.n_ir:.3f}",
                      _known(again.n_ir), f"{row.n_r2:.3f}", _known(again.n_r2)))  # fmt: skip
    return _table(("row", "AVG", "recomputed", "N-IR", "recomputed", "N-R²", "recomputed"), lines)


def verdict(rows: Sequence[Row]) -> str:
    """Which printed numbers follow from the printed curves, in a sentence each."""
    averages = [f"{row.name} ({row.average:.2f}, not {np.mean(row.levels):.2f})" for row in rows if wrong_average(row)]
    slopes = [row.name for row in rows if wrong_slope(row)]
    return (
        f"N-IR and N-R² follow from the printed AL(k) to three decimals {_all_but(slopes, len(rows))}. AVG is the mean "
        f"of the printed AL(k), up to rounding, {_all_but(averages, len(rows))}."
    )


def turns_table(rows: Sequence[Row]) -> str:
    """AL(k) of every row with Wilson's interval, in percent."""
    lines = []
    for turn in range(len(rows[0].levels)):
        found = [share_estimate(counts(row)[turn] / row.n_cases, row.n_cases, CONFIDENCE) for row in rows]
        lines.append((f"{turn + 1}", *(_shown([100 * (end or 0.0) for end in one], 1) for one in found)))
    return _table(("turn", *(row.name for row in rows)), lines)


def spreads_table(rows: Sequence[Row]) -> str:
    """IR and N-IR of every row with where repetitions lie, and the null band, by assumption on dependence."""
    lines = []
    for row in rows:
        again, shares = improvement(row.levels), [count / row.n_cases for count in counts(row)]
        for correlation in AUTOCORRELATIONS:
            around, band = spread(shares, row.n_cases, correlation), null_band(row, correlation)
            n_ir = _shown([again.n_ir or 0.0, *around.n_ir], 3) if around.n_ir else "none"
            lines.append((row.name, _named(correlation), _shown([again.ir, *around.ir], 2), n_ir,
                          f"{band[0]:+.3f} to {band[1]:+.3f}" if band else "none"))  # fmt: skip
    return _table(("row", "turns of a case", "IR (points a turn)", "N-IR", "null band of N-IR"), lines)


def band_sentences(rows: Sequence[Row]) -> str:
    """Which N-IR lies in its null band under which assumption."""
    said = []
    for row in rows:
        bands = {_named(value): null_band(row, value) for value in AUTOCORRELATIONS}
        inside = [name for name, band in bands.items() if band and band[0] <= row.n_ir <= band[1]]
        n = sum(band is not None for band in bands.values())
        where = "inside its band under" if inside else "outside its band under"
        which = "every assumption that gives one" if len(inside) in (0, n) else f"some only: {', '.join(inside)}"
        said.append(f"- {row.name}: {row.n_ir:+.3f}, {where} {which}." if n else f"- {row.name}: there is no band.")
    return "\n".join(said)


def later_table(rows: Sequence[Row]) -> str:
    """How much of the slope is the step from turn 1 to turn 2."""
    lines = []
    for row in rows:
        whole, later = improvement(row.levels), improvement(row.levels[1:])
        n_irs = ("none" if curve.n_ir is None else f"{curve.n_ir:+.3f}" for curve in (whole, later))
        lines.append((row.name, f"{row.levels[1] - row.levels[0]:+.1f}", f"{whole.ir:+.2f}", f"{later.ir:+.2f}",
                      *n_irs))  # fmt: skip
    last = len(rows[0].levels)
    slopes = (f"IR, turns 1 to {last}", f"IR, turns 2 to {last}", "N-IR, all", "N-IR, from turn 2")
    return _table(("row", "AL(2) - AL(1)", *slopes), lines)


@cache
def _uniform(n_cases: int, n_turns: int, autocorrelation: float) -> npt.NDArray[np.float32]:
    """(N_STUDIES, n_cases, n_turns), the same numbers for every row, so that rows differ by their shares alone."""
    noise = np.random.default_rng(SEED).standard_normal((N_STUDIES, n_cases, n_turns))
    for turn in range(1, n_turns):
        noise[:, :, turn] *= (1 - autocorrelation**2) ** 0.5
        noise[:, :, turn] += autocorrelation * noise[:, :, turn - 1]
    return ndtr(noise).astype(np.float32)


def _central(values: Array) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _named(autocorrelation: float) -> str:
    return {0.0: "independent", 1.0: "perfectly nested"}.get(autocorrelation, f"AR(1), {autocorrelation:g}")


def _all_but(wrong: Sequence[str], n: int) -> str:
    return f"in all rows but {', '.join(wrong)}" if wrong else f"in all {n} rows"


def _known(value: float | None) -> str:
    """A number to three decimals; a constant curve has no N-IR and no N-R2."""
    return "none" if value is None else f"{value:.3f}"


def _shown(estimate: Sequence[float], digits: int) -> str:
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; the first column is text, the others are numbers."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---", *["---:"] * (len(head) - 1)], *rows))
