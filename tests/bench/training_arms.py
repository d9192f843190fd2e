"""The arms of `training.py`: one training each, this project's way or the straightforward one, and what it took.

In: a folder with dialogues and a random model (`prepare`), and which arm. Out: tokens, seconds, CPU seconds, loss, and
the peak memory of this process. Every arm of SFT sees the same dialogues a step; every arm of DPO has the same pairs a
step at most, the same adapter and the same precision. Dialogues are of two kinds: in those that go on with the
`preferred` reply every arm learns the same replies; in those of the study, which go on with a `random` one, a preferred
reply that was not taken stands in no history: a prefix of its own holds it, or a tree (`training.sft.off_branch`).
"""

import contextlib
import dataclasses
import io
import itertools
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from memory import some_personas

from aloe.chat import open_chat
from aloe.checkpoints import Trainable, computes_bfloat16, load_policy, locate
from aloe.dialogues import grow_trees
from aloe.examples import IGNORED, Tokens, dpo_row, pair_lengths, sft_tokens
from aloe.held_out import held_out_loss
from aloe.params import Params, load_params
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.quiet import quiet
from aloe.records import DialogueTree, PreferencePair, read_jsonl, write_jsonl
from aloe.runs import Run
from aloe.trainers import dpo_trainer, run_trainer, sft_trainer
from aloe.tree_attention import TreeTokens, as_trees, tree_tokens

SEQUENCE, TREE = "one sequence a dialogue", "one tree a dialogue"
PREFIX, OWN_PREFIX = "a prefix a preferred reply", "a prefix a reply of ours"
SFT_ARMS = (SEQUENCE, TREE, PREFIX, OWN_PREFIX)
Branch = Literal["preferred", "random"]
SFT_CELLS: tuple[tuple[Branch, tuple[str, ...]], ...] = (
    ("preferred", (SEQUENCE, PREFIX)),
    ("random", (TREE, PREFIX)),
    ("random", (SEQUENCE, PREFIX, OWN_PREFIX)),
)
"""Which reply the dialogues go on with, and the arms: ours first, then the straightforward ways."""
DPO_ARMS = ("this project", "a second model as reference", "reference by the adapter off")
VOCABULARY, LAYERS = 32_000, 12
Row = dict[str, Any]  # a conversation and which of its messages to learn, as `sft_conversations` gives it


def prepare(folder: Path, n_train: int, n_dev: int, n_turns: int, width: int) -> None:
    """Grow dialogues with the simulated model in this process, and write the random model of DPO."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    params = load_params("sandbox")
    run, people = Run("bench", params, folder / "grown"), some_personas(n_train + n_dev)
    for branch in dict(SFT_CELLS):  # each once
        trees = dataclasses.replace(params.trees, n_turns=n_turns, branch=branch)
        with open_chat(run) as chat, contextlib.redirect_stderr(io.StringIO()):
            grown = list(grow_trees(chat, people, trees, params.seed))
        write_jsonl(folder / f"train-{branch}.jsonl", grown[:n_train])
        write_jsonl(folder / f"dev-{branch}.jsonl", grown[n_train:])
    tokenizer = AutoTokenizer.from_pretrained(locate(params.training.base_model))
    torch.manual_seed(params.seed)
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=width * 8 // 3, num_hidden_layers=LAYERS,
        num_attention_heads=max(1, width // 64), max_position_embeddings=2048, tie_word_embeddings=True,
        bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    ))  # fmt: skip
    with quiet():
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")


def measure(what: Row, folder: Path) -> Row:
    """Train one arm. `megabytes` is the peak of this process (Linux counts it in KiB)."""
    branch = what.get("branch", "random")
    train, dev = (read_jsonl(DialogueTree, folder / f"{name}-{branch}.jsonl") for name in ("train", "dev"))
    found = sft(what, train, dev, folder) if what["arm"] in SFT_ARMS else dpo(what, train, dev, folder)
    return {**found, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def sft(what: Row, train: Sequence[DialogueTree], dev: Sequence[DialogueTree], folder: Path) -> Row:
    """Fine-tune the shipped base model for one epoch. `replies` counts those learned, `loss` is the held-out one."""
    from datasets import Dataset

    params = load_params("sandbox")
    policy = load_policy(locate(params.training.base_model), params.training, params.seed)
    steps, size = batches(what["arm"], train, policy.tokenizer, params)
    rows = list(itertools.chain(*steps))
    run = changed(params, folder, "sft", learning_rate=what["rate"], epochs=1.0, batch_size=size,
                  gradient_accumulation=len(steps[0]) // size, off_branch=what["arm"] == TREE)  # fmt: skip
    with quiet():
        trainer = sft_trainer(run, "bench", policy, rows)
        trainer.train_dataset = Dataset.from_list([row._asdict() for row in rows])  # in this order
        busy = time.process_time()
        took = run_trainer(run, "bench", trainer)
        busy = time.process_time() - busy
        held_out = sft_tokens(policy.tokenizer, prefixes(PREFIX, dev), params.training.max_length)
        loss = held_out_loss(trainer, sorted(held_out, key=lambda row: len(row.input_ids)), "held out")
    assert took["steps"] == len(steps)
    measured = {key: took[key] for key in ("steps", "tokens", "seconds")}
    return {**measured, "cpu": busy, "loss": loss, "replies": learned(rows)}


def batches(
    arm: str, train: Sequence[DialogueTree], tokenizer: Any, params: Params
) -> tuple[list[list[Tokens | TreeTokens]], int]:
    """The sequences of each step, and how many go through the model at once.

    A step's prefixes stand beside those of like length, so that little is padding. Every step has the same number of
    sequences: short ones that hold nothing to learn stand in for replies that it lacks.
    """
    together = params.training.sft.batch_size
    trees = [tree for tree in train if sft_conversations([tree], "preferred")]
    random.Random(params.seed).shuffle(trees)
    trees = trees[: len(trees) // together * together]
    steps: list[Sequence[Tokens | TreeTokens]] = []
    for i in range(0, len(trees), together):
        own, longest = trees[i : i + together], params.training.max_length
        if arm == TREE:
            steps.append(tree_tokens(tokenizer, sft_conversations(own, "preferred", off_branch=True), longest))
        else:
            steps.append(sft_tokens(tokenizer, prefixes(arm, own), longest))
    most = -(-max(map(len, steps)) // together) * together
    plain = Tokens([tokenizer.pad_token_id] * 2, [IGNORED] * 2)
    nothing = as_trees([plain])[0] if arm == TREE else plain
    return [
        [*sorted(step, key=lambda row: len(row.input_ids), reverse=True), *[nothing] * (most - len(step))]
        for step in steps
    ], together


def prefixes(arm: str, trees: Sequence[DialogueTree]) -> list[Row]:
    """Whole dialogues with their wanted replies to learn, or a conversation per reply that ends with it."""
    whole = sft_conversations(trees, "preferred")
    if arm == SEQUENCE:
        return whole
    if arm == PREFIX:
        rows = [dpo_row(pair) for pair in dpo_pairs(trees)]
        return [last_only([*row["prompt"], *row["chosen"]]) for row in rows]
    return [last_only(row["messages"][: i + 1]) for row in whole for i, wanted in enumerate(row["train"]) if wanted]


def last_only(messages: Sequence[dict[str, str]]) -> Row:
    """A conversation of which only the last message is learned."""
    return {"messages": list(messages), "train": [False] * (len(messages) - 1) + [True]}


def learned(rows: Sequence[Tokens | TreeTokens]) -> int:
    """How many replies carry loss: runs of labels."""
    return sum(
        label != IGNORED and before == IGNORED for row in rows for before, label in itertools.pairwise(row.labels)
    )


def dpo(what: Row, train: Sequence[DialogueTree], dev: Sequence[DialogueTree], folder: Path) -> Row:
    """One epoch of DPO on the random model. `loss` is the mean over the steps; tokenising and references are timed."""
    params = load_params("sandbox")
    run = changed(params, folder, "dpo", sft_weight=0.0, epochs=1.0, n_pairs=what["pairs"])
    pairs = random.Random(params.seed).sample(dpo_pairs(train), what["pairs"])
    training, source = run.params.training, str(folder / "model")
    policy = load_policy(source, training, params.seed)
    longest = max(pair_lengths(policy.tokenizer, pairs, training.max_length))
    with quiet():
        started, busy = time.monotonic(), time.process_time()
        if what["arm"] == DPO_ARMS[0]:
            trainer = dpo_trainer(run, policy, pairs, dpo_pairs(dev)[:1])
        else:
            trainer = by_default(run, policy, pairs, longest, source if what["arm"] == DPO_ARMS[1] else None)
        took = run_trainer(run, "bench", trainer)
        seconds, busy = time.monotonic() - started, time.process_time() - busy
    return {
        "steps": took["steps"], "tokens": took["tokens"], "seconds": seconds, "cpu": busy, "loss": took["train_loss"],
        "longest": longest, "micro_batch": training.dpo.batch_size, "parameters": policy.model.num_parameters(),
    }  # fmt: skip


def by_default(run: Run, policy: Trainable, pairs: Sequence[PreferencePair], longest: int, source: str | None) -> Any:
    """The library's trainer as it is set up by itself, but for what would change the task: steps, lengths, precision.

    Its own `max_length` of 1,024 tokens would cut pairs; its order is random. `source` is loaded once more as the
    reference; None lets it switch the adapter off instead.
    """
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer

    dpo = run.params.training.dpo
    config = DPOConfig(
        output_dir=str(run.root / "default"), seed=run.params.seed, beta=dpo.beta, max_length=longest,
        learning_rate=dpo.learning_rate, warmup_steps=dpo.warmup_ratio, num_train_epochs=dpo.epochs,
        per_device_train_batch_size=dpo.batch_size, gradient_accumulation_steps=dpo.gradient_accumulation,
        use_cpu=True, bf16=computes_bfloat16(), save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    reference = AutoModelForCausalLM.from_pretrained(source, dtype=policy.model.dtype) if source else None
    return DPOTrainer(
        policy.model, ref_model=reference, args=config, processing_class=policy.tokenizer, peft_config=policy.adapter,
        train_dataset=Dataset.from_list([dpo_row(pair) for pair in pairs]),
    )  # fmt: skip


def changed(params: Params, folder: Path, stage: str, **changes: Any) -> Run:
    """The sandbox preset with changes to one training; DPO with an adapter, and both by the plain backend.

    In a folder of its own, without checkpoints: nothing is gone on from, or found again, in the next round.
    """
    section = dataclasses.replace(getattr(params.training, stage), **changes)
    method: Literal["full", "lora"] = "full" if stage == "sft" else "lora"
    training = dataclasses.replace(params.training, backend="transformers", method=method, save_minutes=None,
                                   **{stage: section})  # fmt: skip
    return Run("bench", dataclasses.replace(params, training=training), Path(tempfile.mkdtemp(dir=folder)))
