"""Unheard words: what counts as heard, and the shares and levels of a policy's replies."""

import doctest

import pandas as pd
import pytest

from aloe import unheard
from aloe.records import DialogueTree, Message, Persona, Transcript, Turn
from aloe.unheard import training_words, unheard_by_policy, unheard_table

KNOWN = frozenset(["that", "is", "good", "a", "of", "the"])


def persona(profile):
    return Persona(f"{profile}-t1", profile, "bench-t1", "Ann keeps bees.", "Shy.")


def held(profile, *turns, policy="dpo"):
    messages = [Message(role, text) for pair in turns for role, text in zip(("user", "assistant"), pair, strict=True)]
    return Transcript(f"{policy}-{profile}", policy, persona(profile), tuple(messages))


def scores(levels, profile="p1", policy="dpo"):
    rows = [(policy, f"{profile}-t1", profile, "bench-t1", turn, "j", level) for turn, level in enumerate(levels, 1)]
    columns = ["policy", "case", "profile_id", "personality_id", "turn", "judge", "level"]
    return pd.DataFrame(rows, columns=columns).astype({"level": "Int64"})


def test_docstring_examples_are_true():
    assert doctest.testmod(unheard).failed == 0


def test_training_words_are_those_of_users_and_of_both_replies():
    turn = Turn("k", None, "My goat!", "It has a goat.", "Kind.", "Nice.", "Right.", ("1", "2"), "hinted", "plain")
    assert training_words([DialogueTree("d", persona("p1"), (turn,))]) == {"my", "goat", "nice", "right"}


def test_a_word_is_heard_from_training_from_the_persona_or_from_the_user_by_then():
    found = unheard_table([held("p1", ("Hello.", "That is a DINGHY."), ("My dinghy.", "Shy bees, dinghy, headwife!"))],
                          KNOWN)  # fmt: skip
    assert found["turn"].tolist() == [1, 2]
    assert found["unheard"].tolist() == [("dinghy",), ("headwife",)]


def test_the_share_of_replies_has_an_interval_and_levels_are_apart():
    # p1: 1 of 2 replies, p2: 0 of 2. Share 1/4; profile means 0.5 and 0, standard error 0.25, t(1) 12.706: +-3.177.
    table = unheard_table([held("p1", ("Hi.", "Xyl."), ("Oh.", "Good.")), held("p2", ("Hi.", "Good."), ("Oh.", "Is."))],
                          KNOWN)  # fmt: skip
    row = unheard_by_policy(table, pd.concat([scores([2, 3]), scores([4, None], "p2")]), 0.95).iloc[0]
    assert (row["policy"], row["replies"], row["share"]) == ("dpo", 4, 0.25)
    assert row["high"] - row["share"] == pytest.approx(12.706 * 0.25, abs=1e-3)
    assert (row["level_with"], row["level_without"]) == (2.0, 3.5)


def test_a_policy_without_such_a_reply_has_no_level_with_one_and_a_single_profile_no_interval():
    row = unheard_by_policy(unheard_table([held("p1", ("Hi.", "Good."))], KNOWN), scores([3]), 0.95).iloc[0]
    assert row["share"] == 0
    assert row[["low", "high", "level_with"]].isna().all()
    assert row["level_without"] == 3


def test_without_replies_there_is_nothing_to_count():
    with pytest.raises(ValueError, match="at least one reply"):
        unheard_by_policy(unheard_table([], KNOWN), scores([3]), 0.95)
