"""Policies at equal reply length: hand-derived values, a planted effect of length, and what cannot be said."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from aloe.equal_length import at_equal_length


def replies(policy, levels, words, n_profiles=None):
    """Judgements and word counts from arrays (n_cases, n_turns); case i has profile i % n_profiles."""
    levels, words = np.asarray(levels, dtype=float), np.asarray(words)
    n = n_profiles or len(levels)
    rows = [
        (policy, f"c{i}", f"p{i % n}", "t", turn + 1, "j", levels[i, turn], words[i, turn])
        for i in range(levels.shape[0]) for turn in range(levels.shape[1])
    ]  # fmt: skip
    return pd.DataFrame(
        rows, columns=["policy", "case", "profile_id", "personality_id", "turn", "judge", "level", "words"]
    )


def compared(*parts, policy="a", other="b"):
    frame = pd.concat(parts, ignore_index=True)
    return at_equal_length(frame.drop(columns="words"), frame[["policy", "case", "turn", "words"]], policy, other)


def test_two_profiles_and_turns_by_hand():
    # Differences in words (case x turn): (2, 0), (0, 2); their standard deviation is 1, so x is u = tanh(1) or 0.
    # Differences of level: (3, 0), (1, 2). Turn 1 has (x, y) = (u, 3) and (0, 1), turn 2 has (0, 0) and (u, 2): within
    # turns b = 2 / u, so the intercepts are the levels at x = 0, 1 and 0, and their mean is 0.5, against 1.5 as it is.
    found = compared(replies("a", [[4, 1], [2, 3]], [[12, 10], [10, 12]]), replies("b", [[1, 1]] * 2, [[10, 10]] * 2))
    assert (found.n_pairs, found.words.value, found.level.value) == (4, 1.0, 1.5)
    assert found.at_equal_length == (pytest.approx(0.5), None, None)  # one profile alone has no slope


def test_what_length_alone_earns_is_taken_away():
    # Replies of "a" are longer by d, and every tanh(d / s) earns one level: nothing is left of the difference.
    rng = np.random.default_rng(1)
    longer = rng.integers(-4, 20, (30, 4))
    earned = np.tanh(longer / longer.std())
    found = compared(
        replies("a", 2 + earned, 10 + longer, 10), replies("b", np.full((30, 4), 2.0), np.full((30, 4), 10), 10)
    )
    assert found.level.value > 0.4
    assert found.at_equal_length.value == pytest.approx(0, abs=1e-9)
    assert found.at_equal_length.high - found.at_equal_length.low < 1e-9


def test_a_planted_difference_and_its_interval_are_recovered_beside_an_effect_of_length():
    # 0.5 levels of knowing and 1 level per tanh of length, with noise: of 60 intervals of 95%, 57 should cover 0.5;
    # fewer than 52 would be a chance of 1 in 200
    rng, covered = np.random.default_rng(2), 0
    for _ in range(60):
        longer = rng.integers(-6, 15, (40, 3))
        y = (
            0.5
            + np.tanh(longer / longer.std())
            + rng.normal(0, 1, (40, 3))
            + np.tile(rng.normal(0, 0.5, 20), 2)[:, None]
        )
        found = compared(
            replies("a", 3 + y, 20 + longer, 20), replies("b", np.full((40, 3), 3.0), np.full((40, 3), 20), 20)
        )
        covered += found.at_equal_length.low <= 0.5 <= found.at_equal_length.high
    assert covered >= 52


def test_policies_that_always_write_the_same_length_are_compared_as_they_are():
    # differences of the two profiles: 1 and 3, mean 2, standard error 1, t(0.975, 1 df)
    found = compared(replies("a", [[2, 2], [4, 4]], [[9, 7], [8, 8]]), replies("b", [[1, 1], [1, 1]], [[9, 7], [8, 8]]))
    half = stats.t.ppf(0.975, 1)
    assert found.at_equal_length == pytest.approx((2, 2 - half, 2 + half))


def test_a_policy_that_is_always_the_longer_one_is_never_seen_at_equal_length():
    longer = compared(replies("a", [[2, 2], [4, 4]], [[9, 12], [11, 10]]), replies("b", [[1, 1], [1, 1]], [[8, 8]] * 2))
    assert longer.at_equal_length is None
    assert longer.level.value == 2.0
    always = compared(replies("a", [[2, 2], [4, 4]], [[9, 9]] * 2), replies("b", [[1, 1], [1, 1]], [[8, 8]] * 2))
    assert always.at_equal_length is None


def test_incomplete_cases_are_left_out_and_replies_without_words_refused():
    a, b = replies("a", [[2, 2], [4, 4]], [[9, 7], [7, 9]]), replies("b", [[1, np.nan], [1, 1]], [[8, 8]] * 2)
    assert compared(a, b).n_pairs == 2
    whole = pd.concat([a, replies("b", [[1, 1], [1, 1]], [[8, 8]] * 2)])
    words = whole[["policy", "case", "turn", "words"]]
    with pytest.raises(ValueError, match="2 replies have a level but no number of words"):
        at_equal_length(whole.drop(columns="words"), words.iloc[:-2], "a", "b")
    with pytest.raises(ValueError, match="no case is complete for both a and b"):
        compared(a.iloc[:2], b)
