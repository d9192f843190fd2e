"""People's ratings beside a judge's levels: which belong together, the corrected mean, the plan."""

import numpy as np
import pandas as pd
import pytest

from aloe.calibrated import planned_labels
from aloe.human_labels import Pilot, corrected, labelled, pilot, planned_table


def scores(n_profiles=20, n_turns=10, bias=1.0, seed=0):
    """Two policies; the judge gives what people would, and `bias` more. Returns scores and people's levels."""
    rng, rows = np.random.default_rng(seed), []
    for policy, mean in (("dpo", 3.0), ("base", 2.0)):
        for p in range(n_profiles):
            taste = rng.normal(0, 0.2)
            for t in range(5):
                for k in range(1, n_turns + 1):
                    people = mean + taste + rng.normal(0, 0.7)
                    judged = people + bias + rng.normal(0, 0.3)
                    rows.append((policy, f"p{p}-t{t}", f"p{p}", f"t{t}", k, "j", judged, people))
    columns = ["policy", "case", "profile_id", "personality_id", "turn", "judge", "level", "people"]
    return pd.DataFrame(rows, columns=columns)


def answers(frame, n, seed):
    """What a decoded study of `n` items says, with one rater who gives people's levels."""
    wide = frame.pivot(index=["case", "turn"], columns="policy", values="people").reset_index()
    drawn = wide.sample(n, random_state=seed)
    return drawn.rename(columns={"dpo": "rating_one", "base": "rating_other"})


def test_labels_stand_beside_the_levels_of_the_same_replies_and_raters_are_averaged():
    frame = scores(n_profiles=2, n_turns=1)
    two = pd.DataFrame({"case": ["p0-t0", "p0-t0"], "turn": [1, 1], "rating_one": [2, 5], "rating_other": [1, 1]})
    rated = labelled(two, ("dpo", "base"), frame)
    assert len(rated) == 20
    labels = rated.dropna().set_index(["policy", "case"])["label"].to_dict()
    assert labels == {("dpo", "p0-t0"): 3.5, ("base", "p0-t0"): 1.0}
    unread = frame.assign(level=frame["level"].where(frame["case"] != "p0-t0"))
    assert len(labelled(two, ("dpo", "base"), unread)) == 18  # a reply without a level is left out


def test_a_judge_who_is_a_level_too_kind_is_corrected_and_foretells_enough_to_shorten_the_interval():
    covered, lengths = 0, []
    for seed in range(30):
        frame = scores(seed=seed)
        means = corrected(labelled(answers(frame, 60, seed), ("dpo", "base"), frame), 0.95).set_index("policy")
        row = means.loc["dpo"]
        assert row["judge"] > 3.6
        assert (row["labels"], row["replies"]) == (60, 1000)
        covered += row["low"] <= 3.0 <= row["high"]
        lengths.append((row["high"] - row["low"]) / (row["alone_high"] - row["alone_low"]))
    # 28.5 of 30 expected; fewer than 25 in 0.3% of all seeds
    assert covered >= 25
    assert np.mean(lengths) < 0.75


def test_a_pilot_measures_spread_and_correlation_within_policies():
    # labels 1 3 and 3 5 (each +-1 around its mean, 4 squares of 1 over 4 - 2), levels 2 4 and 2 4: correlation 1
    frame = pd.DataFrame({"policy": list("aabb"), "judged": [2.0, 4.0, 2.0, 4.0], "label": [1.0, 3.0, 3.0, 5.0]})
    assert pilot(frame) == pytest.approx((2**0.5, 1.0))
    assert pilot(frame.assign(judged=3.0)) is None
    assert pilot(frame.head(2)) is None


def test_the_plan_is_that_of_the_formula_and_says_where_no_number_will_do():
    table = planned_table(1000, 20, 0.95, half_widths=(0.15, 0.001), assumed=(0.8, 0.0))
    assert table["±0.15"].tolist() == [planned_labels(0.15, 1.0, r, 1000, 20) for r in (0.8, 0.0)]
    assert table["±0.001"].isna().all()
    measured = planned_table(1000, 20, 0.95, Pilot(0.5, 0.6), half_widths=(0.15,))
    assert measured.index.tolist() == ["0.60"]
    assert measured.iloc[0, 0] == planned_labels(0.15, 0.5, 0.6, 1000, 20)
