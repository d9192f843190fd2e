"""TRL's trainers, set up for one run: what they are given, and the proof that they lost none of it.

In: a run, a loaded policy, and examples. Out: a trainer that holds every example, uncut, in our order. The reference
of DPO is computed once beforehand, so that no second model sits in memory. This module does not know where examples
come from or what becomes of the trained model.
"""

import contextlib
import importlib.util
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from aloe import processes
from aloe.checkpoints import Trainable, computes_bfloat16, has_cuda
from aloe.errors import UserError
from aloe.examples import IGNORED, Tokens, batched_order, dpo_row, pair_ids, pair_lengths
from aloe.losses import OF_DPO_TRAINER, WITH_REFERENCE, loss_trainer
from aloe.params import Dpo, Sft
from aloe.precision import as_in_training
from aloe.recipes import TrainingStage
from aloe.records import PreferencePair
from aloe.resuming import checkpoints, kept_rows, take_up, tokens_in
from aloe.room import refuse_without_disk
from aloe.runs import Run
from aloe.training_log import bar, progress, tensorboard
from aloe.tree_attention import Collator, TreeTokens, see_as_trees
from aloe.watching import watch
from aloe.writing import explained_disk_errors

if TYPE_CHECKING:
    from trl import DPOTrainer, SFTTrainer

LARGE = 50_000_000  # parameters above which memory is saved: activations recomputed, DPO's loss in pieces
LOGGED = 100  # rows of a training's table, about


def sft_trainer(run: Run, name: str, policy: Trainable, rows: Sequence[Tokens | TreeTokens]) -> "SFTTrainer":
    """A trainer that holds `rows`, all of them and whole; packed or read as trees where the preset says so.

    Raises:
        UserError: the preset wants trees, which this model cannot read.
    """
    from datasets import Dataset
    from transformers import set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(run.params.seed)  # an adapter is drawn before the trainer sets its seed
    params, trees = run.params.training, run.params.training.sft.off_branch
    order = batched_order([len(row.input_ids) for row in rows], params.sft.batch_size, run.params.seed)
    config = SFTConfig(
        **_arguments(run, name, policy, "sft", params.sft, len(rows)),
        weight_decay=params.sft.weight_decay,
        packing=params.sft.packing,
        max_length=params.max_length if params.sft.packing else None,
        dataset_kwargs={"skip_prepare_dataset": not params.sft.packing},  # labels and order are there already
        remove_unused_columns=not trees,
    )
    trainer = SFTTrainer(
        policy.model,
        config,
        train_dataset=Dataset.from_list([rows[i]._asdict() for i in order]),
        processing_class=policy.tokenizer,
        data_collator=Collator(policy.tokenizer.pad_token_id) if trees else None,
        peft_config=policy.adapter,
        callbacks=[progress(name), watch("sft")],
    )
    if trees:
        see_as_trees(trainer.model, params.max_length)
    _drop_printer(trainer)
    held = trainer.train_dataset
    packed = "seq_lengths" in held.column_names
    count = sum(map(len, held["seq_lengths"])) if packed else len(held)
    learned = sum(label != IGNORED for labels in held["labels"] for label in labels)
    assert (count, learned) == (len(rows), learned_tokens(rows)), "an example was cut or lost on its way to the trainer"
    return trainer


def pair_trainer(
    run: Run, policy: Trainable, train: Sequence[PreferencePair], dev: Sequence[PreferencePair], name: str = "dpo"
) -> Any:
    """A trainer for the preset's `dpo.loss` that holds all pairs; those of `dev` as token ids in `eval_dataset`.

    Raises:
        UserError: a pair is longer than `training.max_length`.
    """
    from datasets import Dataset
    from transformers import set_seed

    params, dpo = run.params.training, run.params.training.dpo
    if dpo.loss in OF_DPO_TRAINER:
        return dpo_trainer(run, policy, train, dev, name)
    set_seed(run.params.seed)
    lengths, dev_lengths = (pair_lengths(policy.tokenizer, pairs, params.max_length) for pairs in (train, dev))
    order = batched_order(lengths, dpo.batch_size, run.params.seed)
    given = _arguments(run, name, policy, "dpo", dpo, len(train))
    trainer = loss_trainer(policy, dpo, [train[i] for i in order], max(lengths + dev_lengths), given)
    trainer.add_callback(progress(name))
    trainer.add_callback(watch("dpo", dpo.beta if dpo.loss in WITH_REFERENCE else None))
    trainer.eval_dataset = Dataset.from_list([pair_ids(policy.tokenizer, pair) for pair in dev])
    _drop_printer(trainer)
    return trainer


def dpo_trainer(
    run: Run, policy: Trainable, train: Sequence[PreferencePair], dev: Sequence[PreferencePair], name: str = "dpo"
) -> "DPOTrainer":
    """A trainer that holds all pairs with the log-probabilities that the policy gives them before the first step.

    Raises:
        UserError: a pair is longer than `training.max_length`.
    """
    from transformers import set_seed
    from trl import DPOConfig, DPOTrainer
    from trl.models.utils import _ForwardRedirection

    set_seed(run.params.seed)
    params, dpo = run.params.training, run.params.training.dpo
    lengths, dev_lengths = (pair_lengths(policy.tokenizer, pairs, params.max_length) for pairs in (train, dev))
    order = batched_order(lengths, dpo.batch_size, run.params.seed)
    dev_order = sorted(range(len(dev)), key=dev_lengths.__getitem__)
    config = DPOConfig(
        **_arguments(run, name, policy, "dpo", dpo, len(train)),
        beta=dpo.beta,
        loss_type=[dpo.loss, "sft"] if dpo.sft_weight else [dpo.loss],
        loss_weights=[1.0, dpo.sft_weight] if dpo.sft_weight else None,
        max_length=max(lengths + dev_lengths),
        precompute_ref_log_probs=True,
    )
    at_once = config.per_device_train_batch_size * processes.count()
    batches = sum(-(-len(pairs) // at_once) for pairs in (train, dev))
    with _counting(policy.model, batches, f"{name}: reference"), as_in_training(policy.model, config):
        trainer = DPOTrainer(
            policy.model,
            args=config,
            train_dataset=kept_rows([dpo_row(train[i]) for i in order], config),
            eval_dataset=kept_rows([dpo_row(dev[i]) for i in dev_order], config),
            processing_class=policy.tokenizer,
            peft_config=policy.adapter,
            callbacks=[progress(name), watch("dpo", dpo.beta)],
        )
    if policy.backend == "transformers" and policy.model.num_parameters() > LARGE:
        # The logits of a batch never stand in memory as a whole. TRL does that itself, without that package, which its
        # constructor asks for all the same.
        trainer.use_liger_kernel, trainer._forward_redirection = True, _ForwardRedirection()
    _drop_printer(trainer)
    special = set(policy.tokenizer.all_special_ids)
    for held, pairs in ((trainer.train_dataset, train), (trainer.eval_dataset, dev)):
        assert len(held) == len(pairs), "a pair was lost on its way to the trainer"
        replies = (ids for side in ("chosen_ids", "rejected_ids") for ids in held[side])
        assert all(special.intersection(ids[-2:]) for ids in replies), "a reply has no end token"
    return trainer


def run_trainer(run: Run, name: str, trainer: Any) -> dict[str, Any]:
    """Train, from where an interrupted training of the same thing stopped if there is one.

    Returns:
        What it took in all: steps, tokens read, seconds, tokens per second, the mean loss, and `repeated`: how many
        rows were read twice in an epoch so that several processes had as many (0 in one).

    Raises:
        UserError: the loss is no number any more, or the disk is full.
    """
    training, start = run.params.training, take_up(trainer, name)
    trainer.add_callback(checkpoints(training.save_minutes, start))
    if training.report_to == "tensorboard" and trainer.accelerator.is_main_process:
        trainer.add_callback(tensorboard(run.tensorboard(name), start.step))
    trainer._total_train_tokens = start.tokens  # a trainer that goes on counts them from 0
    started = time.monotonic()
    with explained_disk_errors(run.unfinished(name)):
        outcome = trainer.train(resume_from_checkpoint=start.checkpoint)
    seconds, steps = start.seconds + time.monotonic() - started, trainer.state.global_step
    tokens = tokens_in(trainer.state.log_history)
    at_once = trainer.args.per_device_train_batch_size, trainer.args.world_size
    return {
        "steps": steps,
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(tokens / seconds, 1),
        "train_loss": outcome.training_loss + start.loss_sum / steps,  # a trainer forgets the losses before too
        "repeated": processes.repeated(len(trainer.train_dataset), *at_once),
    }


def learned_tokens(rows: Sequence[Tokens | TreeTokens]) -> int:
    """How many tokens carry loss."""
    return sum(label != IGNORED for row in rows for label in row.labels)


def _arguments(
    run: Run, name: str, policy: Trainable, stage: TrainingStage, params: Sft | Dpo, n_rows: int
) -> dict[str, Any]:
    """What all trainers are told. Bars are ours, and when a checkpoint is due; a small model keeps its activations."""
    training = run.params.training
    if training.report_to != "none" and importlib.util.find_spec(training.report_to) is None:
        raise UserError(
            f"`training.report_to` is {training.report_to}, which is not installed; install it or set it to none."
        )
    refuse_without_disk(run.root, policy.model.num_parameters(), training, policy.model.dtype.itemsize)
    own = processes.share(stage, params.batch_size, params.gradient_accumulation, processes.count())
    steps = n_rows * params.epochs / (params.batch_size * params.gradient_accumulation)
    return {
        "output_dir": str(run.unfinished(name)),
        "run_name": f"{run.name}-{name}",
        "seed": run.params.seed,
        "learning_rate": params.learning_rate,
        "warmup_steps": min(params.warmup_ratio, 0.999),  # below 1 it is a share of the steps
        "num_train_epochs": params.epochs,
        "per_device_train_batch_size": own.batch_size,
        "per_device_eval_batch_size": own.batch_size,
        "gradient_accumulation_steps": own.accumulation,
        "train_sampling_strategy": "sequential",  # the order is ours: `batched_order`
        "gradient_checkpointing": policy.model.num_parameters() > LARGE,
        "use_cpu": not has_cuda(),
        "ddp_find_unused_parameters": False,  # all are used; looking for others takes time, and Unsloth cannot
        "bf16": training.dtype != "float32" and computes_bfloat16(),
        "logging_steps": max(1, round(steps / LOGGED)),
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # `watch` is to see them
        "disable_tqdm": True,
        "save_strategy": "no",  # but when `checkpoints` asks for it
        "save_total_limit": 1,  # the last one is removed when the next is whole
        "eval_strategy": "no",
        "report_to": "none" if training.report_to == "tensorboard" else training.report_to,
        "dataloader_num_workers": 0,
    }


def _drop_printer(trainer: Any) -> None:
    """Without its own bars a trainer prints every log entry; the table has them."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)


@contextlib.contextmanager
def _counting(model: Any, total: int, label: str) -> Iterator[None]:
    """A bar over the model's forward passes, for work that TRL does inside a constructor."""
    with bar(total, label) as shown:

        def count(*_: Any) -> None:  # a hook that returned something would replace the model's output
            shown.update()

        hook = model.register_forward_hook(count)
        try:
            yield
        finally:
            hook.remove()
