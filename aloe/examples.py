"""Conversations and preference pairs to token sequences, none cut and none lost.

In: what `preferences` makes, and a tokenizer with a chat template. Out: token ids with the labels to learn, rows for
a DPO trainer, and an order in which batches hold sequences of like length. A sequence over the limit is refused by
name. This module knows neither models nor files.
"""

import dataclasses
import random
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aloe.errors import UserError
from aloe.masks import encode
from aloe.records import PreferencePair

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of a token that is read but not learned
POOL = 16  # batches among which sequences are sorted by length


class Tokens(NamedTuple):
    """One sequence: `labels` equals `input_ids` where a token is learned and is -100 elsewhere. Shape of both: (n,)."""

    input_ids: list[int]
    labels: list[int]

    @property
    def context(self) -> int:
        """Tokens that a model must be able to hold."""
        return len(self.input_ids)


def sft_tokens(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[Mapping[str, Any]], max_length: int
) -> list[Tokens]:
    """One sequence per conversation; learned are the replies flagged in `train`, each with its end token.

    A conversation that has every message flagged, the user's too, is learned token by token, template marks included.

    Args:
        conversations: rows of `preferences.sft_conversations`: {"messages": [...], "train": [bool, ...]}.
        max_length: in tokens.

    Raises:
        UserError: a sequence is longer than `max_length`, or the template does not show what the assistant says.
    """
    encoded = encode(tokenizer, [row["messages"] for row in conversations])
    refuse_long([len(ids) for ids, _ in encoded], max_length)
    return [_tokens(ids, replies, row) for (ids, replies), row in zip(encoded, conversations, strict=True)]


def dpo_row(pair: PreferencePair) -> dict[str, list[dict[str, str]]]:
    """A pair as TRL takes it: the sampled history, and each reply as one assistant message."""
    return {
        "prompt": [{"role": message.role, "content": message.content} for message in pair.prompt],
        "chosen": [{"role": "assistant", "content": pair.chosen}],
        "rejected": [{"role": "assistant", "content": pair.rejected}],
    }


def pair_ids(tokenizer: "PreTrainedTokenizerBase", pair: PreferencePair) -> dict[str, list[int]]:
    """A pair as token ids: the prompt, and each reply from where it begins, its end token included."""
    row = dpo_row(pair)

    def ids(messages: list[dict[str, str]], prompt: bool = False) -> list[int]:
        encoded = tokenizer.apply_chat_template(messages, return_dict=True, add_generation_prompt=prompt)
        return list(encoded["input_ids"])

    begun, *sides = (
        ids(row["prompt"], prompt=True),
        *(ids(row["prompt"] + row[side]) for side in ("chosen", "rejected")),
    )
    start = next((i for i, three in enumerate(zip(begun, *sides, strict=False)) if len(set(three)) > 1), len(begun))
    return {"prompt_ids": begun[:start], "chosen_ids": sides[0][start:], "rejected_ids": sides[1][start:]}


def pair_lengths(tokenizer: "PreTrainedTokenizerBase", pairs: Sequence[PreferencePair], max_length: int) -> list[int]:
    """Tokens of each pair's longer side, history and end token included.

    Raises:
        UserError: a pair is longer than `max_length`.
    """
    rows = [dpo_row(pair) for pair in pairs]
    sides = [row["prompt"] + row[side] for side in ("chosen", "rejected") for row in rows]
    ids = tokenizer.apply_chat_template(sides, tokenize=True, return_dict=True)["input_ids"] if sides else []
    lengths = [max(len(ids[i]), len(ids[i + len(rows)])) for i in range(len(rows))]
    refuse_long(lengths, max_length, [pair.id for pair in pairs])
    return lengths


def cut_history(
    tokenizer: "PreTrainedTokenizerBase", pairs: Sequence[PreferencePair], above: int, keep: int
) -> list[PreferencePair]:
    """Pairs of more than `above` tokens with the last messages of their prompt that fit into `keep`, from a user's on.

    The message to reply to stays whole, however long it is. This is a departure to be measured, never the default.
    """
    shortened = []
    for pair, length in zip(pairs, pair_lengths(tokenizer, pairs, sys.maxsize), strict=True):
        starts = [i for i, message in enumerate(pair.prompt) if message.role == "user"] if length > above else [0]
        fits = (i for i in starts if length <= above or i == starts[-1] or _prompt_tokens(tokenizer, pair, i) <= keep)
        shortened.append(dataclasses.replace(pair, prompt=pair.prompt[next(fits) :]))
    return shortened


def refuse_long(lengths: Sequence[int], max_length: int, names: Sequence[str] | None = None) -> None:
    """Raise a `UserError` that names the longest sequence if it has more than `max_length` tokens."""
    longest = max(range(len(lengths)), key=lengths.__getitem__, default=None)
    if longest is None or lengths[longest] <= max_length:
        return
    name = names[longest] if names else f"number {longest + 1} of {len(lengths)}"
    over = sum(length > max_length for length in lengths)
    raise UserError(f"The longest example ({name}) has {lengths[longest]} tokens, and {over} of {len(lengths)} have "
                    f"more than `training.max_length` = {max_length}; no example is cut. Raise it; or, where the base "
                    f"model's context ends, have fewer turns (`trees.n_turns`), for which nothing is asked "
                    f"anew.")  # fmt: skip


def batched_order(lengths: Sequence[int], batch_size: int, seed: int) -> list[int]:
    """An order in which each batch holds sequences of like length, and the batches come at random.

    Sequences are shuffled, sorted by length within pools of 16 batches, and cut into batches; the batches are shuffled,
    one that is not full comes last. Padding is wasted work: without this a batch is as long as its longest.

    >>> batched_order([5, 90, 6, 91, 7], 2, seed=0)
    [4, 2, 3, 1, 0]
    """
    rng = random.Random(f"{seed}-batches")
    shuffled = rng.sample(range(len(lengths)), len(lengths))
    pools = [shuffled[i : i + POOL * batch_size] for i in range(0, len(shuffled), POOL * batch_size)]
    ordered = [index for pool in pools for index in sorted(pool, key=lengths.__getitem__, reverse=True)]
    batches = [ordered[i : i + batch_size] for i in range(0, len(ordered), batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    rng.shuffle(full)
    return [index for batch in (*full, *(b for b in batches if len(b) < batch_size)) for index in batch]


def _prompt_tokens(tokenizer: "PreTrainedTokenizerBase", pair: PreferencePair, start: int) -> int:
    """Length of a pair's prompt from its message number `start` on, with the mark at which the reply begins."""
    messages = [{"role": message.role, "content": message.content} for message in pair.prompt[start:]]
    return len(tokenizer.apply_chat_template(messages, return_dict=True, add_generation_prompt=True)["input_ids"])


def _tokens(ids: list[int], replies: Sequence[range], row: Mapping[str, Any]) -> Tokens:
    """Labels of one sequence: its replies in order, those that are not wanted ignored."""
    if all(row["train"]):
        return Tokens(ids, list(ids))
    wanted = [train for message, train in zip(row["messages"], row["train"], strict=True)
              if message["role"] == "assistant"]  # fmt: skip
    labels = [IGNORED] * len(ids)
    for places, learned in zip(replies, wanted, strict=True):
        if learned:
            labels[places.start : places.stop] = ids[places.start : places.stop]
    return Tokens(ids, labels)
