"""What a policy in training makes of held-out examples: loss of replies, and which of two replies it finds likelier.

In: a TRL trainer and examples it is not trained on. Out: means over learned tokens or over pairs, exact whatever the
batches are. This module does not know what is trained or which examples are held out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aloe.examples import IGNORED, Tokens
from aloe.training_log import bar

if TYPE_CHECKING:
    import torch


class PairScores(NamedTuple):
    """Log-probabilities (nats) of whole chosen and rejected replies under a policy. Shape of both: (n_pairs,)."""

    chosen: "torch.Tensor"
    rejected: "torch.Tensor"


def held_out_loss(trainer: Any, rows: Sequence[Tokens], label: str) -> float | None:
    """Mean negative log-likelihood in nats per learned token, each token counted once; None without rows."""
    if not rows:
        return None
    total, count = 0.0, 0
    for batch in _batches(trainer, [row._asdict() for row in rows], label):
        learned = int((batch["labels"][:, 1:] != IGNORED).sum())
        total += float(trainer.model(**batch, use_cache=False).loss) * learned
        count += learned
    return total / count


def reference_scores(trainer: Any) -> PairScores:
    """What the reference of a DPO trainer gives its held-out pairs, as computed before the first step."""
    import torch

    held = trainer.eval_dataset
    return PairScores(
        *(torch.tensor(held[name], dtype=torch.float64) for name in ("ref_chosen_logps", "ref_rejected_logps"))
    )


def pair_scores(trainer: Any, label: str) -> PairScores:
    """What the policy of a trainer now gives its held-out pairs, whatever its loss, in their order."""
    import torch
    from torch.nn.functional import cross_entropy
    from trl import DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    chosen: list[torch.Tensor] = []
    rejected: list[torch.Tensor] = []
    in_pairs = DataCollatorForPreference(pad_token_id=trainer.processing_class.pad_token_id)
    collate = trainer.data_collator if isinstance(trainer, DPOTrainer) else in_pairs
    for batch in _batches(trainer, trainer.eval_dataset.to_list(), label, collate):
        ids, learned = batch["input_ids"], batch["completion_mask"][:, 1:].bool()
        logits = trainer.model(input_ids=ids, attention_mask=batch["attention_mask"], use_cache=False).logits
        nats = cross_entropy(logits[:, :-1][learned].float(), ids[:, 1:][learned], reduction="none").double().cpu()
        sums = torch.zeros(len(ids), dtype=torch.float64).index_add(0, learned.nonzero()[:, 0].cpu(), -nats)
        for side, half in zip((chosen, rejected), sums.chunk(2), strict=True):
            side.append(half)
    return PairScores(torch.cat(chosen), torch.cat(rejected))


def compare(before: PairScores, after: PairScores, beta: float | None) -> dict[str, float | None]:
    """DPO's view of held-out pairs: `before` is the policy as it was, which is DPO's reference, `after` as it is.

    Args:
        beta: that of DPO's own loss; None for a policy trained with another, to which margin and loss say nothing:
            they are None.

    Returns:
        accuracy: share of pairs whose chosen reply gained more than the rejected one, ties as half; chance is 0.5.
        margin: mean of beta * (gain of chosen - gain of rejected), Rafailov et al. 2023, section 5.1; 0 is no change.
        loss_before, loss_after: mean of -log sigmoid(margin); ln 2 is no change.
        ranked_right_before, ranked_right_after: share whose chosen reply is the likelier one as it stands.
        chosen_before, chosen_after, rejected_before, rejected_after: mean log-probability of replies, in nats.
    """
    from torch.nn.functional import softplus

    margins = (1.0 if beta is None else beta) * ((after.chosen - before.chosen) - (after.rejected - before.rejected))
    shares = {"accuracy": margins, "ranked_right_before": before.chosen - before.rejected,
              "ranked_right_after": after.chosen - after.rejected}  # fmt: skip
    means = {"margin": margins, "loss_before": softplus(0 * margins), "loss_after": softplus(-margins),
             "chosen_before": before.chosen, "chosen_after": after.chosen,
             "rejected_before": before.rejected, "rejected_after": after.rejected}  # fmt: skip
    undefined = ("margin", "loss_before", "loss_after") if beta is None else ()
    return {
        **{
            name: float(((values > 0).double() + 0.5 * (values == 0).double()).mean())
            for name, values in shares.items()
        },
        **{name: None if name in undefined else float(values.mean()) for name, values in means.items()},
    }


def _batches(
    trainer: Any, rows: Sequence[Mapping[str, Any]], label: str, collate: Any = None
) -> Iterator[dict[str, Any]]:
    """Batches of `rows` on the trainer's device, its own unless `collate` makes them; the model is in evaluation mode
    while they are consumed.
    """
    import torch

    size, was_training = trainer.args.per_device_eval_batch_size, trainer.model.training
    trainer.model.eval()
    with torch.no_grad(), trainer.accelerator.autocast(), bar(-(-len(rows) // size), label) as shown:
        for start in range(0, len(rows), size):
            batch = (collate or trainer.data_collator)(list(rows[start : start + size]))
            yield {name: values.to(trainer.args.device) for name, values in batch.items()}
            shown.update()
    trainer.model.train(was_training)
