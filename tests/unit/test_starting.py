"""Runs that start from a copy of the release: what comes in is kept or counted, and the splits stay apart."""

import dataclasses
import json

import numpy as np
import pytest

from aloe.errors import NotEnough, UserError
from aloe.params import load_params
from aloe.plan import describe, make_plan
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.records import read_jsonl, write_jsonl
from aloe.released import write_trees
from aloe.runs import open_run
from aloe.stages import STAGES, inputs
from aloe.starting import KINDS, draw_start, pair_start, read_start, take_dialogues, usable
from aloe.texts import Text


def dialogue(profile, personality, users=("Hi.", "And?"), chosen="preferred"):
    turns = [{"user": user, "assistant": {"preferred": f"good {user}", "rejected": f"bad {user}"}, "chosen": chosen,
              "inferred_profile": "nothing yet", "inferred_personality": "nothing yet"} for user in users]  # fmt: skip
    return {"profile": f"Facts {profile}.", "personality": f"Traits {personality}.", "conversations": turns}


@pytest.fixture
def preset(tmp_path):
    """A preset that starts from these dialogues, or from a pool of so many texts of each kind."""

    def make(dialogues=None, pool=None, **trees):
        mine = {"extends": "smoke", "personas": {"dev_profiles": 2, "dev_personalities": 2}, "trees": trees}
        if dialogues is not None:
            path = tmp_path / "conversations.jsonl"
            path.write_text("".join(json.dumps(entry) + "\n" for entry in dialogues))
            mine["trees"]["from_released"] = str(path)
        if pool is not None:
            mine["personas"] |= {"from_released": {}, "personalities_per_profile": 2}
            for name, word in (("profiles", "Facts"), ("personalities", "Traits")):
                path = tmp_path / f"{name}.jsonl"
                path.write_text("".join(json.dumps(f"{word} {i}.") + "\n" for i in range(pool)))
                mine["personas"]["from_released"][name] = str(path)
        (tmp_path / "mine.yaml").write_text(json.dumps(mine))
        return str(tmp_path / "mine.yaml")

    return make


def begun(path):
    """Start, usable texts, what was drawn and paired; nothing is near the benchmark."""
    params = load_params(path)
    start = read_start(params)
    found = {kind: usable(start.texts[kind], [], 0.8) for kind in KINDS}
    drawn = draw_start(found, start, params)
    return params, start, found, drawn, pair_start(start, drawn, params)


GRID = [dialogue(p, t) for p in range(6) for t in range(5)]


def test_every_text_is_kept_or_dropped_for_a_reason():
    vectors = {"Ana bakes.": (1, 0), "Bo sings.": (0, 1), "Ana is a baker.": (0.9, 0.1)}
    texts = ["Ana bakes.", "Bo  sings.\n", "Bo sings.", " ", "x" * 10_001, "Bell\u0007.", "Ana bakes."]
    found = usable(texts, ["Ana is a baker."], 0.8, lambda own: np.array([vectors[text] for text in own]))
    assert found.texts == ["Bo sings."]
    assert found.read == 7 == len(found.texts) + sum(found.dropped.values())
    assert found.dropped["near a benchmark text"] == 1
    assert found.dropped["repeated"] == 2
    assert len(found.dropped) == 5  # and the empty one, the long one, the control character


def test_dialogues_bring_their_personas_and_no_profile_or_personality_is_in_two_splits(preset):
    _, start, _, drawn, (personas, dropped) = begun(preset(GRID))
    assert len(start.dialogues) == 30
    assert [len(drawn[kind]) for kind in KINDS] == [6, 5]
    # 2 of 6 profiles and 2 of 5 personalities are for development: 2 x 2 dialogues there, 4 x 3 for training.
    assert {split: sum(p.id.startswith(split) for p in personas) for split in ("train", "dev")} == {
        "train": 12, "dev": 4}  # fmt: skip
    assert dropped == {"profile and personality are in different splits": 14}
    for kind in KINDS:
        train, dev = ({getattr(p, kind) for p in personas if p.id.startswith(s)} for s in ("train", "dev"))
        assert not train & dev


def test_dialogues_become_trees_of_this_run_at_most_as_many_as_asked_for(preset, tmp_path):
    params, start, _, _, (personas, _) = begun(preset(GRID, n_trees=8, n_dev_trees=3))
    trees, dropped, cut_short = take_dialogues(start, personas, params.trees, 0)
    assert (len(trees), cut_short) == (11, {})
    assert dropped == {"persona is not of this run": 14, "more than `trees.n_trees` asks for": 4,
                       "more than `trees.n_dev_trees` asks for": 1}  # fmt: skip
    assert len({tree.persona.profile_id for tree in trees if tree.id.startswith("tree-train")}) == 4  # evenly
    assert {tree.origin for tree in trees} == {"released"}
    assert all(turn.id.startswith(tree.id) for tree in trees for turn in tree.turns)
    write_jsonl(tmp_path / "trees.jsonl", trees)
    assert read_jsonl(type(trees[0]), tmp_path / "trees.jsonl") == trees
    assert len(dpo_pairs(trees)) == 22
    assert len(sft_conversations(trees, "preferred")) == 11


def test_a_dialogue_whose_user_never_answers_is_counted_and_one_whose_user_stops_ends_there(preset):
    users = {3: ("Hi.", " ", "Still there?"), 4: ("", "Hello?")}  # by personality
    dialogues = [dialogue(p, t, users.get(t, ("Hi.", "And?"))) for p in range(6) for t in range(5)]
    params, start, _, _, (personas, _) = begun(preset(dialogues, n_trees=50, n_dev_trees=10))
    stop, never = (sum(p.personality == f"Traits {t}." for p in personas) for t in (3, 4))
    assert min(stop, never) >= 2
    trees, dropped, cut_short = take_dialogues(start, personas, params.trees, 0)
    assert cut_short == {"the user says nothing": stop}
    assert dropped == {"persona is not of this run": 14, "at its first turn the user says nothing": never}
    assert len(trees) + sum(dropped.values()) == 30
    assert {len(tree.turns) for tree in trees if tree.persona.personality == "Traits 3."} == {1}


def test_a_dialogue_ends_before_a_text_that_no_file_can_hold(preset, tmp_path):
    dialogues = [dialogue(p, t, ("Hi.", "Half: \ud83d", "And?")) for p in range(6) for t in range(5)]
    params, start, _, _, (personas, _) = begun(preset(dialogues, n_trees=50, n_dev_trees=10))
    trees, _, cut_short = take_dialogues(start, personas, params.trees, 0)
    assert {len(tree.turns) for tree in trees} == {1}
    assert cut_short == {"the user writes what is no Unicode text": len(trees)}
    write_jsonl(tmp_path / "trees.jsonl", trees)
    assert read_jsonl(type(trees[0]), tmp_path / "trees.jsonl") == trees


def test_two_dialogues_of_one_persona_are_two_trees(preset):
    params, start, _, _, (personas, _) = begun(preset([*GRID, *GRID], n_trees=50, n_dev_trees=10))
    trees, dropped, _ = take_dialogues(start, personas, params.trees, 0)
    assert len(trees) == len({tree.id for tree in trees}) == 32
    assert dropped == {"persona is not of this run": 28}


def test_of_a_pool_as_many_are_drawn_as_asked_for_and_paired(preset):
    params, start, _, drawn, (personas, dropped) = begun(preset(pool=30))
    assert [len(drawn[kind]) for kind in KINDS] == [params.personas.n_profiles, params.personas.n_personalities]
    assert start.dialogues == []
    assert dropped == {}
    assert len(personas) == params.personas.n_profiles * params.personas.personalities_per_profile


def test_too_small_a_copy_is_a_sentence(preset):
    with pytest.raises(NotEnough, match=r"2 profiles of the release can be used, and `personas\.dev_profiles` sets 2"):
        begun(preset([dialogue(0, 0), dialogue(1, 1)]))
    start = read_start(load_params(preset([dialogue(0, 0), dialogue(1, 1)])))
    crossed = {"profile": [Text("train-p000", "Facts 0."), Text("dev-p000", "Facts 1.")],
               "personality": [Text("train-t000", "Traits 1."), Text("dev-t000", "Traits 0.")]}  # fmt: skip
    with pytest.raises(NotEnough, match="both its profile and its personality in the train split"):
        pair_start(start, crossed, load_params("smoke"))


def test_the_plan_of_such_a_run_asks_nobody_to_write_or_to_talk(preset):
    read = load_params(preset(GRID))
    calls = {role.role: role.calls for role in make_plan(read).roles}
    assert calls["persona_writer"] == calls["inducer"] == calls["hinted_responder"] == calls["preference_judge"] == 0
    talks = read.benchmark.n_profiles * read.benchmark.n_personalities
    turns = read.benchmark.n_turns
    assert calls["user"] == talks * (1 + (turns - 1) * len(read.benchmark.policies))
    assert "a copy of the released dialogues" in describe(read)
    pool = {role.role: role.calls for role in make_plan(load_params(preset(pool=30))).roles}
    assert (pool["persona_writer"], pool["inducer"]) == (0, 8 * 4)


def test_such_a_run_has_notebooks_that_read_and_depends_on_the_copy(preset, tmp_path):
    run = open_run(preset(GRID), outputs=tmp_path / "outputs")
    own = [stage.notebook(run).parent.name == "released" for stage in STAGES]
    assert own == [False, True, True, False, False, False, False]
    assert [tmp_path / "conversations.jsonl" in inputs(stage, run) for stage in STAGES[:4]] == [
        False,
        True,
        True,
        False,
    ]
    run = open_run(preset(pool=30), outputs=tmp_path / "outputs")
    assert [stage.notebook(run).parent.name == "released" for stage in STAGES[:3]] == [False, True, False]
    assert tmp_path / "profiles.jsonl" in inputs(STAGES[1], run)


def test_two_starts_or_a_copy_that_is_not_there_are_refused(preset, tmp_path):
    with pytest.raises(UserError, match="are two starts"):
        load_params(preset(GRID, pool=30))
    with pytest.raises(UserError, match=r"`trees\.expand: both` grows dialogues"):
        load_params(preset(GRID, expand="both", expand_depth=1))
    path = preset(GRID)
    (tmp_path / "conversations.jsonl").unlink()
    with pytest.raises(UserError, match=r"`trees\.from_released` is .*conversations\.jsonl, which is no file"):
        load_params(path)


def test_our_own_trees_written_in_the_released_schema_start_another_run(preset, tmp_path):
    params, start, _, _, (personas, _) = begun(preset(GRID, n_trees=50, n_dev_trees=10))
    trees = [dataclasses.replace(t, origin="grown") for t in take_dialogues(start, personas, params.trees, 0).trees]
    write_trees(trees, tmp_path / "ours.jsonl", drop_extra=True)
    again = [json.loads(line) for line in (tmp_path / "ours.jsonl").read_text().splitlines()]
    assert len(read_start(load_params(preset(again))).dialogues) == 16
