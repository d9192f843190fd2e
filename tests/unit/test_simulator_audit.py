"""The simulator audit: what users tell, deny and repeat, by hand."""

import pytest

from aloe.audit_model import RuleErrors
from aloe.records import DialogueTree, Message, Persona, Transcript, Turn
from aloe.simulator_audit import (
    contradicts,
    message_table,
    opening_table,
    recoverable_maximum,
    recoverable_table,
    transcript_table,
    user_estimates,
)

NO_ERRORS = RuleErrors(1.0, 1.0, 1.0)
PERSONA = Persona("train-p-t", "p", "t", "Ann keeps a grey parrot. She sails a wooden dinghy.", "Shy, hiding. Witty.")


def tree(*messages, noted=(), name="one", persona=PERSONA):
    turns = []
    for k, message in enumerate(messages):
        traits = noted[k] if k < len(noted) else "nothing yet"
        parent = turns[-1].id if turns else None
        turns.append(
            Turn(f"{name}-{k}", parent, message, "nothing yet", traits, "a", "b", ("", ""), "hinted", "hinted")
        )
    return DialogueTree(name, persona, tuple(turns))


@pytest.mark.parametrize("fact, sentence, against", [
    ("She has two grey parrots.", "I have three grey parrots.", True),
    ("She has two grey parrots.", "My two grey parrots saw three cats.", False),
    ("He is a 45-year-old plumber.", "I am 32, if you ask.", True),
    ("He is a 45-year-old plumber.", "I am 45, if you ask.", False),
    ("He cannot eat nuts.", "I cannot eat nuts.", False),
    ("She sails a wooden dinghy.", "I never sailed a wooden dinghy.", True),
    ("She sails a wooden dinghy.", "I never sleep, and I sail a wooden dinghy.", False),
    ("She has a cat named Rex.", "My cat is named Otto.", True),
    ("A.", "", False)])  # fmt: skip
def test_a_contradiction_denies_a_fact_or_counts_or_names_otherwise(fact, sentence, against):
    assert contradicts(fact, sentence) is against


def test_messages_are_tabulated_with_what_they_tell_and_do():
    found = message_table([tree(
        "I keep a grey parrot and sail a wooden dinghy.", "How can I help you today?", "How can I help you today?",
        "I never had a grey parrot.",
    )])  # fmt: skip
    assert found["new"].tolist() == [2, 0, 0, 0]
    assert found["untold_before"].tolist() == [2, 0, 0, 0]
    assert found["like_assistant"].tolist() == [False, True, True, False]
    assert found["repeated"].tolist() == [False, False, True, False]
    assert found["contradicted"].notna().tolist() == [False, False, False, True]


def test_the_recoverable_maximum_is_what_was_told_or_noted_by_then():
    noted = ("nothing yet", "Witty.", "nothing yet")
    table = recoverable_table([tree("Hello.", "I sail a wooden dinghy.", "Good night.", noted=noted)])
    found = recoverable_maximum(table, 0.95).set_index(["series", "turn"])["value"]
    assert found["facts"].tolist() == [0, 0.5, 0.5]
    assert found["traits"].tolist() == [0, 0.5, 0.5]  # what was noted once stays known
    assert found["persona"].tolist() == [0, 0.5, 0.5]


def test_a_policy_s_user_is_read_the_same_way():
    messages = [Message("user", "I sail a wooden dinghy."), Message("assistant", "A grey parrot?")] * 2
    found = transcript_table([Transcript("c", "base", PERSONA, tuple(messages))])
    assert found["facts"].tolist() == [0.5, 0.5]


def test_openings_are_compared_between_dialogues():
    found = opening_table([tree("Well, hello there you.", name="a"), tree("Well hello there!", name="b"),
                           tree("Oh.", name="c")])  # fmt: skip
    assert found["begins_as_another"].tolist() == [True, True, False]
    assert not found["same_as_another"].any()


def test_a_persona_without_facts_that_words_can_tell_has_no_share():
    mute = Persona("train-q-t", "q", "t", "It is.", "Shy.")
    assert recoverable_table([tree("Hello.", persona=mute)])["facts"].isna().all()
    assert user_estimates([tree("Hello.", persona=mute)], NO_ERRORS, 0.95)["facts_never_told"] is None


def test_facts_never_told_are_counted_at_the_end_of_a_dialogue():
    found = user_estimates([tree("I sail a wooden dinghy.", "Hello.")], NO_ERRORS, 0.95)
    assert found["facts_never_told"].value == 0.5
    assert found["tells_no_fact"].value == 0.5
