"""Our own dialogues, written in the released schema: a run that starts from them asks nobody to talk, and trains."""

import dataclasses
import json

import pytest

from aloe.chat import open_chat
from aloe.dialogues import choose_personas, grow_trees
from aloe.journal import Journal
from aloe.params import load_params
from aloe.records import DialogueTree, Persona, read_jsonl
from aloe.released import write_trees
from aloe.runs import Run

pytestmark = pytest.mark.smoke

PRESET = """
extends: smoke
description: Start from a copy of released dialogues
personas: {dev_profiles: 6, dev_personalities: 3}
trees: {n_trees: 20, n_dev_trees: 6, n_turns: 3, from_released: COPY}
"""


@pytest.fixture(scope="module")
def started(checkout, tmp_path_factory):
    """A run of the copy of 40 dialogues; its metrics, and what it printed."""
    folder = tmp_path_factory.mktemp("released")
    params = load_params("smoke")
    people = choose_personas(read_jsonl(Persona, checkout.run / "personas" / "personas.jsonl"), 40, "train", 0)
    with open_chat(Run("smoke", params, folder)) as chat:
        trees = grow_trees(chat, people, dataclasses.replace(params.trees, n_turns=3), 0)
    write_trees(trees, folder / "conversations.jsonl", drop_extra=True)
    (folder / "mine.yaml").write_text(PRESET.replace("COPY", str(folder / "conversations.jsonl")))
    done = checkout.aloe("run", "--preset", str(folder / "mine.yaml"))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    root = checkout.root / "outputs" / "mine"
    return root, json.loads((root / "metrics.json").read_text())


def test_it_trains_and_is_measured(started):
    root, metrics = started
    assert {"sft_preferred", "sft_rejected", "dpo"} <= set(metrics["training"])
    assert metrics["benchmark"]["policies"]["dpo"]["al_mean"] >= 1
    assert (root / "report" / "index.html").is_file()


def test_every_dialogue_is_kept_or_dropped_for_a_reason_and_what_is_unknown_is_null(started):
    root, metrics = started
    trees, own = read_jsonl(DialogueTree, root / "trees" / "trees.jsonl"), metrics["trees"]
    assert own["read"] == len(trees) + sum(own["dropped"].values())
    assert {tree.origin for tree in trees} == {"released"}
    assert own["hinted_preferred_rate"] is own["orders_agree"] is metrics["training"]["dpo"]["hinted_chosen"] is None


def test_nobody_was_asked_to_write_or_to_talk_but_for_the_benchmark(started):
    root, _ = started
    with Journal(root / "journal" / "replies.sqlite") as journal:
        assert {total.role for total in journal.summary()} == {"user", "alignment_judge", "judges.strict"}
