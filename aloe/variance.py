"""Where the variance of a score comes from, when runs were repeated: training seed, simulator, judge, case.

In: a frame with a row per score and columns that say what it came from. Out: components of variance. Method: half the
squared difference of two scores has on average the sum of the components in which the two differ, whatever the
design; the components are fitted to those averages over all pairs of rows (Koch 1968, Technometrics 10). In balanced
designs without repeats this needs no normality. This module does not know what a seed or a judge is.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from aloe.intervals import Array


def variance_split(frame: pd.DataFrame, unit: str, sources: Sequence[str], value: str = "level") -> pd.DataFrame:
    """Components of variance of `value`: of the unit, of each source, of each source within a unit, and the rest.

    A source's own component says how far it shifts all units alike (a lenient judge); "source x unit" how far it
    shifts single ones (a judge who errs). Components that would come out negative are 0, and the others are fitted
    without them. What sources do only together is in the rest, which needs two sources or repeated rows.

    Args:
        frame: a row per score; columns unit, sources, value.
        unit: what is measured again and again, such as the case.
        sources: what is repeated, such as ("seed", "simulator", "judge"); each must take two levels or more.
        value: of the score.

    Returns: columns `component`, `variance` (of a single score), `share` of their sum, `n` (levels seen), `of_mean`
        (what the component adds to the variance of the mean over all rows) and `share_of_mean`.

    Raises:
        ValueError: a score is missing, a column never changes, or two columns always change together, so that
            nothing tells them apart.
    """
    names = [unit, *sources]
    if frame.empty or frame[[*names, value]].isna().any(axis=None):
        raise ValueError("a score in every row expected, got " + ("no row" if frame.empty else "missing values"))
    single = [name for name in names if frame[name].nunique() < 2]
    if single:
        raise ValueError(f"{single[0]!r} has one level only: its variance cannot be told from the mean")
    pairs = _pairs(frame, names, value)
    terms: list[tuple[str, ...]] = [(unit,), *((name,) for name in sources), *((name, unit) for name in sources)]
    repeated = any(not differ and n > 0 for differ, (n, _) in pairs.items())
    if len(sources) > 1 or repeated:
        terms.append(())
    seen = [(differ, n, mean) for differ, (n, mean) in pairs.items() if n > 0]
    design = np.array([[1.0 if not term or set(term) & differ else 0.0 for term in terms] for differ, _, _ in seen])
    weights = np.sqrt(np.array([n for _, n, _ in seen]))
    if np.linalg.matrix_rank(design) < len(terms):
        raise ValueError(f"the components of {', '.join(names)} cannot be told apart: some always change together")
    found, _ = nnls(design * weights[:, None], np.array([mean for _, _, mean in seen]) * weights)
    return _table(frame, terms, np.asarray(found))


def _table(frame: pd.DataFrame, terms: Sequence[tuple[str, ...]], found: Array) -> pd.DataFrame:
    rows = []
    for term, variance in zip(terms, found, strict=True):
        sizes = frame.groupby(list(term)).size().to_numpy() if term else np.ones(len(frame))
        shares = sizes / len(frame)
        rows.append((" x ".join(term) or "rest", variance, len(sizes), variance * float(shares @ shares)))
    table = pd.DataFrame(rows, columns=["component", "variance", "n", "of_mean"])
    table.insert(2, "share", table["variance"] / max(table["variance"].sum(), 1e-300))
    table["share_of_mean"] = table["of_mean"] / max(table["of_mean"].sum(), 1e-300)
    return table


def _pairs(frame: pd.DataFrame, names: Sequence[str], value: str) -> dict[frozenset[str], tuple[float, float]]:
    """For each set of columns in which two rows may differ: ordered pairs of rows that do, and their mean half square.

    Counted for pairs that agree at least in a set (sums by group), then for those that agree in no more.
    """
    level = frame[value].astype(float) - float(frame[value].astype(float).mean())
    table = frame[list(names)].assign(sum=level, square=level**2, n=1.0)
    agree: dict[frozenset[str], Array] = {}
    for size in range(len(names), -1, -1):
        for same in itertools.combinations(names, size):
            parts = table.groupby(list(same))[["n", "sum", "square"]].sum() if same else table[["n", "sum", "square"]]
            if not same:
                parts = parts.sum().to_frame().T
            n, total, square = parts.to_numpy().T
            pairs = np.array([(n * (n - 1)).sum(), (n * square - total**2).sum()])  # squares: half of ordered pairs'
            more = [found for other, found in agree.items() if set(same) < other]
            agree[frozenset(same)] = pairs - np.sum(more, axis=0) if more else pairs
    return {frozenset(names) - same: (float(found[0]), float(found[1] / found[0]) if found[0] > 0.5 else 0.0)
            for same, found in agree.items()}  # fmt: skip
