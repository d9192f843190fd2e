"""What becomes of ties: dropped, kept for SFT, or settled by a coin."""

import dataclasses

import pytest

from aloe.preferences import counts, dpo_pairs, sft_conversations
from aloe.records import DialogueTree, Persona, Turn
from aloe.ties import settle_ties

TIE = Turn("t", None, "Hi.", "", "", "Hello Ann.", "Hello.", ("Preferred: 1", "Preferred: 1"), "tie", "plain")


def tree(*turns):
    return DialogueTree("tree", Persona("a-b", "a", "b", "", ""), turns)


def learned(trees, reply):
    """The replies that SFT learns."""
    rows = sft_conversations(trees, reply)
    return [m["content"] for row in rows for m, wanted in zip(row["messages"], row["train"], strict=True) if wanted]


def test_a_dropped_tie_is_no_example_at_all():
    trees = settle_ties([tree(TIE)], "drop", 0)
    assert trees == [tree(TIE)]
    assert not dpo_pairs(trees)
    assert learned(trees, "preferred") == learned(trees, "rejected") == []


def test_a_kept_tie_is_learned_in_sft_on_preferred_replies_only_and_gives_no_pair():
    trees = settle_ties([tree(TIE)], "keep", 0)
    assert not dpo_pairs(trees)
    assert learned(trees, "preferred") == ["Hello."]  # the reply that the dialogue went on with
    assert learned(trees, "rejected") == []
    assert counts(trees).ties == 1


def test_a_coin_settles_a_tie_by_seed_and_turn():
    turns = [dataclasses.replace(TIE, id=f"t{i}", parent=f"t{i - 1}" if i else None) for i in range(200)]
    labels = [turn.label for turn in settle_ties([tree(*turns)], "random", 0)[0].turns]
    assert 70 < labels.count("hinted") < 130
    assert labels.count("hinted") + labels.count("plain") == 200
    assert labels == [settle_ties([tree(turn)], "random", 0)[0].turns[0].label for turn in turns]
    assert labels != [turn.label for turn in settle_ties([tree(*turns)], "random", 1)[0].turns]
    assert len(dpo_pairs(settle_ties([tree(*turns)], "random", 0))) == 200


@pytest.mark.parametrize("tie", ["keep", "random"])
def test_equal_replies_and_verdicts_that_cannot_be_read_are_settled_by_nobody(tie):
    equal = dataclasses.replace(TIE, plain=TIE.hinted)
    unread = dataclasses.replace(TIE, label="unparseable")
    assert settle_ties([tree(equal, unread)], tie, 0) == [tree(equal, unread)]
