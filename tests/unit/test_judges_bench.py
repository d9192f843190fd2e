"""The bench of alignment judges: what it plants is what it says, and its stored result is the stored table."""

import importlib.util

import numpy as np
import pandas as pd
import pytest

from aloe.params import ROOT

_SPEC = importlib.util.spec_from_file_location("judges", ROOT / "tests" / "bench" / "judges.py")
judges = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(judges)
UNIT = ["policy", "case", "turn"]


def test_errors_and_favours_are_planted_at_their_rates():
    rated, again, truth = judges.study(judges.Setting((0.0, 0.2, 0.2), (0.3, 0.3, 0.0)), seed=1)
    both = rated.merge(truth[[*UNIT, "level"]], on=UNIT, suffixes=("", "_true"))
    both["gap"] = both["level"] - both["level_true"]
    own = both[(both["judge"] == "judge-a") & (both["policy"] == "model-a")]
    other = both[(both["judge"] == "judge-a") & (both["policy"] != "model-a")]
    assert set(own["gap"]) == {0, 1}
    assert own["gap"].mean() == pytest.approx(0.3, abs=0.07)  # 400 draws: standard error 0.023
    assert (other["gap"] == 0).all()
    plain = both[both["judge"] == "judge-c"]
    assert (plain["gap"] != 0).mean() == pytest.approx(0.2, abs=0.04)  # 1,200 draws: standard error 0.012
    assert truth["level"].max() == 3  # so that a favour is never cut off
    assert again.groupby("run")["level"].apply(tuple).nunique() == 2


def test_the_mean_of_the_population_is_that_of_many_studies():
    nothing = judges.Setting((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    means = [judges.study(nothing, seed)[2]["level"].mean() for seed in range(10)]
    # a study's mean has a standard error of about 0.045 (half-width 0.09 in the stored table), ten of 0.014
    assert np.mean(means) == pytest.approx(judges.population_mean(), abs=0.05)


def test_the_stored_result_is_what_the_stored_table_says_and_meets_its_targets():
    text, good = judges.report(pd.read_csv(judges.OUT))
    assert text == judges.OUT.with_suffix(".md").read_text(encoding="utf-8")
    assert good
