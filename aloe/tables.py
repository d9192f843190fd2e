"""Numbers as people read them in a table: rounded, counted in whole, and a dash where there is none.

In: frames and nested dicts of numbers. Out: frames of text, for display only. This module knows no file.
"""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import pandas as pd

from aloe.findings import NBSP, NONE, enough_digits

pd.set_option("display.max_colwidth", None)  # a sentence in a cell is shown whole


def rounded(frame: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """Every number of a frame as text.

    >>> rounded(pd.DataFrame({"calls": [136.0, None], "usd": [0.12345, 2.0]}), 2).to_dict("list")
    {'calls': ['136', '–'], 'usd': ['0.12', '2.00']}
    """
    return pd.DataFrame({name: _texts(frame[name], digits) for name in frame.columns}, index=frame.index)


def with_intervals(
    frame: pd.DataFrame, ends: Mapping[str, tuple[str, str]], digits: int = 2, p: Sequence[str] = ()
) -> pd.DataFrame:
    """`rounded`, with each value and its interval in one column.

    Args:
        frame: numbers.
        ends: by column of values, the columns of its lower and upper end, which are left out of the result.
        p: columns of p-values, where a small one is no 0.

    >>> frame = pd.DataFrame({"share": [0.5, 1.0], "low": [0.25, None], "high": [0.75, None]})
    >>> with_intervals(frame, {"share": ("low", "high")})["share"].str.replace(NBSP, " ").tolist()
    ['0.50 [0.25, 0.75]', '1.00']
    """
    gone = {name for pair in ends.values() for name in pair}
    shown = rounded(frame.drop(columns=list(gone)), digits)
    for name, (low, high) in ends.items():
        rows = zip(frame[name].astype(object), frame[low].astype(object), frame[high].astype(object), strict=True)
        shown[name] = [_with_interval(*row, digits) for row in rows]
    for name in p:
        shown[name] = [p_text(value) for value in frame[name].astype(float)]
    return shown


def p_text(p: float) -> str:
    """A p-value as text, a dash for NaN.

    >>> p_text(0.0412), p_text(3e-9)
    ('0.041', '<0.001')
    """
    return NONE if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def interval_table(found: Mapping[str, Mapping[str, Any]], digits: int = 2) -> pd.DataFrame:
    """One row per name, one column per measure: value and interval of each `Estimate`, a dash where it is None.

    >>> shown = interval_table({"a - b": {"words": (1.0, 0.5, 1.5), "level": None}})
    >>> shown.replace(NBSP, " ", regex=True).to_dict("index")
    {'a - b': {'words': '1.00 [0.50, 1.50]', 'level': '–'}}
    """
    rows = {
        name: {key: NONE if e is None else _with_interval(e[0], e[1], e[2], digits) for key, e in measures.items()}
        for name, measures in found.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def flat(section: Mapping[str, Any], digits: int = 3) -> pd.DataFrame:
    """A nested record, such as a stage's part of `metrics.json`, as one line per value.

    >>> flat({"n": 3, "labels": {"tie": 7}, "ci": [0.12345, None]})["value"].to_dict()
    {'n': '3', 'labels.tie': '7', 'ci': '[0.123, –]'}
    """
    values = pd.Series(dict(_leaves("", section)), dtype=object).map(lambda value: _text(value, digits))
    return values.rename_axis("key").to_frame("value")


def _with_interval(value: Any, low: Any, high: Any, digits: int) -> str:
    if all(isinstance(end, Real) and math.isfinite(float(end)) for end in (low, high)):
        digits = enough_digits(digits, low, high)
    ends = [_text(end, digits) for end in (low, high)]
    return _text(value, digits) + ("" if NONE in ends else f" [{ends[0]},{NBSP}{ends[1]}]")


def _leaves(prefix: str, value: Any) -> "list[tuple[str, Any]]":
    if not isinstance(value, Mapping):
        return [(prefix, value)]
    return [leaf for key, inner in value.items() for leaf in _leaves(f"{prefix}.{key}" if prefix else str(key), inner)]


def _texts(column: "pd.Series[Any]", digits: int) -> "pd.Series[str]":
    """Text of a column: counts stay whole where all its numbers are."""
    numbers = [value for value in column if isinstance(value, Real) and not pd.isna(value)]
    whole = all(float(value).is_integer() for value in numbers)
    return column.astype(object).map(lambda value: _text(value, 0 if whole else digits, whole))


def _text(value: Any, digits: int, whole: bool = False) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item, digits) for item in value)}]"
    if value is None or (isinstance(value, float) and pd.isna(value)) or value is pd.NA:
        return NONE
    if isinstance(value, bool) or not isinstance(value, Real):
        return str(value)
    return f"{value:,.0f}" if whole or isinstance(value, Integral) else f"{value:z,.{digits}f}"
