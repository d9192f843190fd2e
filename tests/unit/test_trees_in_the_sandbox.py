"""Trees held with the simulated model, through the real client: whole, interrupted anywhere, and with strangers."""

import dataclasses

import pytest

from aloe.branching import paths
from aloe.chat import open_chat
from aloe.dialogues import grow_trees
from aloe.params import Trees, load_params
from aloe.preferences import counts, dpo_pairs, sft_conversations
from aloe.records import Persona
from aloe.runs import Run

WHOLE = Trees(n_trees=1, n_dev_trees=1, n_turns=4, branch="random", tie="drop", expand="both", expand_depth=4)
BEES = Persona("train-p0-t0", "train-p0", "train-t0", "Ana is a 41-year-old baker from Faro. She has bees. She sings.",
               "Blunt, saying what she thinks. Impatient, wanting answers at once.")  # fmt: skip


def hold(folder, params, personas, in_flight=16, calls=None):
    """Trees, and how many replies were not in the journal; after so many `calls` the process is as good as killed."""
    preset = load_params("smoke")
    endpoints = {name: dataclasses.replace(e, max_in_flight=in_flight) for name, e in preset.endpoints.items()}
    with open_chat(Run("smoke", dataclasses.replace(preset, endpoints=endpoints), folder)) as chat:
        ask, asked = chat.ask, [0]

        async def counted(*arguments, **options):
            asked[0] += 1
            if calls is not None and asked[0] > calls:
                raise KeyError("killed")
            return await ask(*arguments, **options)

        chat.ask = counted
        return grow_trees(chat, personas, params, 0), chat.usage.calls


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One whole tree of depth 4, held without an interruption and one call at a time."""
    [tree], calls = hold(tmp_path_factory.mktemp("whole"), WHOLE, [BEES], in_flight=1)
    return tree, calls


def test_a_whole_tree_has_fifteen_user_messages_and_a_pair_for_each_preference(whole):
    tree, _ = whole
    assert [sum(len(path) == k for path in paths(tree).values()) for k in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert len(dpo_pairs([tree])) == counts([tree]).pairs == 15 - counts([tree]).ties
    learned = [sum(row["train"]) for kind in ("preferred", "rejected") for row in sft_conversations([tree], kind)]
    # Of the 7 turns whose replies both go on, both are learned; of the 8 last ones the one that the branch names.
    labelled = [turn for turn in tree.turns if turn.preferred is not None]
    assert sum(learned) == sum(2 if turn.reason == "both" else 1 for turn in labelled)


@pytest.mark.parametrize("calls", [0, 1, 7, 20, 41, 60, 85])
def test_a_tree_that_was_interrupted_anywhere_is_the_same_when_it_goes_on(tmp_path, whole, calls):
    tree, needed = whole
    with pytest.raises(KeyError):
        hold(tmp_path, WHOLE, [BEES], calls=calls)
    [again], asked = hold(tmp_path, WHOLE, [BEES])
    assert again == tree
    assert needed - calls <= asked <= needed  # what was answered before is not asked again
    assert hold(tmp_path, WHOLE, [BEES]) == ([tree], 0)
