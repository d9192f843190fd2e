"""The replies that no dialogue went on with, learned in the dialogue's own sequence: tree attention.

In: SFT conversations with `off_branch` replies, and a tokenizer. Out: one sequence per conversation, in which such
replies stand behind the dialogue with the positions that they would have in it, and see what comes before them there
and nothing else (Miao et al. 2024, SpecInfer, call this tree attention). Loss and gradients are those of a sequence of
its own for every reply, whose history is read once instead. This module does not know how replies were chosen.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aloe.errors import UserError
from aloe.examples import IGNORED, Tokens, refuse_long, sft_tokens
from aloe.masks import encode

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TreeTokens(NamedTuple):
    """As `Tokens`, with the place of every token in its conversation. Shape of all: (n,).

    Behind the dialogue stand the replies off its branch, the latest first, so that each begins further to the front
    than the one before it ends: that is how `visible` finds them. A reply begins with the token that comes before it,
    repeated, which predicts its first one.
    """

    input_ids: list[int]
    labels: list[int]
    position_ids: list[int]

    @property
    def context(self) -> int:
        """Tokens of the longest conversation in it: what a model must be able to hold."""
        return max(self.position_ids) + 1


def tree_tokens(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Mapping[str, Any]], max_length: int
) -> list[TreeTokens]:
    """One sequence per conversation of `preferences.sft_conversations(..., off_branch=True)`.

    Args:
        max_length: in tokens, of a conversation that ends with any of its replies.

    Raises:
        UserError: such a conversation is longer, or as `examples.sft_tokens`, or the template writes what comes before
            a reply in another way where the dialogue goes on.
    """
    rows = []
    whole = sft_tokens(tokenizer, conversations, max_length)
    for row, conversation in zip(as_trees(whole), conversations, strict=True):
        asides = sorted(conversation["off_branch"], key=lambda aside: aside["after"], reverse=True)
        chats = [
            [*conversation["messages"][: aside["after"]], {"role": "assistant", "content": aside["content"]}]
            for aside in asides
        ]
        for ids, replies in encode(tokenizer, chats):
            start, end = replies[-1].start, replies[-1].stop
            if ids[:start] != row.input_ids[:start]:
                raise UserError(f"The chat template of {tokenizer.name_or_path} writes what comes before a reply in "
                                f"another way where the dialogue goes on, so replies off its branch cannot share it; "
                                f"set `training.sft.off_branch` to false.")  # fmt: skip
            row.input_ids.extend(ids[start - 1 : end])
            row.labels.extend([IGNORED, *ids[start:end]])
            row.position_ids.extend(range(start - 1, end))
        rows.append(row)
    refuse_long([row.context for row in rows], max_length)
    return rows


def sequences(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Mapping[str, Any]], max_length: int
) -> list[Tokens] | list[TreeTokens]:
    """`tree_tokens` of conversations that come with their replies off the branch, `examples.sft_tokens` of others.

    Raises:
        UserError: as these.
    """
    if conversations and "off_branch" in conversations[0]:
        return tree_tokens(tokenizer, conversations, max_length)
    return sft_tokens(tokenizer, conversations, max_length)


def as_trees(rows: Iterable[Tokens]) -> list[TreeTokens]:
    """Plain sequences in the same form; nothing stands behind them."""
    return [TreeTokens(list(row.input_ids), list(row.labels), list(range(len(row.input_ids)))) for row in rows]


def visible(position_ids: "torch.Tensor") -> "torch.Tensor":
    """Which token sees which. Padding, at the end and with position 0, sees itself alone, and nobody sees it.

    Args:
        position_ids: shape (batch, n), integers; the rows of `TreeTokens`.

    Returns:
        Shape (batch, 1, n, n), booleans: [:, 0, i, j] says whether token i sees token j.
    """
    import torch

    places = torch.arange(position_ids.shape[1], device=position_ids.device)
    begins = torch.ones_like(position_ids, dtype=torch.bool)
    begins[:, 1:] = position_ids[:, 1:] != position_ids[:, :-1] + 1
    start = torch.where(begins, places, 0).cummax(dim=1).values  # of the part that a token belongs to
    before = position_ids.gather(1, start)  # so many tokens of the dialogue come before that part
    same = start[:, :, None] == start[:, None, :]
    return ((same | (places < before[:, :, None])) & (places <= places[:, None]))[:, None]


class Collator:
    """Rows to a batch, padded at the end; a row without places of its own is a plain sequence."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> "dict[str, torch.Tensor]":
        """Returns: `input_ids`, `labels`, `position_ids` and `attention_mask`, each of shape (batch, n)."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        def padded(values: Iterable[Sequence[int]], padding: int) -> "torch.Tensor":
            return pad_sequence([torch.tensor(one) for one in values], batch_first=True, padding_value=padding)

        return {
            "input_ids": padded([row["input_ids"] for row in rows], self.pad_token_id),
            "labels": padded([row["labels"] for row in rows], IGNORED),
            "position_ids": padded([row.get("position_ids") or range(len(row["input_ids"])) for row in rows], 0),
            "attention_mask": padded([[1] * len(row["input_ids"]) for row in rows], 0),
        }


def see_as_trees(model: "PreTrainedModel", max_length: int) -> None:
    """From now on the model takes `position_ids` of a batch as those of trees.

    The mask of a batch stays one flag a token until then, by which a trainer counts what was read.

    Args:
        max_length: tokens of the longest conversation that it will read.

    Raises:
        UserError: the model's attention takes no mask of this form.
    """
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or getattr(config, "block_types", None) or ["full_attention"])
    window = getattr(config, "sliding_window", None)
    kinds |= {"sliding_attention"} if window and window < max_length else set()
    if config._attn_implementation != "sdpa" or kinds != {"full_attention"}:
        raise UserError(f"`training.sft.off_branch` needs full attention by torch's own kernel (sdpa), but this "
                        f"model has {', '.join(sorted(kinds))} by {config._attn_implementation}; set it to false."
                        )  # fmt: skip

    def with_mask(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if kwargs.get("position_ids") is not None:
            kwargs["attention_mask"] = visible(kwargs["position_ids"])
        return args, kwargs

    model.register_forward_pre_hook(with_mask, with_kwargs=True)
