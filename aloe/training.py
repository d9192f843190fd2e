"""Preference dialogues in, aligned policies out: supervised fine-tuning, then direct preference optimisation.

In: a run with its trees. Out: `models/<name>` (safetensors and tokenizer), a CSV of the training, and a summary for
`metrics.json` under `training.<name>`. TRL does the training; every policy is measured on the development personas
before and after. The same seed and number of threads give the same weights, interrupted or not. This module does not
know how the dialogues came about or how a policy is judged.
"""

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from aloe.checkpoints import Trainable, load_policy, locate, save_policy
from aloe.errors import UserError
from aloe.examples import sft_tokens
from aloe.held_out import compare, held_out_loss, pair_scores, reference_scores
from aloe.params import Dpo, Sft
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.quiet import quiet
from aloe.records import DialogueTree, PreferencePair, Reply, read_jsonl
from aloe.resuming import forget
from aloe.runs import Run, split_of
from aloe.trainers import dpo_trainer, learned_tokens, run_trainer, sft_trainer
from aloe.training_log import write_log


def train_sft(run: Run, which: Reply) -> dict[str, Any]:
    """Fine-tune the base model on the preferred (or rejected) replies and write the policy `sft_<which>`.

    One sequence per dialogue; learned are the wanted replies that the dialogue went on with.

    Returns:
        For `metrics.json`: counts, time, and the loss in nats per learned token: `train_loss` is the mean over the
        training, `loss_before` and `loss_after` are on development personas (None if they have no such reply).

    Raises:
        UserError: no dialogue has such a reply, a sequence is too long, or the base model cannot be loaded.
    """
    name, params = f"sft_{which}", run.params.training
    policy = load_policy(locate(params.base_model), params, run.params.seed)
    train, dev = (
        sft_tokens(policy.tokenizer, sft_conversations(trees, which), params.max_length) for trees in _splits(run)
    )
    if not train:
        raise UserError(f"No training dialogue in {run.trees} goes on with a {which} reply; there is nothing to learn.")
    with quiet():
        trainer = sft_trainer(run, name, policy, train)
        before = held_out_loss(trainer, dev, f"{name}: held-out loss before")
        took = run_trainer(run, name, trainer)
        after = held_out_loss(trainer, dev, f"{name}: held-out loss after")
    held_out = [{"step": 0, "loss": before}, {"step": took["steps"], "loss": after}] if dev else []
    write_log(run.training_log(name), trainer.state.log_history, held_out)
    save_policy(trainer.model, policy.tokenizer, policy.source, params, run.model(name))
    forget(trainer)
    return {
        "sequences": len(train),
        "dev_sequences": len(dev),
        "rows": len(trainer.train_dataset),  # fewer than sequences where they were packed
        "longest": max(len(row.input_ids) for row in (*train, *dev)),
        "learned_tokens": learned_tokens(train),
        "loss_before": before,
        "loss_after": after,
        **took,
        "settings": _settings(run, policy, params.sft),
    }


def train_dpo(run: Run) -> dict[str, Any]:
    """Optimise the policy `sft_preferred`, which is also the reference, on preference pairs; write the policy `dpo`.

    Returns:
        For `metrics.json`: counts, time, what `held_out.compare` says of the pairs of development personas, and
        `hinted_chosen`: the share of these pairs whose preferred reply is the hinted one, which is the accuracy of a
        policy that always favours that kind of reply and reads nobody.

    Raises:
        UserError: there are no pairs, one is too long, or the SFT policy is missing.
    """
    params, source = run.params.training, run.model("sft_preferred")
    if not source.is_dir():
        raise UserError(f"{source} does not exist; run the stage that writes it (`make all`).")
    policy = load_policy(str(source), params, run.params.seed)
    train_trees, dev_trees = _splits(run)
    train = _draw(dpo_pairs(train_trees), params.dpo.n_pairs, f"{run.params.seed}-train-pairs")
    dev = _draw(dpo_pairs(dev_trees), params.dpo.n_dev_pairs, f"{run.params.seed}-dev-pairs")
    if not train or not dev:
        raise UserError(f"{run.trees} holds {len(train)} training and {len(dev)} development pairs; both are needed.")
    with quiet():
        trainer = dpo_trainer(run, policy, train, dev)
        before = reference_scores(trainer)
        took = run_trainer(run, "dpo", trainer)
        after = pair_scores(trainer, "dpo: held-out pairs after")
    scores = compare(before, after, params.dpo.beta)
    hinted = {turn.id for tree in dev_trees for turn in tree.turns if turn.label == "hinted"}
    # No loss in these rows: that of the training steps has the SFT term in it, so they could not be compared.
    held_out = [
        {"step": 0, "rewards/accuracies": 0.5, "rewards/margins": 0.0},
        {"step": took["steps"], "rewards/accuracies": scores["accuracy"], "rewards/margins": scores["margin"]},
    ]
    write_log(run.training_log("dpo"), trainer.state.log_history, held_out)
    save_policy(trainer.model, policy.tokenizer, policy.source, params, run.model("dpo"))
    forget(trainer)
    return {
        "pairs": len(train),
        "dev_pairs": len(dev),
        "hinted_chosen": sum(pair.id in hinted for pair in dev) / len(dev),
        "longest": trainer.args.max_length,
        **scores,
        **took,
        "settings": _settings(run, policy, params.dpo),
    }


def _splits(run: Run) -> tuple[list[DialogueTree], list[DialogueTree]]:
    """Training and development dialogues."""
    trees = read_jsonl(DialogueTree, run.trees)
    train, dev = ([tree for tree in trees if split_of(tree.persona.id) == split] for split in ("train", "dev"))
    if len(train) + len(dev) < len(trees):
        raise UserError(f"{run.trees} holds dialogues with personas of neither the training nor the development "
                        f"split; only those may be trained on.")  # fmt: skip
    return train, dev


def _draw(pairs: Sequence[PreferencePair], n: int, seed: str) -> list[PreferencePair]:
    """`n` pairs at random, in the order of the dialogues; all of them where n is 0 or there are no more."""
    if n == 0 or n >= len(pairs):
        return list(pairs)
    return [pairs[i] for i in sorted(random.Random(seed).sample(range(len(pairs)), n))]


def _settings(run: Run, policy: Trainable, params: Sft | Dpo) -> dict[str, Any]:
    """What the training ran with, as far as it decides about the result."""
    import torch

    return {
        "backend": policy.backend,
        "method": run.params.training.method,
        "dtype": str(policy.model.dtype).removeprefix("torch."),
        "device": policy.model.device.type,
        "threads": torch.get_num_threads(),
        "parameters": policy.model.num_parameters(),
        **dataclasses.asdict(params),
    }
