"""Early warning: bounds by hand, and real trainings with absurd steps."""

import shutil

import pytest
from interrupted import toy_run
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import training, watching
from aloe.errors import UserError
from aloe.records import write_jsonl


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


def rows(losses, **columns):
    """A log: one row per loss, other columns the same in each row or a list."""
    each = {name: value if isinstance(value, list) else [value] * len(losses) for name, value in columns.items()}
    return [{"loss": loss, **{name: values[i] for name, values in each.items()}} for i, loss in enumerate(losses)]


def dpo_rows(accuracy=0.7, gain=-3.0, before=-40.0, beta=0.1):
    """Fifteen rows of DPO whose chosen replies gained `gain` nats on `before`."""
    return rows([0.6] * 15, **{"rewards/accuracies": accuracy, "rewards/chosen": beta * gain,
                               "logps/chosen": before + gain})  # fmt: skip


def test_a_loss_that_rises_is_told_and_one_that_falls_or_is_short_is_not():
    # the present is the mean of the last 10; the bound for 2.0 is 1.5 * 2.0 + 0.1 = 3.1
    text = watching.signs(rows([2.0] * 5 + [3.2] * 10), "sft", None)["risen"]
    assert "from 2.00 to 3.20; lower `training.sft.learning_rate`" in text
    assert watching.signs(rows([2.0] * 5 + [3.0] * 10), "sft", None) == {}
    assert watching.signs(rows([2.0] * 5 + [9.0] * 9), "sft", None) == {}  # too few
    assert watching.signs(rows([2.0] * 2 + [9.0] * 13), "sft", None).keys() == {"risen"}  # at once
    assert watching.signs(rows([9.0] * 5 + [2.0] * 5 + [3.2] * 10), "sft", None).keys() == {"risen"}  # later
    assert watching.signs(rows([9.0, 1.0] * 9), "sft", None) == {}  # a rough line


@pytest.mark.parametrize("changes, expected", [
    ({}, set()),
    ({"accuracy": 0.4}, {"accuracy"}),
    ({"gain": -19.0}, set()),  # -40 to -59: lost less than half as much again
    ({"gain": -21.0}, {"chosen"}),  # -40 to -61
    ({"gain": -21.0, "beta": 0.9}, {"chosen"}),  # in nats, whatever beta is
    ({"gain": 5.0}, set()),
])  # fmt: skip
def test_rewards_that_diverge_are_told(changes, expected):
    assert watching.signs(dpo_rows(**changes), "dpo", changes.get("beta", 0.1)).keys() == expected


def test_rewards_that_a_trainer_does_not_log_are_not_judged():
    short = [{key: value for key, value in row.items() if key != "rewards/accuracies"} for row in dpo_rows(gain=-30.0)]
    assert watching.signs(short, "dpo", 0.1) == {}
    assert watching.signs(dpo_rows(gain=-30.0), "dpo", None) == {}


@pytest.mark.parametrize("logs", [
    {"loss": float("nan"), "grad_norm": 1.0}, {"loss": 1.0, "grad_norm": float("inf")},
])  # fmt: skip
def test_what_is_no_number_stops_a_training_with_a_remedy(logs):
    with pytest.raises(UserError, match=r"before step 7 of 20.*lower `training.dpo.learning_rate`"):
        watching.refuse_no_number(logs, "dpo", 7, 20)
    watching.refuse_no_number({"loss": 1.0}, "dpo", 7, 20)


@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_a_training_with_an_absurd_learning_rate_is_warned_of_once_while_it_runs(base, tmp_path, capsys, stage):
    settings = {"learning_rate": 3.0, "epochs": 4.0, "warmup_ratio": 0.0}
    run = toy_run(tmp_path / "run", base, **{stage: settings})
    write_jsonl(run.trees, TREES)
    if stage == "sft":
        training.train_sft(run, "preferred")
    else:
        shutil.copytree(base, run.model("sft_preferred"))
        training.train_dpo(run)
    warned = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Warning")]
    assert any("the loss has risen" in line for line in warned)
    assert any("rewards diverge" in line for line in warned) == (stage == "dpo")
    assert len({line.split(": ")[1][:20] for line in warned}) == len(warned)  # each once


def test_a_training_whose_weights_are_lost_stops_before_its_policy_is_written(base, tmp_path):
    run = toy_run(tmp_path / "run", base, sft={"learning_rate": 1e30, "warmup_ratio": 0.0})
    write_jsonl(run.trees, TREES)
    with pytest.raises(UserError, match="so the weights are lost and the training was stopped"):
        training.train_sft(run, "preferred")
    assert not run.model("sft_preferred").exists()
