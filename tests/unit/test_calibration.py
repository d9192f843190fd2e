"""The bench that calibrates intervals: it scores as the study does, and its studies are what it says."""

import importlib.util

import numpy as np
import pandas as pd
import pytest
from test_metrics import judgements

from aloe import metrics
from aloe.params import ROOT
from aloe.stranger_intervals import exchanged_estimate

_SPEC = importlib.util.spec_from_file_location("calibration", ROOT / "tests" / "bench" / "calibration.py")
calibration = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(calibration)

CELL = calibration.Cell("rounded", "fixed", (0.25, 0.0, 1.0), 0.3)


def cases(levels, policy):
    """Judgements of an array in the bench's order: profile 0 with its five personalities, then profile 1, ..."""
    order = np.arange(100).reshape(20, 5).T.ravel()  # `judgements` gives case i profile i % 20
    return judgements(levels[order], policy, n_profiles=20)


@pytest.mark.parametrize("slope", [0.0, 0.02, 0.03, 0.08])
def test_a_study_is_judged_as_the_projects_own_functions_judge_it(slope):
    levels = calibration.study(CELL._replace(slope=slope), np.random.default_rng(5))
    frames = [cases(levels[0], "a"), cases(levels[1], "b")]
    own = metrics.summarise(frames[0], 0.95, calibration.N_NULL, seed=3)
    gap = metrics.paired_difference(pd.concat(frames), "a", "b")
    band = own["n_ir_null_band"]
    expected = [not own["ir_ci"][0] <= 0 <= own["ir_ci"][1]]
    expected += [not estimate.low <= 0 <= estimate.high for estimate in (gap.al_mean, gap.ir)]
    weights, beside = calibration.slope_weights(10), levels[0] - levels[2]
    linear = (np.full(10, 0.1), weights)
    against = [exchanged_estimate(levels[0] @ w, levels[2] @ w, calibration.STRANGERS, 0.95) for w in linear]
    expected += [not estimate.low <= 0 <= estimate.high for estimate in against]
    expected += [not band[0] <= own["n_ir"] <= band[1], own["n_r2"] > own["n_r2_null_band"][1]]
    plain = calibration.mean_estimate(beside.mean(axis=1), calibration.PROFILES, 0.95)
    expected += [not plain.low <= 0 <= plain.high]
    found = calibration.found(levels, seed=3)
    assert list(found[:8]) == expected
    assert len(found) == len(calibration.CHECKS)
    assert np.isnan(calibration.found(levels, 3, two_way=False)[8:]).all()
    weights, difference = calibration.slope_weights(10), levels[0] - levels[1]
    for values, (low, high) in ((levels[0] @ weights, own["ir_ci"]), (difference.mean(axis=1), gap.al_mean[1:]),
                                (difference @ weights, gap.ir[1:])):  # fmt: skip
        assert calibration.mean_estimate(values, calibration.PROFILES, 0.95)[1:] == pytest.approx((low, high))
    again = metrics._null_bands(metrics._Cases(levels[0], calibration.PROFILES), 0.95, calibration.N_NULL, 3)
    assert again.n_ir == pytest.approx(tuple(band))


def test_levels_have_the_variance_autocorrelation_and_sharing_that_were_asked_for():
    rng = np.random.default_rng(0)
    cell = calibration.Cell("continuous", "fixed", (0.25, 0.0, 1.0), 0.6)
    studies = np.array([calibration.study(cell, rng) for _ in range(60)]) - 3  # (studies, arms and strangers, ...)
    arms, stranger = studies[:, :2], studies[:, 2]
    assert arms.var() == pytest.approx(0.64 * 1.25, rel=0.05)  # (0.8)^2 x (0.25 + 1)
    assert (arms[..., 1:] * arms[..., :-1]).mean() / arms.var() == pytest.approx(0.6, abs=0.03)
    assert (arms[:, 0] * arms[:, 1]).mean() / arms.var() == pytest.approx(0.5, abs=0.03)
    together = (arms[:, :, ::5] * arms[:, :, 1::5]).mean() / arms.var()  # two cases of a profile: 0.25 / 1.25
    assert together == pytest.approx(0.2, abs=0.04)
    # for a stranger: the same variance; sqrt(0.5) of the case's effect on the own level is in it: sqrt(0.5) / 1.25
    assert stranger.var() == pytest.approx(0.64 * 1.25, rel=0.05)
    assert (arms[:, 0] * stranger).mean() / arms.var() == pytest.approx(0.566, abs=0.04)
    judged = calibration.STRANGERS.stranger_profiles * 5  # the first case of the profile that is judged
    alike = (stranger * arms[:, 0, judged]).mean() / arms.var()  # the stranger's profile: 0.25 / 1.25
    assert alike == pytest.approx(0.2, abs=0.04)


def test_fixed_personalities_are_nought_on_average_of_the_five_and_drawn_ones_are_not():
    mix = (0.0, 1.0, 0.0)
    for kind, nought in (("fixed", True), ("drawn", False)):
        levels = calibration.study(calibration.Cell("continuous", kind, mix, 0.0), np.random.default_rng(1))
        assert np.allclose(levels.mean(axis=1), 3) is nought
        assert np.allclose(levels[:2, :5], levels[:2, 5:10])  # the next profile meets the same five


def test_every_case_is_judged_as_a_stranger_of_another_profile_and_personality_exactly_once():
    who = calibration.STRANGERS
    assert (who.profiles != who.stranger_profiles).all()
    assert (who.personalities != who.stranger_personalities).all()
    assert len(set(zip(who.stranger_profiles, who.stranger_personalities, strict=True))) == 100


def test_rounded_levels_are_1_to_5_and_a_slope_starts_at_nought_in_the_first_arm_only():
    rounded = calibration.study(CELL, np.random.default_rng(2))
    assert set(np.unique(rounded)) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    flat, steep = (calibration.study(CELL._replace(levels="continuous", slope=slope), np.random.default_rng(2))
                   for slope in (0.0, 0.1))  # fmt: skip
    assert steep[0] - flat[0] == pytest.approx(np.tile(0.1 * np.arange(10), (100, 1)))
    assert np.array_equal(steep[1:], flat[1:])


def test_a_missed_target_is_named_and_the_ends_of_a_target_are_met():
    good = dict.fromkeys(calibration.CHECKS, 0.05) | {"ir": 0.03, "dal": 0.07, "n_ir_outside": 0.07}
    assert calibration.missed(good) == []
    assert calibration.missed(good | {"ir": 0.029, "n_ir_outside": 0.02}) == ["ir", "n_ir_outside"]
    assert calibration.missed(good | {"dal_profile_means": 0.0, "ir_two_way": 0.0}) == []  # without a target


def test_the_stored_result_is_what_the_stored_table_says():
    rows = pd.read_csv(calibration.OUT)
    done = [(row.personalities, (row.profile, row.personality, row.case), row.autocorrelation, row.slope)
            for row in rows.itertuples()]  # fmt: skip
    wanted = [(cell.personalities, cell.mix, cell.autocorrelation, cell.slope) for cell in calibration.cells()]
    assert done == wanted[: len(done)]  # in order, so that `--resume` goes on where a run was cut off
    assert calibration.report(rows)[0] == calibration.OUT.with_suffix(".md").read_text(encoding="utf-8")
