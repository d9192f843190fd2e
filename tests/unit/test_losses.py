"""Every loss that a preset can name, on a random tiny model: two steps move what they should and lose nothing."""

import dataclasses
import json
import typing

import pandas as pd
import pytest
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import checkpoints, held_out, losses, trainers, training
from aloe.params import Dpo, load_params
from aloe.preferences import dpo_pairs
from aloe.quiet import quiet
from aloe.records import write_jsonl
from aloe.runs import Run

SFT_WEIGHTS = {"sigmoid": 0.0, "ipo": 0.0, "kto": 0.0, "cpo": 1.0, "simpo": 0.0, "orpo": 1.0}
BETAS = {"simpo": 2.0, "ipo": 0.5}
PAIRS = dpo_pairs(TREES[:8])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def run(base, tmp_path):
    """A run for a loss, of two steps of twelve pairs, whose policy to start from is the random model."""

    def make(loss, **changes):
        params = load_params("smoke")
        dpo = {"loss": loss, "sft_weight": SFT_WEIGHTS[loss], "beta": BETAS.get(loss, 0.1), "learning_rate": 3e-3,
               "batch_size": 12, "n_pairs": 0, "n_dev_pairs": 9, "warmup_ratio": 0.0}  # fmt: skip
        section = dataclasses.replace(params.training.dpo, **dpo)
        new = dataclasses.replace(
            params.training,
            **{"base_model": str(base), "max_length": 400, "dtype": "float32", "dpo": section, **changes},
        )
        run = Run(loss, dataclasses.replace(params, training=new), tmp_path / loss)
        write_jsonl(run.trees, TREES)
        checkpoints.save_base(new, run.model("sft_preferred"))
        return run

    return make


def test_every_loss_that_a_preset_can_name_is_described():
    assert typing.get_args(typing.get_type_hints(Dpo)["loss"]) == tuple(losses.LOSSES)
    assert set(SFT_WEIGHTS) == set(losses.LOSSES)


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_two_steps_draw_the_replies_apart_and_every_pair_is_trained_on(run, loss):
    run = run(loss)
    summary = training.train_dpo(run)
    assert (summary["pairs"], summary["dev_pairs"], summary["steps"]) == (24, 9, 2)
    gain = {side: summary[f"{side}_after"] - summary[f"{side}_before"] for side in ("chosen", "rejected")}
    assert gain["chosen"] > gain["rejected"]
    assert summary["accuracy"] > 0.5
    if SFT_WEIGHTS[loss]:
        assert gain["chosen"] > 0  # the SFT term
    defined = loss == "sigmoid"
    assert [summary[name] is not None for name in ("margin", "loss_before", "loss_after")] == [defined] * 3
    json.dumps(summary, allow_nan=False)
    assert (run.model("dpo") / "model.safetensors").is_file()
    log = pd.read_csv(run.training_log("dpo"))
    assert log["split"].tolist() == ["dev", "train", "train", "dev"]
    assert log["loss"].notna().tolist() == [False, True, True, False]


@pytest.mark.parametrize("loss", ["ipo", "kto", "cpo", "simpo", "orpo"])
def test_a_trainer_holds_whole_replies_with_the_history_and_no_second_model(run, loss):
    run = run(loss)
    policy = checkpoints.load_policy(str(run.model("sft_preferred")), run.params.training, 0)
    with quiet():
        trainer = trainers.pair_trainer(run, policy, PAIRS, dpo_pairs(TREES[8:]))
    assert getattr(trainer, "ref_model", None) is None
    held = trainer.train_dataset
    names = {"kto": ("prompt_ids", "completion_ids"), "ipo": ("prompt_ids", "chosen_ids", "rejected_ids")}.get(loss)
    prompt, *replies = names or ("prompt_input_ids", "chosen_input_ids", "rejected_input_ids")
    found = sorted(
        (policy.tokenizer.decode(row[prompt]), policy.tokenizer.decode(row[reply][0 if names else len(row[prompt]) :]))
        for row in held
        for reply in replies
    )
    assert found == sorted(
        ("".join(f"<|{m.role}|>{m.content}<|end|>" for m in pair.prompt) + "<|assistant|>", f"{text}<|end|>")
        for pair in PAIRS
        for text in (pair.chosen, pair.rejected)
    )


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_rewards_are_watched_only_where_they_are_against_a_reference(run, loss, monkeypatch):
    from transformers import TrainerCallback

    run, seen = run(loss), []
    policy = checkpoints.load_policy(str(run.model("sft_preferred")), run.params.training, 0)
    monkeypatch.setattr(trainers, "watch", lambda *given: seen.append(given) or TrainerCallback())
    with quiet():
        trainers.pair_trainer(run, policy, PAIRS[:2], PAIRS[2:3])
    assert seen == [("dpo", None if loss in ("cpo", "simpo", "orpo") else BETAS.get(loss, 0.1))]


@pytest.mark.parametrize("loss", losses.WITH_REFERENCE)
def test_before_the_first_step_every_reward_is_zero_in_half_precision_too(run, loss):
    run = run(loss, dtype="bfloat16")
    training.train_dpo(run)
    log = pd.read_csv(run.training_log("dpo"))
    first = log[log["split"] == "train"].iloc[0]
    assert (first["rewards/chosen"], first["rewards/rejected"]) == pytest.approx((0, 0), abs=1e-7)


def test_an_adapter_is_its_own_reference(run):
    run = run("kto", method="lora")
    summary = training.train_dpo(run)
    assert summary["chosen_after"] - summary["chosen_before"] > summary["rejected_after"] - summary["rejected_before"]


def test_kto_never_compares_a_prompt_with_a_reply_to_itself():
    rows = losses._replies(PAIRS[:3])
    assert [row["label"] for row in rows] == [True] * 3 + [False] * 3
    assert [row["prompt"] for row in rows[:3]] == [row["prompt"] for row in rows[3:]]
    # TRL takes the completion of the row before, of the last one for the first.
    assert all(rows[i]["prompt"] != rows[i - 1]["prompt"] for i in range(len(rows)))


def test_what_a_pair_is_scored_on_does_not_depend_on_the_loss(run):
    scores = []
    for loss in ("sigmoid", "orpo"):
        own = run(loss)
        policy = checkpoints.load_policy(str(own.model("sft_preferred")), own.params.training, 0)
        with quiet():
            trainer = trainers.pair_trainer(own, policy, PAIRS, dpo_pairs(TREES[8:]))
            found = held_out.pair_scores(trainer, "x")
        scores.append(sorted(found.chosen.tolist()) + sorted(found.rejected.tolist()))
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_without_beta_nothing_is_said_of_margin_and_loss():
    import torch

    before, after = (held_out.PairScores(torch.tensor([c]), torch.tensor([-4.0])) for c in (-3.0, -1.0))
    found = held_out.compare(before, after, None)
    assert (found["accuracy"], found["chosen_after"]) == (1.0, -1.0)
    assert found["margin"] is found["loss_before"] is found["loss_after"] is None
