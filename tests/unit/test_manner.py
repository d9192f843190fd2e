"""Manner: what each dimension counts, and how far replies differ with what users would like."""

import pandas as pd
import pytest

from aloe.manner import MEASURES, by_wish, follows, manner_table
from aloe.params import ROOT
from aloe.records import Message, Persona, Transcript
from aloe.sandbox import world
from aloe.texts import load_texts, load_wants

WISHES = {"t1": {"length": True, "questions": False}, "t2": {"length": False}, "t3": {}}


def held(profile, personality, *replies, policy="dpo"):
    persona = Persona(f"{profile}-{personality}", profile, personality, "Ann.", "Shy.")
    messages = [Message(role, text) for reply in replies for role, text in (("user", "Hm."), ("assistant", reply))]
    return Transcript(f"{policy}-{persona.id}", policy, persona, tuple(messages))


def words(n):
    return " ".join(["word"] * n)


@pytest.mark.parametrize("reply, dimensions", [
    ("Right.", []),
    ("Right!", ["exclamation"]),
    ("Right?", ["questions"]),
    ("Perhaps so.", ["hedging"]),
    ("How lovely.", ["warmth"]),
    ("Haha, no.", ["play"]),
    ("No, because it rains.", ["structure"]),
    ("The happiness of a handful.", []),
])  # fmt: skip
def test_what_each_dimension_counts(reply, dimensions):
    read = {name: measure(reply) for name, measure in MEASURES.items()}
    assert read.pop("length") == len(reply.split())
    assert [name for name, value in read.items() if value] == dimensions


def test_replies_are_counted_from_a_turn_on():
    table = manner_table([held("p1", "t1", "One.", "One two.", "One two three.")], first=2)
    assert table["turn"].tolist() == [2, 3]
    assert table["length"].tolist() == [2, 3]


def test_the_difference_is_between_those_who_want_much_and_little_within_profiles():
    # Lengths: p1 much 6, little 2, p2 much 8, little 6: differences 4 and 2, mean 3, standard error 1,
    # t(1) 12.706; t3 has no wish and does not count.
    table = manner_table([held("p1", "t1", words(6)), held("p1", "t2", words(2)), held("p2", "t1", words(8)),
                          held("p2", "t2", words(6)), held("p1", "t3", words(99))])  # fmt: skip
    found = by_wish(table, WISHES, 0.95)
    assert found["dimension"].tolist() == ["length"]  # nobody wants many questions
    row = found.iloc[0]
    assert (row["little"], row["much"], row["difference"]) == (4, 7, 3)
    assert (row["low"], row["high"]) == pytest.approx((3 - 12.706, 3 + 12.706), abs=1e-3)
    assert row[["beyond", "beyond_low", "beyond_high"]].isna().all()


def test_each_difference_is_set_against_that_of_the_base_model():
    # dpo: 4 and 2; base: 1 and 1; beyond: 3 and 1, mean 2
    lengths = {"base": ((3, 2), (5, 4)), "dpo": ((6, 2), (8, 6))}
    table = manner_table([held(f"p{i}", name, words(n), policy=policy)
                          for policy, profiles in lengths.items() for i, pair in enumerate(profiles)
                          for name, n in zip(("t1", "t2"), pair, strict=True)])  # fmt: skip
    found = by_wish(table, WISHES, 0.95).set_index("policy")
    assert found.loc["dpo", "beyond"] == 2
    assert found.loc["dpo", "beyond_high"] == pytest.approx(2 + 12.706, abs=1e-3)
    assert pd.isna(found.loc["base", "beyond"])
    assert found.loc["base", ["difference", "low", "high"]].tolist() == [1, 1, 1]


def test_with_a_single_profile_there_is_no_interval_and_without_wishes_no_row():
    table = manner_table([held("p1", "t1", words(6)), held("p1", "t2", words(2))])
    assert by_wish(table, WISHES, 0.95)[["low", "high"]].isna().all(axis=None)
    assert by_wish(table, {}, 0.95).empty


def test_a_manner_follows_where_the_interval_lies_above_zero():
    found = pd.DataFrame({"dimension": ["length", "play", "warmth"], "policy": "dpo", "low": [0.1, -1, -3],
                          "high": [2, 1, -0.5], "beyond_low": [-1, 0.5, -1], "beyond_high": [1, 1, 1]})  # fmt: skip
    assert follows(found, "dpo") == (["length"], ["warmth"])
    assert follows(found, "dpo", "beyond") == (["play"], [])
    assert follows(found, "base") == ([], [])


def test_the_wishes_of_the_benchmark_personalities_are_those_that_their_traits_are_given():
    path = ROOT / "aloe" / "data" / "benchmark_personalities.jsonl"
    wishes = load_wants(path, MEASURES)
    for text in load_texts(path, 1):
        traits = [name for _, name in world.read_personality(text.text) if name is not None]
        assert wishes[text.id] == {name: value > 0 for name, value in world.desires(traits).items()}, text.id
