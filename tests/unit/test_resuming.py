"""A killed training goes on and ends as an undisturbed one; what belongs to another training is not gone on from."""

import dataclasses
import json
import random
import shutil
import signal
from pathlib import Path

import pytest
from interrupted import toy_run, train_in_a_process
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import checkpoints, resuming, trainers, training
from aloe.errors import UserError
from aloe.preferences import dpo_pairs
from aloe.quiet import quiet
from aloe.records import write_jsonl

NAME = {"sft": "sft_preferred", "dpo": "dpo"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model that forgets at random while it learns, so that random states count."""
    folder = save_tiny_model(tmp_path_factory.mktemp("base"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.2}))
    return folder


@pytest.fixture
def make_run(base, tmp_path):
    def make(name, **changes):
        run = toy_run(tmp_path / name, base, **changes)
        write_jsonl(run.trees, TREES)
        shutil.copytree(base, run.model("sft_preferred"))
        return run

    return make


def result(run, stage):
    """Summary without times, table, weights."""
    from safetensors.torch import load_file

    summary = run.read_metrics()["training"][stage]
    timed = {"seconds", "tokens_per_second"}
    table = run.training_log(NAME[stage]).read_text()
    weights = load_file(run.model(NAME[stage]) / "model.safetensors")
    return {key: value for key, value in summary.items() if key not in timed}, table, weights


def differences(run, other, stage):
    """The largest difference of a weight, and that of a loss; the tables must be the same to the byte."""
    (summary, table, weights), (expected, expected_table, expected_weights) = result(run, stage), result(other, stage)
    assert table == expected_table
    assert summary.keys() == expected.keys()
    assert {k: v for k, v in summary.items() if not isinstance(v, float)} == {
        k: v for k, v in expected.items() if not isinstance(v, float)
    }
    numbers = [abs(summary[key] - expected[key]) for key in summary if isinstance(summary[key], float)]
    assert weights.keys() == expected_weights.keys()
    return max(float((weights[key] - expected_weights[key]).abs().max()) for key in weights), max(numbers)


def kill_and_go_on(run, stage, step):
    """Kill at the end of a step, then let it end in another process."""
    assert train_in_a_process(run, stage, step) == -signal.SIGKILL
    assert train_in_a_process(run, stage) == 0
    assert 0 < run.read_metrics()["started_from"] < step
    assert not run.unfinished(NAME[stage]).parent.exists()


def random_step(run, stage, seed):
    """One that a checkpoint comes before: the first step has one."""
    return random.Random(seed).randrange(2, run.read_metrics()["training"][stage]["steps"] + 1)


@pytest.mark.parametrize("stage, method, changes", [
    ("sft", "full", {"sft": {"packing": True, "epochs": 4.0}}),
    ("dpo", "lora", {}),
])  # fmt: skip
def test_a_killed_training_ends_with_the_same_weights_and_numbers(make_run, stage, method, changes):
    changes = {"method": method, **changes}
    undisturbed, killed = make_run("undisturbed", save_minutes=None, **changes), make_run("killed", **changes)
    assert train_in_a_process(undisturbed, stage) == 0
    kill_and_go_on(killed, stage, random_step(undisturbed, stage, seed=0))
    assert differences(killed, undisturbed, stage) == (0, pytest.approx(0, abs=1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_five_kills_at_random_steps_change_neither_loss_nor_weights(make_run, stage, method):
    undisturbed = make_run("undisturbed", save_minutes=None, method=method)
    assert train_in_a_process(undisturbed, stage) == 0
    for number in range(5):
        killed, step = make_run(f"killed-{number}", method=method), random_step(undisturbed, stage, number)
        kill_and_go_on(killed, stage, step)
        weight, loss = differences(killed, undisturbed, stage)
        print(f"{stage}, {method}: killed at step {step}, weights differ by {weight:.1e}, losses by {loss:.1e}")
        assert weight <= 1e-5
        assert loss <= 1e-5
