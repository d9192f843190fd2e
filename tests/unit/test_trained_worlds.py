"""Worlds with a training of their own: what is repeated, what is kept, and that nothing is done twice.

Training is stood in for by a folder and a policy that says one thing; dialogues, users and judges are the simulated
model's.
"""

import dataclasses

import pytest

from aloe import trained_worlds
from aloe.params import load_params
from aloe.records import DialogueTree, Persona, read_jsonl, write_jsonl
from aloe.runs import Run
from aloe.world_sections import Evidence, Trainings
from aloe.worlds import parts_of

SIZES = Trainings(n_seeds=1, effects=(0.0, 1.0), n_trees=2, n_dev_trees=1, n_pairs=1, n_dev_pairs=1,
                  cases_per_profile=1, n_simulators=2, n_judges=2)  # fmt: skip


class Greeting:
    """A policy that always says the same."""

    def reply(self, conversations):
        return ["That sounds lovely, tell me more!"] * len(conversations)


@pytest.fixture
def run(tmp_path):
    params = load_params("smoke")
    bench = dataclasses.replace(params.benchmark, n_profiles=2, n_personalities=2, n_turns=2)
    trees = dataclasses.replace(params.trees, n_turns=2)
    params = dataclasses.replace(params, benchmark=bench, trees=trees, evidence=Evidence(trainings=SIZES))
    run = Run("smoke", params, tmp_path / "run")
    texts = ("She is a nurse. She keeps bees.", "She is shy. She likes short answers.")
    write_jsonl(run.personas, [Persona(f"{split}-p{i}-t{i}", f"{split}-p{i}", f"{split}-t{i}", *texts)
                               for split in ("train", "dev") for i in range(3)])  # fmt: skip
    return run


@pytest.fixture
def trained(monkeypatch):
    """Which policies were trained, where, with how many dialogues; DPO fails as often as the list `failing` says."""
    found, failing = [], []

    def train(name):
        def leave(own, *_):
            if name == "dpo" and failing:
                raise RuntimeError(failing.pop())
            trees = sum(1 for _ in read_jsonl(DialogueTree, own.trees))
            found.append((name, own.params.sandbox.effect, trees))
            own.model(name).mkdir(parents=True)

        return leave

    monkeypatch.setattr(trained_worlds, "train_sft", train("sft_preferred"))
    monkeypatch.setattr(trained_worlds, "train_dpo", train("dpo"))
    monkeypatch.setattr(trained_worlds, "open_policy", lambda *_: Greeting())
    return found, failing


def test_every_effect_has_its_own_training_and_every_simulator_and_judge_scores_the_same_people(run, trained):
    scores = trained_worlds.run_trainings(run)
    # 3 dialogues each: 2 to train on, 1 of development.
    assert trained[0] == [("sft_preferred", 0.0, 3), ("dpo", 0.0, 3), ("sft_preferred", 1.0, 3), ("dpo", 1.0, 3)]
    # 2 effects x 2 simulators x 2 people x 2 turns x 2 judges
    assert len(scores) == 32
    assert scores.groupby(["effect", "seed", "simulator", "judge"])["case"].nunique().tolist() == [2] * 8
    assert scores[["level", "level_shuffled"]].notna().all(axis=None)
    assert run.trained_worlds.is_file()


def test_only_scores_are_kept_and_nothing_is_trained_twice(run, trained):
    first = trained_worlds.run_trainings(run)
    assert [path.suffix for path in parts_of(run).iterdir()] == [".parquet"] * 2
    trained[0].clear()
    assert trained_worlds.run_trainings(run).equals(first)
    assert trained[0] == []


def test_an_interrupted_training_goes_on_with_its_dialogues_and_its_first_model(run, trained, monkeypatch):
    trained[1].append("the machine stops")
    with pytest.raises(RuntimeError, match="the machine stops"):
        trained_worlds.run_trainings(run)
    monkeypatch.setattr(trained_worlds, "grow_trees", lambda *_: pytest.fail("dialogues were held twice"))
    with pytest.raises(pytest.fail.Exception, match="held twice"):  # those of the second effect, which has none yet
        trained_worlds.run_trainings(run)
    assert trained[0] == [("sft_preferred", 0.0, 3), ("dpo", 0.0, 3)]


def test_other_sizes_or_other_people_are_another_world(run, trained):
    trained_worlds.run_trainings(run)
    more = dataclasses.replace(run.params, evidence=Evidence(trainings=dataclasses.replace(SIZES, n_pairs=2)))
    trained[0].clear()
    trained_worlds.run_trainings(dataclasses.replace(run, params=more))
    assert len(trained[0]) == 4
    write_jsonl(run.personas, list(read_jsonl(Persona, run.personas))[:-1])
    trained[0].clear()
    trained_worlds.run_trainings(run)
    assert len(trained[0]) == 4


def test_a_preset_that_repeats_no_training_trains_nothing(run, trained):
    none = dataclasses.replace(run, params=dataclasses.replace(run.params, evidence=Evidence()))
    assert trained_worlds.run_trainings(none).empty
    assert not run.trained_worlds.exists()
