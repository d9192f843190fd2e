"""Held-out facts: when a fact counts as told, answered and recalled, and what chance gives."""

import doctest

import pandas as pd
import pytest

from aloe import novelty
from aloe.novelty import fact_table, message_table, novel_minus_known, recall_table, telling_facts
from aloe.records import Message, Persona, Transcript

PROFILES = {"bench-p1": "Ann keeps bees. She sails a dinghy.", "bench-p2": "Bob bakes rye loaves. He has a parrot."}
FACTS = telling_facts(PROFILES, {"bench-p1": ["Ann keeps bees."], "bench-p2": ["He has a parrot."]})


def held(profile, *turns, policy="dpo"):
    persona = Persona(f"{profile}-t1", profile, "bench-t1", PROFILES[profile], "Shy.")
    messages = [Message(role, text) for pair in turns for role, text in zip(("user", "assistant"), pair, strict=True)]
    return Transcript(f"{policy}-{persona.id}", policy, persona, tuple(messages))


ANN = held("bench-p1", ("My bees are out.", "Bees are fun."), ("I sail, too.", "How are the bees?"), ("Fine.", "Good."))
BOB = held("bench-p2", ("Hello.", "Tell me of bees."), ("I baked.", "Bees, again?"), ("My parrot talks.", "Parrots!"))


def test_docstring_examples_are_true():
    assert doctest.testmod(novelty).failed == 0


def test_words_that_stand_in_two_facts_tell_neither():
    facts = telling_facts({"a": "She keeps bees.", "b": "They keep a bee."}, {})
    assert [sorted(fact.words) for fact in (*facts["a"], *facts["b"])] == [[], []]


def test_a_fact_is_told_answered_and_recalled_by_its_words():
    table = fact_table([ANN, BOB], FACTS).set_index(["case", "fact"])
    bees, dinghy = table.loc[("bench-p1-t1", "Ann keeps bees.")], table.loc[("bench-p1-t1", "She sails a dinghy.")]
    assert (bees["turn"], bees["answered"], bees["recalled"], bees["novel"]) == (1, True, True, True)
    assert (dinghy["turn"], dinghy["answered"], dinghy["recalled"], dinghy["novel"]) == (2, False, False, False)
    assert bees["by_chance"] == 1.0  # after turn 1, the only other dialogue has a reply with bees
    assert dinghy["by_chance"] == 0.0


def test_a_fact_told_at_the_last_turn_or_never_cannot_be_recalled_and_is_left_out():
    assert "He has a parrot." not in set(fact_table([ANN, BOB], FACTS)["fact"])
    assert fact_table([held("bench-p1", ("Hi.", "Hi."), ("Yes.", "No."))], FACTS).empty


def test_taking_up_what_the_user_has_just_said_again_is_not_recalling():
    again = held("bench-p1", ("My bees.", "Oh."), ("The bees!", "Bees, yes."))
    assert fact_table([again], FACTS)["recalled"].tolist() == [False]


def test_what_is_recalled_above_chance_has_an_interval_clustered_on_profiles():
    # above chance: p1 1 - 0.5 and 0 - 0, p2 1 - 0: mean 0.5. The linear form of the ratio: deviations from 0.5 sum to
    # -0.5 in p1 and 0.5 in p2, times 2 clusters over 3 rows: -1/3, 1/3; variance 2/9 over 2 x 1: standard error 1/3.
    told = pd.DataFrame({"policy": "dpo", "profile_id": ["p1", "p1", "p2"], "recalled": [True, False, True],
                         "by_chance": [0.5, 0.0, 0.0]})  # fmt: skip
    row = recall_table(told, 0.95).iloc[0]
    assert (row["policy"], row["told"], row["above"]) == ("dpo", 3, 0.5)
    assert (row["recalled"], row["by_chance"]) == pytest.approx((2 / 3, 1 / 6))
    assert (row["low"], row["high"]) == pytest.approx((0.5 - 12.706 / 3, 0.5 + 12.706 / 3), abs=1e-3)
    assert recall_table(told.assign(by_chance=float("nan")), 0.95).empty


def test_with_a_single_profile_chance_is_not_known():
    assert fact_table([ANN], FACTS)["by_chance"].isna().all()


def test_a_message_is_about_novel_facts_known_facts_both_or_neither():
    both = held("bench-p1", ("Bees on my dinghy.", "."), ("Bees.", "."), ("My dinghy.", "."), ("Well.", "."))
    assert message_table([both], FACTS)["about"].tolist() == ["both", "novel", "known", "neither"]


def test_the_difference_is_taken_within_profiles():
    frame = pd.DataFrame({"policy": "dpo", "profile_id": ["p1"] * 3 + ["p2"] * 2 + ["p3"],
                          "novel": [True, False, False, True, False, True], "x": [1, 0, 1, 0, 0, 1]})  # fmt: skip
    [row] = novel_minus_known(frame, "x", 0.95).to_dict("records")
    # p1: novel 1, known 0.5; p2: 0 and 0; p3 has no known row. Differences 0.5 and 0: mean 0.25, standard error 0.25,
    # t(0.975, 1) = 12.7062, half width 3.17655
    assert (row["known"], row["novel"], row["difference"], row["n_profiles"]) == (0.25, 0.5, 0.25, 2)
    assert row["high"] == pytest.approx(0.25 + 3.17655, abs=1e-4)
    assert novel_minus_known(frame[frame["novel"]], "x", 0.95).empty
