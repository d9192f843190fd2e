"""Trees held with the simulated model, through the real client: whole, interrupted anywhere, and with strangers."""

import dataclasses
import json
import tempfile
from pathlib import Path

import pytest

from aloe.branching import paths
from aloe.chat import open_chat
from aloe.dialogues import grow_trees
from aloe.params import Trees, load_params
from aloe.preferences import counts, dpo_pairs, sft_conversations
from aloe.records import Persona
from aloe.reference import ask_reference
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


def test_the_reference_leaves_nothing_behind_whosever_journal_a_preset_uses(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    params = dataclasses.replace(load_params("smoke"), journal="sandbox")
    assert ask_reference(Run("mine", params, tmp_path / "outputs" / "mine"), []) is not None
    assert list(tmp_path.iterdir()) == []


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
    # What was answered before is not asked again, but for what was under way: at most two replies of eight leaves.
    assert needed - calls <= asked <= needed - max(0, calls - 16)
    assert hold(tmp_path, WHOLE, [BEES]) == ([tree], 0)


def strangers():
    """Thirty personas in the manner of the published ones, by an author whom the simulated model has never read."""
    lines = (Path(__file__).parent.parent / "data" / "strangers.jsonl").read_text(encoding="utf-8").splitlines()
    texts = {
        kind: [t["text"] for t in map(json.loads, lines) if t["kind"] == kind] for kind in ("profile", "personality")
    }
    return [
        Persona(f"train-p{p:03d}-t{t:03d}", f"train-p{p:03d}", f"train-t{t:03d}", profile, texts["personality"][t])
        for p, profile in enumerate(texts["profile"])
        for t in ((p + step) % len(texts["personality"]) for step in range(3))
    ]


def test_thirty_strangers_go_through_trees_without_a_change(tmp_path):
    people = strangers()
    assert len({person.id for person in people}) == 30
    short = dataclasses.replace(WHOLE, n_turns=2, expand_depth=1, expand_share=0.2)
    trees, _ = hold(tmp_path, short, people)
    assert [tree.persona for tree in trees] == people
    assert {len(tree.turns) for tree in trees} == {2, 3}
    turns = [turn for tree in trees for turn in tree.turns]
    assert not [turn for turn in turns if "simulated language model" in turn.user + turn.hinted + turn.plain]
    assert {turn.label for turn in turns} <= {"hinted", "plain", "tie"}
    # Their users are told apart, say something of themselves, and the inducer finds it in the text that it was given.
    assert len({tree.turns[0].user for tree in trees}) > 20
    noted = [turn for turn in turns if turn.inferred_profile != "nothing yet"]
    assert len(noted) > len(turns) / 4
    for tree in trees:
        for turn in tree.turns:
            facts = [] if turn.inferred_profile == "nothing yet" else turn.inferred_profile.rstrip(".").split(". ")
            assert all(fact in tree.persona.profile for fact in facts), turn.inferred_profile
    assert counts(trees).pairs > len(turns) / 2
