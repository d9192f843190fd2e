"""SFT and DPO with a random tiny model: what is learned, what is measured, what is written, what is refused."""

import dataclasses
import importlib.util
import json
import math
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tiny_model import SENTENCES, save_tiny_model

from aloe import checkpoints, held_out, trainers, training
from aloe.adapters import save_adapter
from aloe.errors import UserError
from aloe.examples import pair_lengths, sft_tokens
from aloe.params import load_params, presets
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.provenance import fingerprint
from aloe.quiet import quiet
from aloe.records import DialogueTree, Persona, Turn, write_jsonl
from aloe.runs import Run
from aloe.toy import save_toy


def tree(number, split, n_turns=3):
    """A dialogue whose preferred reply is always the same sentence, so that there is something to learn."""
    rng, persona = random.Random(f"{number}-{split}"), f"{split}-p{number:03d}-t001"
    turns = [
        Turn(
            id=f"{persona}-k{k}", parent=f"{persona}-k{k - 1}" if k else None, user=rng.choice(SENTENCES),
            inferred_profile="", inferred_personality="",
            hinted=SENTENCES[2], plain=rng.choice([SENTENCES[0], SENTENCES[4]]), verdicts=("", ""), label="hinted",
            branch="hinted" if k == 0 else rng.choice(["hinted", "plain"]),
        )
        for k in range(n_turns)
    ]  # fmt: skip
    return DialogueTree(f"tree-{persona}", Persona(persona, "p", "t", "", ""), tuple(turns))


TREES = [tree(number, "train") for number in range(8)] + [tree(number, "dev") for number in range(3)]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def make_run(base, tmp_path):
    """A run with trees, on the smoke preset in float32 with changes to `training`, its `sft`, its `dpo`."""

    def make(name="toy", trees=TREES, sft=(), dpo=(), **changes):
        params = load_params("smoke")
        new = dataclasses.replace(
            params.training,
            sft=dataclasses.replace(params.training.sft, **{"batch_size": 3, **dict(sft)}),
            dpo=dataclasses.replace(params.training.dpo, **{"batch_size": 4, "n_pairs": 0, **dict(dpo)}),
            **{"base_model": str(base), "max_length": 400, "dtype": "float32", **changes},
        )
        run = Run(name, dataclasses.replace(params, training=new), tmp_path / name)
        write_jsonl(run.trees, trees)
        return run

    return make


@pytest.fixture
def policy(make_run):
    run = make_run()
    return checkpoints.load_policy(run.params.training.base_model, run.params.training, 0)


def test_sft_learns_on_every_dialogue_and_writes_model_log_and_summary(make_run):
    run = make_run(sft={"epochs": 3.0, "learning_rate": 1e-2})
    summary = training.train_sft(run, "preferred")
    assert summary["sequences"] == 8
    assert summary["dev_sequences"] == 3
    assert summary["steps"] == 9  # 8 sequences in batches of 3 are 3 steps an epoch
    assert summary["loss_after"] < summary["loss_before"] - 1
    assert summary["loss_before"] == pytest.approx(math.log(400), abs=0.8)  # a random model knows nothing
    assert summary["tokens"] > summary["learned_tokens"] > 0
    assert summary["settings"]["backend"] == "transformers"
    json.dumps(summary, allow_nan=False)
    log = pd.read_csv(run.training_log("sft_preferred"))
    assert log["split"].tolist() == ["dev", *["train"] * 9, "dev"]
    assert log["step"].tolist() == [0, *range(1, 10), 9]
    assert log["loss"].iloc[[0, -1]].tolist() == pytest.approx(
        [summary["loss_before"], summary["loss_after"]], rel=1e-4
    )
    assert log["tokens"].iloc[-2] == summary["tokens"]
    files = {path.name for path in run.model("sft_preferred").iterdir()}
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "config.json"} <= files
    assert sorted(path.name for path in run.root.glob("*/*")) == [
        "sft_preferred", "sft_preferred", "sft_preferred.csv", "trees.jsonl",
    ]  # model, what TensorBoard shows, table; nothing to go on from  # fmt: skip


@pytest.mark.parametrize("method", ["full", "lora"])
def test_the_same_seed_gives_the_same_weights_and_another_one_others(make_run, method):
    runs = [make_run("a", method=method), make_run("b", method=method)]
    runs.append(dataclasses.replace(make_run("c"), params=dataclasses.replace(runs[0].params, seed=1)))
    for run in runs:
        training.train_sft(run, "rejected")
    a, b, c = (fingerprint(run.model("sft_rejected")) for run in runs)
    assert a == b
    assert a != c


def toy_of(base_model, folder):
    """A toy whose weights are large enough for a token to notice what stands before it."""
    save_toy(base_model, folder)
    model, _ = checkpoints.read_checkpoint(str(folder), "auto", False)
    for weights in model.parameters():
        weights.data *= 5
    with quiet():
        model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("base_model", [None, *sorted({load_params(p).training.base_model for p in presets()})])
def test_packed_sequences_do_not_see_each_other(make_run, base, tmp_path, base_model):
    # One step over everything, its learning rate still 0: the mean loss must be the same as unpacked.
    losses, model = [], str(toy_of(base_model, tmp_path / "toy") if base_model else base)
    for packing in (False, True):
        run = make_run(f"packed-{packing}", sft={"packing": packing, "batch_size": 8, "warmup_ratio": 1.0},
                       base_model=model, max_length=1000)  # fmt: skip
        summary = training.train_sft(run, "preferred")
        assert (summary["sequences"], summary["steps"]) == (8, 1)
        assert (summary["rows"] < 8) == packing
        losses.append((summary["train_loss"], summary["loss_before"], summary["loss_after"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_lora_is_merged_into_the_weights_that_are_written(make_run, base):
    from transformers import AutoModelForCausalLM

    run = make_run(method="lora", sft={"learning_rate": 1e-2, "epochs": 2.0})
    summary = training.train_sft(run, "preferred")
    assert summary["loss_after"] < summary["loss_before"]
    assert not (run.model("sft_preferred") / "adapter_config.json").exists()
    with quiet():
        before, after = (
            AutoModelForCausalLM.from_pretrained(p).state_dict() for p in (base, run.model("sft_preferred"))
        )
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed == {name for name in before if "_proj." in name}  # embeddings and norms stay
    dpo = training.train_dpo(run)
    assert dpo["loss_before"] == pytest.approx(math.log(2))


def test_an_adapter_merges_the_same_from_disk(make_run, base, tmp_path):
    from peft import get_peft_model

    params = make_run(method="lora").params.training
    policy = checkpoints.load_policy(str(base), params, 0)
    model = get_peft_model(policy.model, policy.adapter)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            weights.data.fill_(0.01)
    with quiet():
        save_adapter(model, "base", tmp_path / "adapter")
        from_disk = checkpoints._merged_from_disk(tmp_path / "adapter", str(base), params).state_dict()
        for name, weights in model.merge_and_unload().state_dict().items():
            assert from_disk[name].allclose(weights, atol=1e-6)


def test_held_out_loss_counts_every_learned_token_once_whatever_the_batches(make_run, policy):
    import torch

    run = make_run()
    train = sft_tokens(policy.tokenizer, sft_conversations(TREES[:8], "preferred"), 400)
    with quiet():
        trainer = trainers.sft_trainer(run, "x", policy, train)
        found = held_out.held_out_loss(trainer, train, "x")
        trainer.args.per_device_eval_batch_size = 1
        assert held_out.held_out_loss(trainer, train, "x") == pytest.approx(found, rel=1e-5)
    nats = []
    for row in train:
        with torch.no_grad():
            log_probs = policy.model(torch.tensor([row.input_ids])).logits[0].log_softmax(-1)
        nats += [-float(log_probs[i - 1, label]) for i, label in enumerate(row.labels) if label != -100]
    assert found == pytest.approx(sum(nats) / len(nats), rel=1e-5)
    assert held_out.held_out_loss(trainer, [], "x") is None


def test_the_reference_of_dpo_is_computed_once_from_whole_replies(make_run, policy):
    import torch

    run = make_run()
    train, dev = dpo_pairs(TREES[:8]), dpo_pairs(TREES[8:])
    with quiet():
        trainer = trainers.dpo_trainer(run, policy, train, dev)
        again = held_out.pair_scores(trainer, "x")
    assert trainer.ref_model is None
    assert len(trainer.train_dataset) == 24
    scores = held_out.reference_scores(trainer)
    for found, expected in zip(again, scores, strict=True):
        assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    by_text = {(row["prompt"][-1]["content"], len(row["prompt"]), row["rejected"][0]["content"]): i
               for i, row in enumerate(trainer.eval_dataset)}  # fmt: skip
    for pair in dev[:3]:
        row = by_text[pair.prompt[-1].content, len(pair.prompt), pair.rejected]
        prompt = "".join(f"<|{m.role}|>{m.content}<|end|>" for m in pair.prompt) + "<|assistant|>"
        for text, side in ((pair.chosen, scores.chosen), (pair.rejected, scores.rejected)):
            start, ids = (policy.tokenizer(t)["input_ids"] for t in (prompt, f"{prompt}{text}<|end|>"))
            with torch.no_grad():
                log_probs = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
            expected = sum(float(log_probs[i - 1, ids[i]]) for i in range(len(start), len(ids)))
            assert float(side[row]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_before_the_first_step_the_policy_is_its_own_reference_to_the_last_bit(make_run, dtype):
    run = make_run(dtype=dtype)
    training.train_sft(run, "preferred")
    training.train_dpo(run)
    log = pd.read_csv(run.training_log("dpo"))
    first = log[log["split"] == "train"].iloc[0]
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_large_policy_learns_the_same_with_a_loss_in_pieces_and_recomputed_activations(make_run, method, monkeypatch):
    small = make_run("small", method=method, dpo={"sft_weight": 0.5})
    training.train_sft(small, "preferred")
    large = make_run("large", method=method, dpo={"sft_weight": 0.5})
    shutil.copytree(small.model("sft_preferred"), large.model("sft_preferred"))
    kept = training.train_dpo(small)
    monkeypatch.setattr(trainers, "LARGE", 0)
    pieces = []
    whole = trainers.dpo_trainer
    monkeypatch.setattr(trainers, "dpo_trainer", lambda *given: pieces.append(whole(*given)) or pieces[0])
    found = training.train_dpo(large)
    assert (pieces[0].use_liger_kernel, pieces[0].args.gradient_checkpointing) == (True, True)
    for name in ("train_loss", "margin", "chosen_after", "rejected_after"):
        assert found[name] == pytest.approx(kept[name], rel=1e-3), name


def test_dpo_learns_what_held_out_pairs_prefer(make_run):
    run = make_run(dpo={"epochs": 3.0, "learning_rate": 3e-3, "n_dev_pairs": 9, "sft_weight": 0.5})
    training.train_sft(run, "preferred")
    summary = training.train_dpo(run)
    assert (summary["pairs"], summary["dev_pairs"], summary["steps"]) == (24, 9, 18)
    assert summary["accuracy"] > 0.9
    assert summary["hinted_chosen"] == 1.0  # in these trees the hinted reply is always preferred
    assert summary["margin"] > 0
    assert summary["loss_before"] == pytest.approx(math.log(2))
    assert summary["loss_after"] < summary["loss_before"]
    assert summary["chosen_after"] > summary["chosen_before"]
    assert summary["longest"] <= 400
    log = pd.read_csv(run.training_log("dpo"))
    first = log[log["split"] == "train"].iloc[0]
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-3)  # the policy is still its reference
    assert log["rewards/accuracies"].iloc[-1] == pytest.approx(summary["accuracy"], rel=1e-5)
    assert log["loss"].isna().tolist() == [True, *[False] * 18, True]
    assert (run.model("dpo") / "model.safetensors").is_file()
    assert fingerprint(run.model("dpo")) != fingerprint(run.model("sft_preferred"))


def test_how_often_the_hinted_reply_is_preferred_is_counted_on_the_held_out_pairs(make_run):
    plain = [dataclasses.replace(turn, label="plain") for turn in TREES[-1].turns]  # 3 of the 9 development pairs
    run = make_run(trees=[*TREES[:-1], dataclasses.replace(TREES[-1], turns=tuple(plain))], dpo={"n_dev_pairs": 0})
    training.train_sft(run, "preferred")
    assert training.train_dpo(run)["hinted_chosen"] == pytest.approx(6 / 9)


def test_comparing_pairs_worked_out_by_hand():
    import torch

    before = held_out.PairScores(torch.tensor([-3.0, -2.0, -5.0]), torch.tensor([-4.0, -1.0, -5.0]))
    after = held_out.PairScores(torch.tensor([-1.0, -2.0, -6.0]), torch.tensor([-4.0, -1.0, -5.0]))
    found = held_out.compare(before, after, beta=0.5)
    # gains of chosen: 2, 0, -1; of rejected: 0, 0, 0; margins 1, 0, -0.5
    assert found["margin"] == pytest.approx(0.5 / 3)
    assert found["accuracy"] == pytest.approx(1.5 / 3)  # won, tied (half), lost
    assert found["ranked_right_before"] == pytest.approx(1.5 / 3)  # 1 > , -1 <, 0 tied
    assert found["ranked_right_after"] == pytest.approx(1 / 3)
    assert found["loss_before"] == pytest.approx(math.log(2))
    expected = [math.log(1 + math.exp(-margin)) for margin in (1, 0, -0.5)]
    assert found["loss_after"] == pytest.approx(sum(expected) / 3)
    assert (found["chosen_before"], found["chosen_after"]) == pytest.approx((-10 / 3, -3))


def test_pairs_are_drawn_by_seed_in_the_order_of_the_dialogues():
    pairs = dpo_pairs(TREES)
    drawn = training._draw(pairs, 10, "0-train-pairs")
    assert drawn == training._draw(pairs, 10, "0-train-pairs") != training._draw(pairs, 10, "1-train-pairs")
    assert [pair.id for pair in pairs if pair in drawn] == [pair.id for pair in drawn]
    assert len(set(drawn)) == 10
    assert training._draw(pairs, 0, "0") == training._draw(pairs, 999, "0") == pairs


def test_held_out_personas_never_enter_training(make_run):
    with pytest.raises(UserError, match="neither the training nor the development"):
        training.train_sft(make_run(trees=[*TREES, tree(1, "bench")]), "preferred")


def test_a_pair_that_is_too_long_is_found_before_fine_tuning(make_run, base):
    *begun, last = TREES[0].turns
    ending = dataclasses.replace(last, hinted=" ".join(SENTENCES), plain=SENTENCES[0], branch="plain")
    trees = [dataclasses.replace(TREES[0], turns=(*begun, ending)), *TREES[1:]]
    tokenizer = checkpoints.read_tokenizer(make_run().params.training)
    longest = max(pair_lengths(tokenizer, dpo_pairs(trees), 400))
    training.check_lengths(make_run(trees=trees, max_length=longest), tokenizer)
    with pytest.raises(UserError, match=rf"The longest example \({last.id}\) has {longest} tokens, and 1 of"):
        training.check_lengths(make_run(trees=trees, max_length=longest - 1), tokenizer)


@pytest.mark.parametrize("changes, message", [
    ({"max_length": 60}, "max_length` = 60; no example is cut. Raise it"),
    ({"backend": "unsloth"}, "there is no CUDA device"),
    ({"load_in_4bit": True}, "needs a CUDA device"),
    ({"base_model": "aloe/no/such_model"}, "make base-model"),
    ({"base_model": "params"}, "holds no model"),
])  # fmt: skip
def test_what_cannot_be_trained_is_refused_in_a_sentence(make_run, monkeypatch, changes, message):
    monkeypatch.setattr(checkpoints, "has_cuda", lambda: False)
    with pytest.raises(UserError, match=message):
        training.train_sft(make_run(**changes), "preferred")


def test_a_reporter_that_is_not_installed_is_a_sentence(make_run, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "wandb" else real(name, *rest))
    with pytest.raises(UserError, match="is wandb, which is not installed"):
        training.train_sft(make_run(report_to="wandb"), "preferred")


def test_a_model_that_cannot_be_loaded_is_a_sentence(make_run, base, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text((base / "config.json").read_text())
    with pytest.raises(UserError, match="could not be loaded"):
        training.train_sft(make_run(base_model=str(broken)), "preferred")


def test_dpo_needs_the_sft_policy_and_pairs_of_both_splits(make_run):
    with pytest.raises(UserError, match="sft_preferred does not exist"):
        training.train_dpo(make_run())
    run = make_run(trees=TREES[:8])
    checkpoints.save_base(run.params.training, run.model("sft_preferred"))
    with pytest.raises(UserError, match="24 training and 0 development pairs"):
        training.train_dpo(run)


def test_sft_needs_a_wanted_reply_that_continued(make_run):
    always = [dataclasses.replace(t, turns=tuple(dataclasses.replace(turn, branch="hinted") for turn in t.turns))
              for t in TREES]  # fmt: skip
    with pytest.raises(UserError, match="goes on with a rejected reply"):
        training.train_sft(make_run(trees=always), "rejected")


def test_auto_takes_unsloth_only_where_it_can_run(monkeypatch):
    for cuda, installed, expected in (
        (False, True, "transformers"),
        (True, False, "transformers"),
        (True, True, "unsloth"),
    ):
        monkeypatch.setattr(checkpoints, "has_cuda", lambda cuda=cuda: cuda)
        monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name, there=installed: there or None)
        assert checkpoints.choose_backend("auto") == expected
        assert checkpoints.choose_backend("transformers") == "transformers"
    monkeypatch.setattr(checkpoints.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed"):
        checkpoints.choose_backend("unsloth")


def test_on_a_gpu_a_full_training_has_weights_that_small_steps_can_move(make_run, base, monkeypatch, tmp_path):
    import torch

    half = Path(shutil.copytree(base, tmp_path / "half"))
    config = json.loads((half / "config.json").read_text())
    (half / "config.json").write_text(json.dumps({**config, "dtype": "bfloat16"}))
    params = make_run(dtype="bfloat16").params.training
    lora, light = (
        dataclasses.replace(params, **{k: v}) for k, v in (("method", "lora"), ("dtype", "bfloat16_weights"))
    )
    assert {checkpoints.training_dtype(p) for p in (params, lora, light)} == {torch.float32}  # a CPU
    assert checkpoints.written_dtype(str(half), params) == torch.float32
    monkeypatch.setattr(checkpoints, "has_cuda", lambda: True)
    assert [checkpoints.training_dtype(p) for p in (params, lora, light)] == [
        torch.float32, torch.bfloat16, torch.bfloat16,
    ]  # fmt: skip
    # a step of DPO's size is lost on a weight of 16 bits
    weight = torch.tensor(0.02, dtype=torch.bfloat16)
    assert weight + 2e-5 == weight
    assert weight.float() + 2e-5 > weight
    # what is left is as precise as the model that it came from
    assert checkpoints.written_dtype(str(half), params) == torch.bfloat16
    assert checkpoints.written_dtype(str(base), params) == torch.float32


def test_silence_ends_where_it_began():
    import logging

    from transformers.utils import logging as transformers_logging

    before = (transformers_logging.get_verbosity(), logging.getLogger("trl").level)
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert (transformers_logging.get_verbosity(), logging.getLogger("trl").level) == before
