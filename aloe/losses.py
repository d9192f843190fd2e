"""Losses of preference learning beside DPO's own, through the trainers that TRL has for them.

In: preference pairs in the order to train in, a loaded policy, and what every trainer is told. Out: a trainer that
holds every pair, both replies whole. CPO, SimPO and ORPO need no reference; KTO's log-probabilities under it are
computed once beforehand, so no second model is kept. This module does not know where pairs come from or what is
measured.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aloe.checkpoints import Trainable
from aloe.examples import dpo_row
from aloe.params import Dpo
from aloe.precision import as_in_training
from aloe.records import PreferencePair
from aloe.resuming import kept_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What each value of `training.dpo.loss` is; `margin` is the chosen reply's advantage over the rejected one.
LOSSES = {
    "sigmoid": "DPO: the margin of rewards over the reference, as large as the logistic loss asks (arXiv 2305.18290)",
    "ipo": "IPO: the margin per token over the reference, drawn to 1/(2 beta) and no further (arXiv 2310.12036)",
    "kto": "KTO: single replies, good or bad, each against the reference; no pairs are compared (arXiv 2402.01306)",
    "cpo": "CPO: the margin of log-probabilities, no reference; `sft_weight` is its SFT term (arXiv 2401.08417)",
    "simpo": "SimPO: the margin per token, no reference, beyond TRL's target of 0.5 / beta (arXiv 2405.14734)",
    "orpo": "ORPO: SFT on the chosen reply, in TRL prompt included, plus beta times the log odds ratio of both "
            "(arXiv 2403.07691)",
}  # fmt: skip
OF_DPO_TRAINER = ("sigmoid", "ipo")
WITH_REFERENCE = (*OF_DPO_TRAINER, "kto")  # their rewards are against the policy as it was before the first step


def loss_trainer(
    policy: Trainable, dpo: Dpo, pairs: Sequence[PreferencePair], longest: int, given: Mapping[str, Any]
) -> Any:
    """A trainer for a loss that `DPOTrainer` does not have.

    Args:
        pairs: in the order to train in.
        longest: tokens of the longest side of a pair.
        given: arguments that all trainers share.
    """
    from datasets import Dataset

    if dpo.loss == "kto":
        from trl import KTOConfig, KTOTrainer

        size = given["per_device_train_batch_size"]
        rows = [row for start in range(0, len(pairs), size) for row in _replies(pairs[start : start + size])]
        sizes = {f"per_device_{part}_batch_size": 2 * size for part in ("train", "eval")}
        config = KTOConfig(**{**given, **sizes}, beta=dpo.beta, max_length=longest, precompute_ref_log_probs=True)
        kind, count, held = KTOTrainer, len(rows), kept_rows(rows, config)
    else:
        kind, config = _reference_free(dpo, longest, given)
        held, count = Dataset.from_list([_text_row(policy.tokenizer, pair) for pair in pairs]), len(pairs)
    with as_in_training(policy.model, config):
        trainer = kind(
            policy.model,
            args=config,
            train_dataset=held,
            processing_class=policy.tokenizer,
            peft_config=policy.adapter,
        )
    held, special = trainer.train_dataset, set(policy.tokenizer.all_special_ids)
    assert len(held) == count, "a pair was lost on its way to the trainer"
    columns = ("completion_ids",) if dpo.loss == "kto" else ("chosen_input_ids", "rejected_input_ids")
    assert all(special.intersection(ids[-2:]) for name in columns for ids in held[name]), "a reply has no end token"
    return trainer


def _reference_free(dpo: Dpo, longest: int, given: Mapping[str, Any]) -> tuple[Any, Any]:
    """Trainer and configuration of a loss without a reference."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    room = longest + 2  # these trainers add a start and an end token that are not there
    if dpo.loss == "orpo":
        return ORPOTrainer, ORPOConfig(**given, beta=dpo.beta, max_length=room)
    kind = "simpo" if dpo.loss == "simpo" else "sigmoid"
    return CPOTrainer, CPOConfig(**given, beta=dpo.beta, max_length=room, loss_type=kind, cpo_alpha=dpo.sft_weight)


def _replies(pairs: Sequence[PreferencePair]) -> list[dict[str, Any]]:
    """Single replies of one batch: all chosen, then all rejected.

    KTO compares each prompt with the reply before it in the batch, which should be a reply to something else.
    """
    rows = [dpo_row(pair) for pair in pairs]
    return [{"prompt": row["prompt"], "completion": row[side], "label": side == "chosen"}
            for side in ("chosen", "rejected") for row in rows]  # fmt: skip


def _text_row(tokenizer: "PreTrainedTokenizerBase", pair: PreferencePair) -> dict[str, str]:
    """A pair as text in the chat format; each reply ends with its end token, as these trainers would add another."""
    row = dpo_row(pair)
    prompt = str(tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True))
    sides = {side: str(tokenizer.apply_chat_template(row["prompt"] + row[side], tokenize=False)).rstrip()
             for side in ("chosen", "rejected")}  # fmt: skip
    assert all(text.startswith(prompt) for text in sides.values()), "a reply does not follow its prompt"
    return {"prompt": prompt, **{side: text[len(prompt) :] for side, text in sides.items()}}
