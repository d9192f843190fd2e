"""Agreement of judges, self-preference and corrected means, against hand-derived values and planted truths."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from test_metrics import judgements

from aloe.agreement import (
    agreement_between,
    agreement_by_pair,
    agreement_with_truth,
    alpha,
    coincidences,
    common_scale,
    kappa,
    self_preference,
    self_preference_by_judge,
)
from aloe.calibrated import calibrated_mean, planned_labels

VALUES = [1.0, 2.0, 3.0, 4.0, 5.0]


def two_judges(one, other, n_profiles=None):
    """Judgements of arrays (n_cases, n_turns) by judges a and b."""
    return pd.concat(
        [judgements(one, judge="a", n_profiles=n_profiles), judgements(other, judge="b", n_profiles=n_profiles)]
    )


def test_weighted_kappa_by_hand_and_as_scikit_learn_has_it():
    # pairs (1,1), (1,2), (3,3): squared distances sum to 1. By chance: one has 1, 1, 3, other 1, 2, 3: all nine
    # combinations (0 + 1 + 4) x 2 + (4 + 1 + 0) = 15, over 3 is 5: kappa 1 - 1/5
    counts = np.zeros((5, 5))
    counts[0, 0] = counts[0, 1] = counts[2, 2] = 1
    assert kappa(counts, VALUES) == pytest.approx(0.8)
    one, other = np.random.default_rng(0).integers(1, 6, (2, 50))
    counts = np.zeros((5, 5))
    np.add.at(counts, (one - 1, other - 1), 1)
    assert kappa(counts, VALUES) == pytest.approx(cohen_kappa_score(one, other, weights="quadratic"))
    counts = np.zeros((5, 5))
    counts[2, 2] = 4
    assert kappa(counts, VALUES) is None


def test_judges_who_agree_have_alpha_and_kappa_one_and_those_who_guess_about_zero():
    rng = np.random.default_rng(1)
    levels, dice = rng.integers(1, 6, (2, 60, 4))
    same = two_judges(levels, levels, n_profiles=12)
    assert agreement_between(same, VALUES, "ordinal", 0.95) == pytest.approx((1, 1, 1))
    pair = agreement_by_pair(same, VALUES, 0.95).set_index("measure")
    assert pair["value"].to_dict() == {"exact": 1.0, "kappa": pytest.approx(1), "shift": 0.0}
    guess = two_judges(levels, dice, n_profiles=12)
    for level in ("ordinal", "nominal"):
        found = agreement_between(guess, VALUES, level, 0.95)
        assert found.low < 0 < found.high
        assert abs(found.value) < 0.2


def test_agreement_between_is_alpha_of_all_units_whatever_the_profiles():
    rng = np.random.default_rng(2)
    levels, other = rng.integers(1, 6, (2, 30, 4)).astype(float)
    other[3, 2] = math.nan  # a judge could not be read once
    frame = two_judges(levels, other, n_profiles=6)
    units = np.stack([levels.ravel(), other.ravel()], axis=1)
    wanted = alpha(coincidences(units, VALUES), VALUES, "ordinal")
    assert agreement_between(frame, VALUES, "ordinal", 0.95).value == pytest.approx(wanted)


def test_one_judge_agrees_with_nobody_and_no_rating_is_an_error():
    frame = judgements([[1, 2], [3, 4]])
    assert agreement_between(frame, VALUES, "ordinal", 0.95) is None
    assert agreement_by_pair(frame, VALUES, 0.95).empty
    with pytest.raises(ValueError, match="none"):
        agreement_between(frame.assign(level=math.nan), VALUES, "ordinal", 0.95)
    with pytest.raises(ValueError, match="more"):
        agreement_by_pair(pd.concat([frame, frame]), VALUES, 0.95)


def test_asked_again_a_judge_is_its_own_partner_on_any_scale():
    first = judgements([[0, 1], [1, 0]]).assign(run=1)
    again = judgements([[0, 1], [1, 1]]).assign(run=2)
    found = agreement_by_pair(pd.concat([first, again]), [0.0, 1.0], 0.95, rater="run").set_index("measure")
    assert found["value"]["exact"] == 0.75
    assert found["value"]["shift"] == -0.25
    # squared distances 1 of 4; chance: first has two 0 and two 1, again one 0 and three 1: (2 x 3 + 2 x 1) / 4 = 2
    assert found["value"]["kappa"] == pytest.approx(0.5)


def test_errors_are_counted_against_the_truth():
    truth = judgements([[1, 2], [3, 4]])[["policy", "case", "turn", "level"]]
    found = agreement_with_truth(two_judges([[1, 2], [3, 4]], [[2, 2], [4, 4]]), truth, VALUES, 0.95)
    wrong = found[found["measure"] == "error"].set_index("judge")
    assert wrong["value"].to_dict() == {"a": 0.0, "b": 0.5}
    assert found[(found["judge"] == "b") & (found["measure"] == "shift")]["value"].item() == 0.5
    # each of two profiles has one error of two: means 0.5 and 0.5, nothing varies between them
    assert wrong.loc["b", ["low", "high"]].tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="true level"):
        agreement_with_truth(judgements([[1, 2]], policy="q"), truth, VALUES, 0.95)


def favoured(offset, policies=("p", "q", "n"), judges=("jp", "jq", "jn")):
    """Quality by policy, strictness by judge, and the offset where the families match; constant over turns."""
    own, quality, strictness = (
        {("p", "jp"), ("q", "jq")},
        {"p": 2.0, "q": 3.0, "n": 1.5},
        {"jp": 0.0, "jq": -0.5, "jn": 0.25},
    )
    return pd.concat([
        judgements(
            np.full((6, 2), quality[policy] + strictness[judge] + offset * ((policy, judge) in own)), policy, judge
        )
        for policy in policies for judge in judges
    ])  # fmt: skip


FAMILIES = {"jp": "P", "jq": "Q"}, {"p": "P", "q": "Q"}


def test_self_preference_is_what_quality_and_strictness_leave():
    assert self_preference(favoured(0.75), *FAMILIES, 0.95) == pytest.approx((0.75, 0.75, 0.75))
    assert self_preference(favoured(0.0), *FAMILIES, 0.95) == pytest.approx((0, 0, 0), abs=1e-12)
    # with two families alone the difference in differences is twice the offset, and the fit knows that
    assert self_preference(favoured(0.5, ("p", "q"), ("jp", "jq")), *FAMILIES, 0.95).value == pytest.approx(0.5)


def test_self_preference_of_one_judge_or_one_policy_cannot_be_told():
    assert self_preference(favoured(0.5, judges=("jp",)), *FAMILIES, 0.95) is None
    assert self_preference(favoured(0.5, policies=("p",)), *FAMILIES, 0.95) is None
    assert self_preference(favoured(0.5), {}, {}, 0.95) is None  # no family at all


def test_the_corrected_mean_by_hand():
    # labels 2, 4 (profiles 0, 1), judge 3, 5, 4, 4 on all. People: mean 3, parts -0.5, 0.5 by profile. The judge on
    # labelled items has mean 4 = on all items; beyond: (-1 + 0)/4 - (-1)/2 = 0.25 and -0.25. Power: 0.25/0.125 = 2,
    # cut to 1: parts -0.25, 0.25; mean 3 + (4 - 4) = 3; variance 2 x 0.125 = 0.25; t(1) = 12.706
    found = calibrated_mean(np.array([3.0, 5, 4, 4]), np.array([2, 4, np.nan, np.nan]), np.array([0, 1, 0, 1]), 0.95)
    assert found.power == 1
    assert found.mean == pytest.approx((3, 3 - 12.706 * 0.5, 3 + 12.706 * 0.5), abs=1e-3)
    assert found.labels_alone == pytest.approx((3, 3 - 12.706, 3 + 12.706), abs=1e-3)
    assert found.judge == 4


def test_a_judge_who_is_always_one_too_high_is_corrected_and_shortens_the_interval():
    rng = np.random.default_rng(3)
    truth, clusters = rng.normal(3, 1, 2000), np.arange(2000) % 40
    labels = np.where(rng.permutation(2000) < 200, truth, np.nan)
    found = calibrated_mean(truth + 1, labels, clusters, 0.95)
    assert found.mean.value == pytest.approx(truth.mean(), abs=1e-9)
    # 2,000 items instead of 200: shorter by about sqrt(10)
    assert (found.labels_alone.high - found.labels_alone.low) > 2 * (found.mean.high - found.mean.low)
    useless = calibrated_mean(rng.normal(size=2000), labels, np.arange(2000) % 1000, 0.95)
    assert useless.power < 0.2
    assert useless.mean.value == pytest.approx(useless.labels_alone.value, abs=0.03)


def test_a_corrected_mean_needs_a_label_and_every_level_of_the_judge():
    nothing = np.full(3, np.nan)
    for judged, labels in ((np.ones(3), nothing), (nothing, np.ones(3)), (np.ones(2), np.ones(3))):
        with pytest.raises(ValueError, match="a label for one or more"):
            calibrated_mean(judged, labels, np.arange(3), 0.95)
    one = calibrated_mean(np.array([1.0, 2, 3]), np.array([1, np.nan, np.nan]), np.arange(3), 0.95)
    assert one.mean[1:] == (None, None)


def test_the_planned_number_of_labels_gives_the_half_width_that_was_asked_for():
    rng, n, r = np.random.default_rng(4), 1000, 0.8
    planned = planned_labels(0.15, 1.0, r, n, 20, intraclass=0.0)
    halves = []
    for _ in range(60):
        truth = rng.normal(3, 1, n)
        judged = r * truth + math.sqrt(1 - r**2) * rng.normal(size=n)
        labels = np.where(rng.permutation(n) < planned, truth, np.nan)
        found = calibrated_mean(judged, labels, np.arange(n) % 20, 0.95).mean
        halves.append((found.high - found.low) / 2)
    assert np.mean(halves) == pytest.approx(0.15, abs=0.015)  # each is known to 16%, their mean to 2%
    assert planned_labels(0.01, 1.0, 0.5, 1000, 20) is None
    assert planned_labels(0.15, 1.0, 0.5, 1000, 20) > planned_labels(0.15, 1.0, 0.9, 1000, 20)
    with pytest.raises(ValueError, match="half-width"):
        planned_labels(0.0, 1.0, 0.5, 1000, 20)


def test_two_judges_with_favours_of_their_own_are_told_apart_beside_a_policy_of_nobody():
    # quality 3, 2, 1 of a, b, c; judge A gives its own policy a 1 more, judge B is stricter by 1 and gives b 0.5 more
    quality, favour = {"a": 3.0, "b": 2.0, "c": 1.0}, {("A", "a"): 1.0, ("B", "b"): 0.5}
    frame = pd.concat([
        judgements(np.full((4, 2), quality[policy] - (judge == "B") + favour.get((judge, policy), 0.0)),
                   policy=policy, judge=judge)
        for policy in quality for judge in "AB"
    ])  # fmt: skip
    judges, policies = {"A": "x", "B": "y"}, {"a": "x", "b": "y"}
    found = self_preference_by_judge(frame, judges, policies, 0.95)
    assert {judge: estimate.value for judge, estimate in found.items()} == pytest.approx({"A": 1.0, "B": 0.5})
    # one offset for both is their mean, as each has one policy of two others
    assert self_preference(frame, judges, policies, 0.95).value == pytest.approx(0.75)
    without = frame[frame["policy"] != "c"]
    assert self_preference_by_judge(without, judges, policies, 0.95) == {"A": None, "B": None}
    assert self_preference(without, judges, policies, 0.95).value == pytest.approx(0.75)
    assert self_preference_by_judge(frame, {}, policies, 0.95) == {}


WORTH = {"p": (1.0, 2.0, 3.0, 4.0), "q": (3.0, 4.0, 5.0, 6.0), "n": (1.0, 3.0, 1.0, 3.0)}
"""Of a reply at four turns: policies have means 2.5, 4.5 and 2."""


def seen_by(slopes, favours=None, noise=0.0, judges=("jp", "jq", "jn"), n_profiles=6):
    """Judges who give slope x worth, their strictness, favours for their own policy, and noise of each."""
    rng, favours = np.random.default_rng(5), favours or {}
    strictness = {"jp": 1.0, "jq": 0.0, "jn": -0.5}
    own = {("p", "jp"), ("q", "jq")}
    return pd.concat([
        judgements(np.tile(worth, (n_profiles, 1)) * slopes[judge] + strictness[judge]
                   + favours.get(judge, 0.0) * ((policy, judge) in own)
                   + noise * rng.standard_normal((n_profiles, 4)), policy, judge)
        for policy, worth in WORTH.items() for judge in judges
    ])  # fmt: skip


def test_judges_who_move_less_with_worth_are_put_on_one_scale():
    # slopes 0.5, 1, 1 over their geometric mean 0.5^(1/3)
    found = common_scale(seen_by({"jp": 0.5, "jq": 1.0, "jn": 1.0}))
    assert found == pytest.approx({"jp": 0.5 ** (2 / 3), "jq": 0.5 ** (-1 / 3), "jn": 0.5 ** (-1 / 3)})
    # noise of each judge's own leaves what they have in common: 600 replies of standard deviation about 1 and noise
    # 0.5, so a ratio of slopes has a standard error of about 0.5 x sqrt(2 / 600) = 0.03
    noisy = common_scale(seen_by({"jp": 0.5, "jq": 1.0, "jn": 1.0}, noise=0.5, n_profiles=50))
    assert noisy["jp"] / noisy["jn"] == pytest.approx(0.5, abs=0.1)


def test_slopes_need_three_judges_who_go_together_and_rated_everything():
    alike = dict.fromkeys(("jp", "jq", "jn"), 1.0)
    assert common_scale(seen_by(alike)) == pytest.approx(alike)
    assert common_scale(seen_by(alike, judges=("jp", "jq"))) is None
    assert common_scale(seen_by(alike, n_profiles=1)) is None
    assert common_scale(seen_by(alike | {"jn": 0.0}, noise=1.0)) is None  # jn sees nothing of what replies are worth
    partly = seen_by(alike)
    assert common_scale(partly[(partly["judge"] != "jn") | (partly["policy"] != "q")]) is None
    assert common_scale(favoured(0.5)) is None  # constant within each policy


def test_a_judge_who_moves_less_is_not_taken_for_one_who_favours():
    # jp sees half of what replies are worth: it gives q, the best policy, less than the others do, and p and n more
    dull = {"jp": 0.5, "jq": 1.0, "jn": 1.0}
    found = self_preference_by_judge(seen_by(dull), *FAMILIES, 0.95)
    assert {judge: list(each) for judge, each in found.items()} == {
        "jp": pytest.approx([0, 0, 0], abs=1e-9), "jq": pytest.approx([0, 0, 0], abs=1e-9),
    }  # fmt: skip
    planted = {"jp": 0.5, "jq": 0.25}
    found = self_preference_by_judge(seen_by(dull, planted), *FAMILIES, 0.95)
    assert {judge: each.value for judge, each in found.items()} == pytest.approx(planted)  # in the judge's own levels
    assert self_preference(seen_by(dull, {"jp": 0.5, "jq": 0.5}), *FAMILIES, 0.95).value == pytest.approx(0.5)


def test_with_two_judges_levels_are_taken_as_they_are():
    # jp and jn; jp's levels minus jn's: p 1.25 - 2.5, q 2.25 - 4.5, n 1 - 2, and 1.5 more of strictness everywhere:
    # 0.25, -0.75, 0.5; p's minus the mean of the others, -0.125, is 0.375 although nobody favours
    found = self_preference_by_judge(seen_by({"jp": 0.5, "jn": 1.0}, judges=("jp", "jn")), *FAMILIES, 0.95)
    assert {judge: each.value for judge, each in found.items()} == {"jp": pytest.approx(0.375)}


def test_slopes_do_not_tell_apart_what_the_design_cannot():
    two = seen_by({"jp": 0.5, "jq": 1.0, "jn": 1.0})
    families = {"jp": "P", "jq": "Q", "jn": "Q"}, {"p": "P", "q": "Q", "n": "Q"}
    # jp has p, both others have q and n for their own: policies and strictness explain all of that
    assert self_preference_by_judge(two, *families, 0.95) == {"jp": None, "jq": None, "jn": None}
