"""Tables for people: whole counts, rounded numbers, dashes."""

import doctest

import numpy as np
import pandas as pd

from aloe import tables


def test_docstring_examples_are_true():
    assert doctest.testmod(tables).failed == 0


def test_a_small_p_value_is_no_zero():
    frame = pd.DataFrame({"gap": [1.0, 0.0], "p": [1e-7, None]})
    assert tables.with_intervals(frame, {}, 3, ["p"])["p"].tolist() == ["<0.001", "–"]


def test_counts_stay_whole_and_a_missing_number_is_a_dash():
    frame = pd.DataFrame({"n": [1200.0, np.nan], "share": [0.25, np.nan], "kept": [True, False], "who": ["ann", None]})
    shown = tables.rounded(frame, 2)
    assert shown.to_numpy().tolist() == [["1,200", "0.25", "True", "ann"], ["–", "–", "False", "–"]]


def test_numbers_of_numpy_and_missing_integers_are_read_too():
    frame = pd.DataFrame({"n": pd.array([3000, None], dtype="Int64"), "m": np.array([1, 2])}, index=["a", "b"])
    assert tables.rounded(frame).loc["a"].tolist() == ["3,000", "1"]
    assert tables.rounded(frame).loc["b"].tolist() == ["–", "2"]


def test_a_nested_record_has_one_line_per_value():
    shown = tables.flat({"a": {"b": {"c": 0.123456}, "n": np.int64(5)}, "none": None})
    assert shown["value"].to_dict() == {"a.b.c": "0.123", "a.n": "5", "none": "–"}
