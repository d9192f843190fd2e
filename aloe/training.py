"""Preference dialogues in, aligned policies out: supervised fine-tuning, then learning from pairs.

In: a run with its trees. Out: `models/<name>` (safetensors and tokenizer), a CSV of the training, and a summary for
`metrics.json` under `training.<name>`. TRL does the training; every policy is measured on the development personas
before and after. The same seed and number of threads give the same weights, interrupted or not. This module does not
know how the dialogues came about or how a policy is judged.
"""

import dataclasses
import random
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aloe import processes
from aloe.checkpoints import Trainable, load_policy, locate, save_policy, whole_weights
from aloe.departures import recipe_conversations, recipe_pairs
from aloe.errors import UserError
from aloe.examples import Tokens, cut_history, pair_lengths, refuse_long, sft_tokens
from aloe.held_out import compare, held_out_loss, pair_scores, reference_scores
from aloe.launching import Job, arms, launch, taken_up
from aloe.losses import OF_DPO_TRAINER
from aloe.mixes import Mixed, draw_mix
from aloe.params import Dpo, Sft
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.quiet import quiet
from aloe.recipes import CUT_ABOVE, CUT_TO, TrainingStage, turned_on
from aloe.records import DialogueTree, Message, PreferencePair, Reply, read_jsonl
from aloe.resuming import forget
from aloe.runs import Run, split_of
from aloe.system_messages import heard_in_place
from aloe.trainers import learned_tokens, pair_trainer, run_trainer, sft_trainer
from aloe.training_log import write_log
from aloe.tree_attention import TreeTokens, as_trees, sequences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def check_lengths(run: Run, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Look at all that fine-tuning and the pairs after it will read, before anything is trained; arms are left out.

    Raises:
        UserError: something is longer than `training.max_length`; the longest is named.
    """
    limit = run.params.training.max_length
    section = dataclasses.replace(run.params.training, max_length=sys.maxsize)
    whole = dataclasses.replace(run, params=dataclasses.replace(run.params, training=section))
    found: dict[str, int] = {}
    for which in ("preferred", "rejected"):
        for part, rows in _sequences(whole, which, tokenizer)._asdict().items():
            found |= {f"number {i + 1} of {part} {which}": row.context for i, row in enumerate(rows)}
    drawn = _pairs(whole, tokenizer)
    pairs = [*drawn.train, *drawn.dev]
    found |= dict(zip((pair.id for pair in pairs), pair_lengths(tokenizer, pairs, sys.maxsize), strict=True))
    refuse_long(list(found.values()), limit, list(found))


def train_sft(run: Run, which: Reply, name: str | None = None) -> dict[str, Any]:
    """Fine-tune the base model on the preferred (or rejected) replies and write the policy `sft_<which>`, or `name`.

    In this process, or in those that `training.launcher` describes; or not again, if `aloe.train` has done it.

    One sequence per dialogue; learned are the wanted replies that the dialogue went on with, and with `off_branch` the
    others too. The preset's recipe may depart from that for training; what is measured on development personas never
    does.

    Returns:
        For `metrics.json`: counts, time, and the loss in nats per learned token: `train_loss` is the mean over the
        training, `loss_before` and `loss_after` are on development personas (None if they have no such reply).
        `mix` has the same of the general conversations, which are counted apart (None if there are none).

    Raises:
        UserError: no dialogue has such a reply, a sequence is too long, or the base model cannot be loaded.
    """
    return _train(Job(run, "sft", name or f"sft_{which}", which))


def train_dpo(run: Run, name: str = "dpo") -> dict[str, Any]:
    """Optimise the policy `sft_preferred`, which is also the reference, on preference pairs; write the policy `name`.

    The preset's recipe may start from the base model instead, and change the pairs that are trained on. Where it is
    trained is as for `train_sft`.

    Returns:
        For `metrics.json`: counts, time (`tokens` is None where the trainer does not count them), what
        `held_out.compare` says of the pairs of development personas, and `hinted_chosen`: the share of these pairs
        whose preferred reply is the hinted one, which is the accuracy of a policy that always favours that kind of
        reply and reads nobody.

    Raises:
        UserError: there are no pairs, one is too long, or the policy to start from is missing.
    """
    return _train(Job(run, "dpo", name))


def train_arms(run: Run, stage: TrainingStage) -> dict[str, dict[str, Any]]:
    """Train the preset's arms of a stage, each with its own section in place of the preset's.

    Returns:
        The summary of every arm, by name; empty for a preset without arms.
    """
    return {job.name: _train(job) for job in arms(run, stage)}


def train_here(job: Job) -> dict[str, Any]:
    """Train in this process, with those that were started together with it; the first of them writes the policy."""
    return _sft_here(job.run, job.which, job.name) if job.stage == "sft" else _dpo_here(job.run, job.name)


def _train(job: Job) -> dict[str, Any]:
    launcher = job.run.params.training.launcher
    return taken_up(job) or (launch(job, launcher) if launcher else train_here(job))


def _sft_here(run: Run, which: Reply, name: str) -> dict[str, Any]:
    params = run.params.training
    policy = load_policy(locate(params.base_model), params, run.params.seed)
    train, dev, mixed, kept = _sequences(run, which, policy.tokenizer)
    with quiet():
        trainer = sft_trainer(run, name, policy, [*train, *mixed])
        before = held_out_loss(trainer, dev, f"{name}: held-out loss before")
        kept_before = held_out_loss(trainer, kept, f"{name}: general held-out loss before")
        took = run_trainer(run, name, trainer)
        after = held_out_loss(trainer, dev, f"{name}: held-out loss after")
        kept_after = held_out_loss(trainer, kept, f"{name}: general held-out loss after")
    held_out = [{"step": 0, "loss": before}, {"step": took["steps"], "loss": after}] if dev else []
    _leave(run, name, trainer, policy, held_out)
    return {
        "sequences": len(train),
        "dev_sequences": len(dev),
        "rows": len(trainer.train_dataset),  # fewer than sequences where they were packed
        "longest": max(row.context for row in (*train, *mixed, *dev, *kept)),
        "learned_tokens": learned_tokens(train),
        "loss_before": before,
        "loss_after": after,
        **took,
        "mix": _mix_summary(mixed, kept, kept_before, kept_after) if mixed else None,
        "settings": _settings(run, policy, params.sft, "sft"),
    }


def _dpo_here(run: Run, name: str) -> dict[str, Any]:
    params = run.params.training
    source = run.model("base" if params.recipe.from_base else "sft_preferred")
    if not source.is_dir():
        raise UserError(f"{source} does not exist; run the stage that writes it (`make all`).")
    policy = load_policy(str(source), params, run.params.seed)
    train, dev, hinted_chosen = _pairs(run, policy.tokenizer)
    if not train or not dev:
        raise UserError(f"{run.trees} holds {len(train)} training and {len(dev)} development pairs; both are needed.")
    with quiet():
        trainer = pair_trainer(run, policy, train, dev, name)
        computed = params.dpo.loss in OF_DPO_TRAINER
        before = reference_scores(trainer) if computed else pair_scores(trainer, f"{name}: held-out pairs before")
        took = run_trainer(run, name, trainer)
        after = pair_scores(trainer, f"{name}: held-out pairs after")
    scores = compare(before, after, params.dpo.beta if params.dpo.loss == "sigmoid" else None)
    # No loss in these rows: that of the training steps has the SFT term in it, so they could not be compared.
    held_out = [
        {"step": 0, "rewards/accuracies": 0.5, "rewards/margins": None if scores["margin"] is None else 0.0},
        {"step": took["steps"], "rewards/accuracies": scores["accuracy"], "rewards/margins": scores["margin"]},
    ]
    _leave(run, name, trainer, policy, held_out)
    return {
        "pairs": len(train),
        "dev_pairs": len(dev),
        "hinted_chosen": hinted_chosen,
        "longest": trainer.args.max_length,
        **scores,
        **(took if took["tokens"] else {**took, "tokens": None, "tokens_per_second": None}),
        "settings": _settings(run, policy, params.dpo, "dpo"),
    }


def _leave(run: Run, name: str, trainer: Any, policy: Trainable, held_out: Sequence[Mapping[str, Any]]) -> None:
    """Write table and policy, by the first process; what an interrupted training would have gone on from goes."""
    params = run.params.training
    weights = whole_weights(trainer, policy.source, params)
    if trainer.accelerator.is_main_process:
        write_log(run.training_log(name), trainer.state.log_history, held_out)
        save_policy(trainer.model, policy.tokenizer, policy.source, params, run.model(name), weights)
    trainer.accelerator.wait_for_everyone()
    forget(trainer)


class _Sequences(NamedTuple):
    train: list[Tokens] | list[TreeTokens]
    dev: list[Tokens]
    mixed: list[Tokens] | list[TreeTokens]  # general conversations to train on
    kept: list[Tokens]  # and those held out


def _sequences(run: Run, which: Reply, tokenizer: "PreTrainedTokenizerBase") -> _Sequences:
    """What SFT reads: the training dialogues as the recipe has them, the development ones always as corrected."""
    params = run.params.training
    train_trees, dev_trees = _splits(run)
    off_branch = params.sft.off_branch
    if off_branch:
        train = sft_conversations(train_trees, which, off_branch)
    else:
        train = recipe_conversations(train_trees, which, params.recipe)
    if not train:
        has = "has" if off_branch else "goes on with"
        raise UserError(f"No training dialogue in {run.trees} {has} a {which} reply; there is nothing to learn.")
    mix = draw_mix(params.sft.mix, len(train), run.params.seed) if params.sft.mix else Mixed([], [])
    general = ([_as_heard(tokenizer, row) for row in own] for own in mix)
    rows = (sft_conversations(dev_trees, which), *general)
    dev, mixed, kept = (sft_tokens(tokenizer, own, params.max_length) for own in rows)
    learned = sequences(tokenizer, train, params.max_length)
    return _Sequences(learned, dev, as_trees(mixed) if off_branch else mixed, kept)


def _as_heard(tokenizer: "PreTrainedTokenizerBase", row: Mapping[str, Any]) -> dict[str, Any]:
    """A general conversation as the chat template takes it: some know no system message, or move it."""
    messages = heard_in_place(tokenizer, [Message(message["role"], message["content"]) for message in row["messages"]])
    return {"messages": messages, "train": [message["role"] == "assistant" for message in messages]}


def _mix_summary(
    mixed: Sequence[Tokens | TreeTokens], kept: list[Tokens], before: float | None, after: float | None
) -> dict[str, float | None]:
    return {
        "sequences": len(mixed), "learned_tokens": learned_tokens(mixed), "dev_sequences": len(kept),
        "loss_before": before, "loss_after": after,
    }  # fmt: skip


class _Pairs(NamedTuple):
    train: list[PreferencePair]
    dev: list[PreferencePair]
    hinted_chosen: float | None  # share of the development pairs whose chosen reply is the hinted one, where known


def _pairs(run: Run, tokenizer: "PreTrainedTokenizerBase") -> _Pairs:
    """Pairs to train on as the recipe has them, and development pairs, always whole."""
    params = run.params.training
    train_trees, dev_trees = _splits(run)
    train = _draw(recipe_pairs(train_trees, params.recipe), params.dpo.n_pairs, f"{run.params.seed}-train-pairs")
    dev = _draw(dpo_pairs(dev_trees), params.dpo.n_dev_pairs, f"{run.params.seed}-dev-pairs")
    if params.recipe.cut_history:
        train = cut_history(tokenizer, train, CUT_ABOVE, CUT_TO)
    hinted = {turn.id for tree in dev_trees for turn in tree.turns if turn.label == "hinted"}
    known = bool(dev) and all(tree.origin == "grown" for tree in dev_trees)
    return _Pairs(train, dev, sum(pair.id in hinted for pair in dev) / len(dev) if known else None)


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


def _settings(run: Run, policy: Trainable, params: Sft | Dpo, stage: TrainingStage) -> dict[str, Any]:
    """What the training ran with, as far as it decides about the result."""
    import torch

    return {
        "backend": policy.backend,
        "method": run.params.training.method,
        "dtype": str(policy.model.dtype).removeprefix("torch."),
        "device": policy.model.device.type,
        "processes": processes.count(),
        "threads": torch.get_num_threads(),
        "parameters": policy.model.num_parameters(),
        "departures": turned_on(run.params.training.recipe, stage),
        **dataclasses.asdict(params),
    }
