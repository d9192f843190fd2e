"""Thirty personas in another author's style, which the sandbox has never seen: trees and audits, without a change."""

import dataclasses
import json
from pathlib import Path

import pytest

from aloe.chat import open_chat
from aloe.dialogues import grow_trees
from aloe.label_audit import fact_table, inducer_by_turn, label_estimates, reply_table
from aloe.params import load_params
from aloe.records import Persona
from aloe.reference import ask_reference
from aloe.rule_errors import errors_in
from aloe.runs import Run
from aloe.simulator_audit import message_table, recoverable_maximum, recoverable_table, traits_of, user_estimates
from aloe.telling import facts_of

pytestmark = pytest.mark.smoke

N_TURNS = 3
FILE = Path(__file__).parent.parent / "data" / "unseen_personas.jsonl"


@pytest.fixture(scope="module")
def outside():
    """The personas."""
    rows = [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]
    return [Persona(f"train-o{i}", f"o{i}", f"o{i}", **row) for i, row in enumerate(rows)]


@pytest.fixture(scope="module")
def grown(outside, tmp_path_factory):
    """A run of the smoke preset, and the trees of the thirty."""
    params = load_params("smoke")
    params = dataclasses.replace(params, trees=dataclasses.replace(params.trees, n_turns=N_TURNS))
    run = Run("outside", params, tmp_path_factory.mktemp("outside"))
    with open_chat(run) as chat:
        return run, grow_trees(chat, outside, params.trees, seed=0)


def test_facts_and_traits_of_thirty_unseen_personas_are_read(outside):
    assert len(outside) == 30
    for persona in outside:
        assert 4 <= len(facts_of(persona.profile)) <= 6, persona.profile
        assert traits_of(persona), persona.personality


def test_trees_and_audits_take_thirty_unseen_personas(grown):
    run, trees = grown
    assert [len(tree.turns) for tree in trees] == [N_TURNS] * 30
    reference, errors = ask_reference(run, trees), errors_in(simulated=True)
    assert len(reference) == 30 * N_TURNS
    found = label_estimates(trees, errors, 0.95, reference) | user_estimates(trees, errors, 0.95)
    assert {name for name, value in found.items() if value is None} == set()
    assert 0.5 < found["hinted_preferred"].value <= 1
    assert found["early_disclosure"].low < 0.05 < found["early_disclosure"].high  # what the preset plants
    assert found["leak"].value < 0.1  # planted: 0.02
    assert len(message_table(trees)) == len(reply_table(trees)) == 30 * N_TURNS
    assert fact_table(trees)["told"].any()
    assert not inducer_by_turn(trees, reference, 0.95).empty


def test_more_of_an_unseen_persona_can_be_known_at_every_turn(grown):
    _, trees = grown
    found = recoverable_maximum(recoverable_table(trees), 0.95)
    facts = found[found["series"] == "facts"]["value"].tolist()
    assert 0.1 < facts[0] < facts[1] < facts[2] < 0.9
