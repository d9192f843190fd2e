"""Side by side: Holm, p-values, two-way intervals, the interval against strangers, null bands, variance split."""

import doctest
import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_metrics import judgements

from aloe import comparisons, metrics
from aloe.comparisons import ENDS, both_intervals, compare, halves
from aloe.intervals import holm, mean_estimate, p_value, two_way_estimate
from aloe.null_bands import null_bands
from aloe.stranger_intervals import FLOOR, Exchange, exchanged_estimate
from aloe.variance import variance_split


def test_docstring_examples_are_true():
    assert doctest.testmod(comparisons).failed == 0


def test_holm_multiplies_the_smallest_by_all_and_never_falls_back():
    # of four: 0.005 x 4 = 0.02; 0.011 x 3 = 0.033; 0.02 x 2 = 0.04; 0.03 x 1 = 0.03, but not below 0.04
    assert holm([0.02, 0.005, 0.03, 0.011]) == pytest.approx([0.04, 0.02, 0.04, 0.033])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([0.7, 0.9, 0.8]) == [1.0, 1.0, 1.0]
    assert holm([]) == []
    assert holm([None, 0.2]) == [None, 0.2]


def test_a_p_value_is_that_of_t_on_profile_means():
    # profile means 1, 2, 3, 6: mean 3, sd sqrt(14/3), error sqrt(14/3)/2 = 1.0801, t = 2.7775 on 3 df
    values, clusters = np.array([1.0, 2, 3, 6]), np.arange(4)
    assert p_value(values, clusters) == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=1e-9)
    for confidence in (0.9, 0.95, 0.99):
        low = mean_estimate(values, clusters, confidence).low
        assert (low > 0) is (p_value(values, clusters) < 1 - confidence)
    assert p_value(np.ones(4), np.zeros(4, dtype=int)) is None
    assert p_value(np.zeros(4), clusters) is None
    assert p_value(np.ones(4), clusters) == 0.0


def test_the_two_way_interval_by_hand():
    # rows 0, 1 x columns 0, 1: levels [[1, 3], [5, 7]]: mean 4; row means 2, 6: 8/2 = 4 is the variance of their mean;
    # column means 3, 5: 2/2 = 1; nothing is left without both. Variance 5; df 25 / (16 + 1) = 1.4706
    rows, columns = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    found = two_way_estimate(np.array([1.0, 3, 5, 7]), rows, columns, 0.95)
    half = stats.t.ppf(0.975, 25 / 17) * math.sqrt(5)
    assert found == pytest.approx((4, 4 - half, 4 + half), rel=1e-6)
    assert two_way_estimate(np.array([1.0, 3]), np.array([0, 1]), np.array([0, 0]), 0.95) == (2.0, None, None)


def test_the_two_way_interval_never_claims_to_know_more_than_either_way_alone():
    rng = np.random.default_rng(0)
    rows, columns = np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6)
    for _ in range(30):
        values = rng.normal(size=24)
        means = values.reshape(6, 4).mean(axis=1)
        _, low, high = two_way_estimate(values, rows, columns, 0.95)
        assert (high - low) / 2 >= 1.959 * means.std(ddof=1) / math.sqrt(6)


def test_personalities_that_differ_widen_the_two_way_interval_and_not_the_primary_one():
    rng = np.random.default_rng(1)
    rows, columns = np.repeat(np.arange(20), 5), np.tile(np.arange(5), 20)
    values = rng.normal(size=100) + np.array([-3, -1, 0, 1, 3])[columns]
    _, low, high = mean_estimate(values, rows, 0.95)
    _, wide_low, wide_high = two_way_estimate(values, rows, columns, 0.95)
    assert high - low < 0.6  # errors of 1 in 100 cases: 2 x 2.09 x 0.1 = 0.42
    # column means spread with variance (9 + 1 + 0 + 1 + 9) / 4 = 5: 2 x 2.78 x sqrt(5 / 5) = 5.6
    assert 4.5 < wide_high - wide_low < 7


def grid(n_profiles, n_personalities):
    profiles = np.repeat(np.arange(n_profiles), n_personalities)
    personalities = np.tile(np.arange(n_personalities), n_profiles)
    step = 1 + profiles % (n_personalities - 1)
    return Exchange(profiles, personalities, (profiles + 1) % n_profiles, (personalities + step) % n_personalities)


def test_what_profiles_do_to_a_judge_leaves_the_interval_against_strangers():
    who, rng = grid(20, 5), np.random.default_rng(2)
    own, stranger = rng.normal(size=(2, 100))
    judged = rng.normal(0, 3, 20)
    plain = exchanged_estimate(own, stranger, who, 0.95)
    found = exchanged_estimate(own + judged[who.profiles], stranger + judged[who.stranger_profiles], who, 0.95)
    assert found.value == pytest.approx(plain.value)  # every profile is judged once as itself and once as a stranger
    naive = mean_estimate(own - stranger + judged[who.profiles] - judged[who.stranger_profiles], who.profiles, 0.95)
    assert naive.high - naive.low > 2.5 * (found.high - found.low)  # sd 3 sqrt(2) of profile means beside sqrt(2 / 5)


def test_profiles_for_whom_the_difference_differs_widen_the_interval_against_strangers():
    who, rng = grid(20, 5), np.random.default_rng(3)
    own, stranger = rng.normal(size=(2, 100))
    even = exchanged_estimate(own, stranger, who, 0.95)
    found = exchanged_estimate(own + rng.normal(0, 3, 20)[who.profiles], stranger, who, 0.95)
    # sd of profile means about 3: half-width about 2.09 x 3 / sqrt(20) = 1.4
    assert even.high - even.low < 1.2 < 2 < found.high - found.low < 4


def test_the_interval_against_strangers_rests_on_cases_where_clusters_say_nothing():
    who = grid(4, 3)
    gap = np.array([1.0, -1, 0] * 4)  # all profile means are 0: what is left has a variance of its own
    found = exchanged_estimate(gap, np.zeros(12), who, 0.95)
    codes = (who.profiles, who.personalities, who.stranger_personalities)
    design = np.hstack([np.eye(code.max() + 1)[code] for code in codes])
    left, rank = gap - design @ np.linalg.pinv(design) @ gap, np.linalg.matrix_rank(design)
    half = stats.t.ppf(0.975, 12 - rank) * math.sqrt(FLOOR * (left @ left) / (12 - rank) / 12)
    assert found == pytest.approx((0, -half, half), abs=1e-9)
    assert exchanged_estimate(gap[:3], np.zeros(3), Exchange(*(part[:3] for part in who)), 0.95) == (0.0, None, None)


def test_null_bands_are_symmetric_do_not_depend_on_the_unit_and_allow_for_few_clusters():
    rng = np.random.default_rng(4)
    levels, clusters = rng.normal(3, 1, (100, 10)), np.repeat(np.arange(20), 5)
    bands = null_bands(levels, clusters, 0.95, 4000, 0)
    assert bands.n_ir[0] == -bands.n_ir[1]
    again = null_bands(7 * levels + 2, clusters, 0.95, 4000, 0)
    assert np.allclose(again.n_ir, bands.n_ir, rtol=1e-6)


def test_few_clusters_get_a_wider_null_band_than_if_their_covariance_were_known(monkeypatch):
    rng = np.random.default_rng(4)
    studies = [rng.normal(3, 1, (12, 10)) for _ in range(20)]
    corrected = [null_bands(levels, np.arange(12), 0.95, 4000, 0).n_ir[1] for levels in studies]
    monkeypatch.setattr("aloe.null_bands._calibrated", lambda own, again, confidence: np.quantile(own, confidence))
    plain = [null_bands(levels, np.arange(12), 0.95, 4000, 0).n_ir[1] for levels in studies]
    # noise of the same curves; the correction is one of level, 0.95 to about 0.96 or 0.97
    assert sum(wide > narrow for wide, narrow in zip(corrected, plain, strict=True)) >= 18
    assert np.mean(corrected) > 1.03 * np.mean(plain)


def test_two_turns_always_look_like_a_straight_line_and_their_band_says_so():
    levels = np.random.default_rng(5).normal(size=(20, 2))
    bands = null_bands(levels, np.arange(20), 0.95, 200, 0)
    assert bands.n_ir == pytest.approx((-1, 1))
    assert bands.n_r2 == pytest.approx((0, 1))


def test_cases_that_keep_their_level_have_no_band():
    levels = np.tile([[1.0], [3], [5]], (1, 10))
    assert null_bands(levels, np.arange(3), 0.95, 200, 0) is None


def test_differences_shown_together_are_corrected_together():
    rng = np.random.default_rng(6)
    frame = pd.concat([judgements(rng.normal(3 + shift, 1, (40, 4)), name, n_profiles=8)
                       for name, shift in (("a", 0.0), ("b", 0.4), ("c", 0.5))])  # fmt: skip
    table = compare(frame, [("b", "a"), ("c", "a"), ("c", "b")], 0.95)
    assert table["difference"].tolist() == ["b - a", "c - a", "c - b"]
    by_hand = metrics.paired_difference(frame, "c", "a")
    for name, estimate in (("al_mean", by_hand.al_mean), ("ir", by_hand.ir)):
        assert table.loc[1, [name, f"{name}_low", f"{name}_high"]].tolist() == pytest.approx(list(estimate))
    shown = [*table["al_mean_p"], *table["ir_p"]]
    assert [*table["al_mean_p_holm"], *table["ir_p_holm"]] == pytest.approx(holm(shown))
    assert min(table["al_mean_p_holm"]) == pytest.approx(6 * min(shown))  # six tests stand in the table


def test_differences_use_only_cases_complete_for_both_and_none_is_an_error():
    frame = pd.concat([judgements([[2, 4], [3, 5], [5, 5]], "a"), judgements([[1, 2], [1, 2], [math.nan, 1]], "b")])
    assert compare(frame, [("a", "b")], 0.95)["n_cases"].tolist() == [2]
    assert compare(frame, [], 0.95).empty
    apart = pd.concat([judgements([[2, 4], [math.nan, 5]], "a"), judgements([[math.nan, 2], [1, 2]], "b")])
    with pytest.raises(ValueError, match="no case is complete"):
        compare(apart, [("a", "b")], 0.95)


def test_every_number_of_a_policy_has_both_intervals_and_those_of_the_summary():
    frame = judgements(np.random.default_rng(7).normal(3, 1, (40, 4)) + np.arange(4), n_profiles=8)
    frame = frame.assign(level_shuffled=frame["level"] - 1 + 0.1 * frame["turn"])
    summary = metrics.summarise(frame, 0.95, 50, 0)
    [row] = both_intervals(frame, {frame["policy"][0]: summary}, 0.95).to_dict("records")
    names = [
        "al_mean",
        "ir",
        "n_ir",
        "r2",
        "dal",
        "dal_ir",
        *(f"{kind}_{k}" for kind in ("al", "dal") for k in range(1, 5)),
    ]
    assert sorted(row) == sorted(["policy", *(f"{name}{end}" for name in names for end in ENDS[:5])])
    for name in ("al_mean", "ir", "n_ir", "r2", "dal", "dal_ir"):
        assert [row[name], row[f"{name}_low"], row[f"{name}_high"]] == pytest.approx(
            [summary[name], *summary[f"{name}_ci"]]
        )
    assert row["dal_3_low"] == summary["dal_by_turn_ci"][2][0]
    wide = frame.pivot(index=["case", "profile_id", "personality_id"], columns="turn", values="level")
    codes = [pd.factorize(wide.index.get_level_values(i))[0] for i in (1, 2)]
    by_hand = two_way_estimate(wide[3].to_numpy(), *codes, 0.95)
    assert [row["al_3"], row["al_3_two_way_low"], row["al_3_two_way_high"]] == pytest.approx(list(by_hand))


def test_the_two_way_interval_of_n_ir_is_that_of_ir_where_the_range_is_known():
    # every case runs from 1 to 3 over three turns; only the middle differs, so N-IR = IR / 2, which does not vary
    middle = np.random.default_rng(1).uniform(1, 3, 20)
    frame = judgements(np.stack([np.ones(20), middle, np.full(20, 3.0)], axis=1), n_profiles=5)
    [row] = both_intervals(frame, {frame["policy"][0]: metrics.summarise(frame, 0.95, 50, 0)}, 0.95).to_dict("records")
    assert [row["n_ir"], row["n_ir_two_way_low"], row["n_ir_two_way_high"]] == pytest.approx([0.5] * 3)
    # R2 varies with the mean m of the middles alone: its linear part is dR2/dm times the middles
    codes = [pd.factorize(frame.drop_duplicates("case")[key])[0] for key in ("profile_id", "personality_id")]
    m, step = middle.mean(), 1e-6
    slope = (metrics.improvement([1, m + step, 3]).r2 - metrics.improvement([1, m - step, 3]).r2) / (2 * step)
    by_hand = two_way_estimate(slope * middle, *codes, 0.95)
    assert row["r2"] - row["r2_two_way_low"] == pytest.approx(by_hand.value - by_hand.low, rel=1e-3)
    assert row["r2"] < row["r2_two_way_high"] <= 1


def test_what_a_policy_lacks_is_missing_in_the_table_of_both_intervals():
    frame = judgements([[3, 3], [3, 3]])
    [row] = both_intervals(frame, {frame["policy"][0]: metrics.summarise(frame, 0.95, 50, 0)}, 0.95).to_dict("records")
    assert row["al_mean"] == 3
    assert all(math.isnan(row[name]) for name in ("n_ir", "r2", "r2_low", "r2_two_way_low", "dal", "dal_ir_low"))
    assert "dal_1" not in row


def repeated(variances, sizes, seed):
    """Scores with normal effects of each named combination of columns."""
    rng, names = np.random.default_rng(seed), list(sizes)
    frame = pd.DataFrame(itertools.product(*map(range, sizes.values())), columns=names)
    frame["level"] = 3.0
    for term, variance in variances.items():
        effects = rng.normal(0, math.sqrt(variance), [sizes[name] for name in term])
        frame["level"] += effects[tuple(frame[name] for name in term)]
    return frame


def test_the_variance_split_finds_what_was_planted():
    planted = {("case",): 1.0, ("seed",): 0.3, ("judge",): 0.2, ("seed", "case"): 0.5, ("seed", "judge", "case"): 0.4}
    sizes = {"seed": 12, "judge": 12, "case": 40}
    found = [variance_split(repeated(planted, sizes, i), "case", ["seed", "judge"]).set_index("component")["variance"]
             for i in range(12)]  # fmt: skip
    mean = pd.DataFrame(found).mean()
    wanted = {"case": 1.0, "seed": 0.3, "judge": 0.2, "seed x case": 0.5, "judge x case": 0.0, "rest": 0.4}
    for component, variance in wanted.items():
        # twelve levels give a standard deviation of variance x sqrt(2 / 11) = 0.43 of it, twelve studies 0.12 of it
        assert mean[component] == pytest.approx(variance, rel=0.4, abs=0.03), component


def test_the_variance_split_of_a_balanced_design_is_that_of_the_analysis_of_variance():
    # 2 seeds x 2 cases, twice each: means of cases 2 and 6, of seeds 3.5 and 4.5, cells [1.5, 2.5], [5.5, 6.5]; within
    # cells +-0.5, so the rest is 0.5. Of cell means nothing is left without both (interaction 0): expected mean
    # squares give interaction (0 - 0.5) / 2 < 0, so 0 here; case and seed stay above 0
    rows = [(seed, case, 1.5 + 4 * case + seed + shift) for seed in (0, 1) for case in (0, 1) for shift in (-0.5, 0.5)]
    table = variance_split(pd.DataFrame(rows, columns=["seed", "case", "level"]), "case", ["seed"])
    found = table.set_index("component")["variance"]
    assert found["seed x case"] == 0
    assert found["case"] > 5 > found["seed"] > 0.1
    assert table["share"].sum() == pytest.approx(1)
    assert table.set_index("component").loc["case", "of_mean"] == pytest.approx(found["case"] / 2)  # two cases


def test_sources_that_cannot_be_told_apart_are_refused():
    frame = repeated({("case",): 1.0}, {"seed": 3, "case": 5}, 0)
    with pytest.raises(ValueError, match="cannot be told apart"):
        variance_split(frame.assign(judge=frame["seed"]), "case", ["seed", "judge"])
    with pytest.raises(ValueError, match="'judge' has one level"):
        variance_split(frame.assign(judge=0), "case", ["seed", "judge"])
    with pytest.raises(ValueError, match="missing"):
        variance_split(frame.assign(level=math.nan), "case", ["seed"])
    with pytest.raises(ValueError, match="no row"):
        variance_split(frame.iloc[:0], "case", ["seed"])


def test_a_lead_that_is_gone_late_is_seen_in_the_halves():
    # a leads b by 1, 1 | 0, -1, 0 in every case: early mean 1, late (with the turn in the middle) -1/3
    curves = {"a": [3, 4, 4, 4, 5], "b": [2, 3, 4, 5, 5]}
    frame = pd.concat([judgements([curve] * 3, policy) for policy, curve in curves.items()])
    (row,) = halves(frame, [("a", "b")], 0.95).to_dict("records")
    assert (row["early"], row["late"]) == pytest.approx((1, -1 / 3))
    assert (row["early_low"], row["early_high"]) == (1, 1)  # all cases alike
    assert row["early_p_holm"] == row["late_p_holm"] == 0
    (whole,) = compare(frame, [("a", "b")], 0.95).to_dict("records")
    assert whole["al_mean"] == pytest.approx((2 * row["early"] + 3 * row["late"]) / 5)
