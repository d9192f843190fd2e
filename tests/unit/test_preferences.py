"""Trees to training data, on a dialogue worked out by hand."""

import doctest

import pytest

from aloe import preferences
from aloe.records import DialogueTree, Message, Persona, Turn

PERSONA = Persona("train-p001-t002", "train-p001", "train-t002", "Ann keeps a parrot.", "Blunt.")


def turn(number, label, branch):
    return Turn(
        id=f"d-{number}", parent=f"d-{number - 1}" if number > 1 else None, user=f"u{number}", inferred_profile="",
        inferred_personality="", hinted=f"h{number}", plain=f"p{number}", verdicts=("", ""), label=label, branch=branch,
    )  # fmt: skip


# turn: label, branch -> preferred, continued
#  1: hinted, hinted -> h1, h1 (preferred continued)     2: plain, hinted -> p2, h2 (rejected continued)
#  3: tie, plain -> none, p3                             4: hinted, plain -> h4, p4 (rejected continued)
#  5: unparseable, hinted -> none, h5                    6: plain, plain -> p6, p6 (preferred continued)
TREE = DialogueTree("d", PERSONA, tuple(turn(i, *what) for i, what in enumerate([
    ("hinted", "hinted"), ("plain", "hinted"), ("tie", "plain"), ("hinted", "plain"), ("unparseable", "hinted"),
    ("plain", "plain")], 1)))  # fmt: skip
HISTORY = ["u1", "h1", "u2", "h2", "u3", "p3", "u4", "p4", "u5", "h5", "u6", "p6"]


def test_the_docstring_example_is_true():
    assert doctest.testmod(preferences).failed == 0
    assert doctest.testmod(preferences).attempted > 0


@pytest.mark.parametrize("reply, learned", [("preferred", {"h1", "p6"}), ("rejected", {"h2", "p4"})])
def test_a_conversation_holds_the_sampled_history_and_trains_only_the_wanted_continued_replies(reply, learned):
    [row] = preferences.sft_conversations([TREE], reply)
    assert [message["content"] for message in row["messages"]] == HISTORY
    assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * 6
    trained = {m["content"] for m, train in zip(row["messages"], row["train"], strict=True) if train}
    assert trained == learned


def test_a_dialogue_with_nothing_to_learn_is_left_out():
    tree = DialogueTree("e", PERSONA, (turn(1, "hinted", "plain"), turn(2, "tie", "hinted")))
    assert preferences.sft_conversations([tree, TREE], "preferred") == preferences.sft_conversations(
        [TREE], "preferred"
    )
    assert len(preferences.sft_conversations([tree], "rejected")) == 1


def test_pairs_hold_whole_replies_and_the_history_that_was_really_sampled():
    pairs = preferences.dpo_pairs([TREE])
    assert [(p.id, p.turn, p.chosen, p.rejected) for p in pairs] == [
        ("d-1", 1, "h1", "p1"), ("d-2", 2, "p2", "h2"), ("d-4", 4, "h4", "p4"), ("d-6", 6, "p6", "h6")]  # fmt: skip
    assert pairs[0].prompt == (Message("user", "u1"),)
    assert [message.content for message in pairs[2].prompt] == HISTORY[:7]
    assert [message.role for message in pairs[2].prompt] == ["user", "assistant"] * 3 + ["user"]
    assert {p.persona_id for p in pairs} == {PERSONA.id}


def test_turns_in_are_pairs_and_ties_and_unparseable_ones():
    found = preferences.counts([TREE, TREE])
    assert found == (12, 8, 2, 2)
    assert found.pairs == len(preferences.dpo_pairs([TREE, TREE]))


def test_no_trees_give_no_examples():
    assert preferences.sft_conversations([], "preferred") == []
    assert preferences.dpo_pairs([]) == []
    assert preferences.counts([]) == (0, 0, 0, 0)
