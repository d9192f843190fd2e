"""Dialogues and scores that leave nothing to go on with are refused in a sentence; others pass."""

import pandas as pd
import pytest

from aloe import enough
from aloe.errors import NotEnough
from aloe.records import DialogueTree, Persona, Turn


def tree(split: str, *turns: tuple[str, str]) -> DialogueTree:
    """A dialogue of a split whose turns have these labels and branches."""
    persona = Persona(f"{split}-p0-t0", f"{split}-p0", f"{split}-t0", "Ana keeps bees.", "Blunt.")
    told = [Turn(f"k{i}", f"k{i - 1}" if i else None, "Hi.", "", "", "Hinted.", "Plain.", ("", ""), label, branch)
            for i, (label, branch) in enumerate(turns)]  # fmt: skip
    return DialogueTree(f"tree-{persona.id}", persona, tuple(told))


TRAIN = tree("train", ("hinted", "hinted"), ("plain", "hinted"))  # goes on with a preferred, then with a rejected reply
DEV = tree("dev", ("hinted", "plain"))
UNREAD, TIED = ("unparseable", "plain"), ("tie", "plain")


def test_dialogues_with_both_kinds_of_replies_in_training_and_a_pair_in_development_are_enough():
    enough.to_learn_from([TRAIN, DEV])


@pytest.mark.parametrize(
    ("trees", "told"),
    [
        ([tree("train", UNREAD, UNREAD, TIED), DEV], "Not one of 3 training turns .* 2 had a verdict that could not"),
        ([TRAIN, tree("dev", TIED)], "Not one of 1 development turns has a preferred reply: 0 .*, 1 were ties"),
        ([TRAIN], "Not one of 0 development turns"),
        ([tree("train", ("hinted", "hinted")), DEV], "None of 1 training dialogues goes on with a rejected reply"),
        ([tree("train", ("plain", "hinted")), DEV], "None of 1 training dialogues goes on with a preferred reply"),
    ],
    ids=["no training pair", "no development pair", "no development dialogue", "none rejected", "none preferred"],
)
def test_dialogues_that_nothing_can_be_learned_from_are_refused(trees, told):
    with pytest.raises(NotEnough, match=told):
        enough.to_learn_from(trees)


def scores(**levels: list[int | None]) -> pd.DataFrame:
    """Per policy the levels of case a at turns 1 and 2, then of case b, by one judge."""
    rows = [(policy, "ab"[i // 2], 1 + i % 2, "j", level)
            for policy, own in levels.items() for i, level in enumerate(own)]  # fmt: skip
    return pd.DataFrame(rows, columns=["policy", "case", "turn", "judge", "level"]).astype({"level": "Int64"})


def test_one_whole_case_of_every_policy_is_enough_to_compare():
    enough.to_compare(scores(base=[1, 2, 3, 4], dpo=[None, 2, 3, 4]))


def test_a_policy_without_a_whole_case_is_refused_with_what_each_judge_left_out():
    with pytest.raises(NotEnough, match=r"'dpo' has no case .* without a level: j 2 of 8\."):
        enough.to_compare(scores(base=[1, 2, 3, 4], dpo=[1, None, None, 4]))
