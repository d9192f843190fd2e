"""Training data under a recipe: that of `preferences`, changed as the released code would have it.

In: dialogues and a recipe. Out: SFT conversations and DPO pairs. With every switch off they are those of `preferences`,
untouched. Held-out examples never come from here: they are always the corrected ones, so that all recipes are measured
alike. This module is pure: it knows no tokenizer, model or path.
"""

import dataclasses
import random
from collections.abc import Iterable, Iterator
from typing import Any

from aloe.preferences import dpo_pairs, sft_conversations
from aloe.recipes import Recipe
from aloe.records import DialogueTree, PreferencePair, Reply


def recipe_conversations(trees: Iterable[DialogueTree], reply: Reply, recipe: Recipe) -> list[dict[str, Any]]:
    """SFT conversations as the recipe makes them, as `preferences.sft_conversations` does.

    Under `all_tokens` every message is flagged, the user's too.
    """
    rows = _following(trees, reply) if recipe.preferred_history else sft_conversations(trees, reply)
    if recipe.first_message:
        rows = [_with_first_message(row) for row in rows]
    if recipe.prefixes:
        rows = [prefix for row in rows for prefix in _prefixes(row)]
    if recipe.all_tokens:
        rows = [{**row, "train": [True] * len(row["train"])} for row in rows]
    return rows


def recipe_pairs(trees: Iterable[DialogueTree], recipe: Recipe) -> list[PreferencePair]:
    """Preference pairs as the recipe makes them; under `one_character` the rejected side is a character of itself."""
    pairs = dpo_pairs(trees)
    if recipe.one_character:
        pairs = [dataclasses.replace(p, rejected=random.Random(p.id).choice(p.rejected or " ")) for p in pairs]
    return pairs


def _following(trees: Iterable[DialogueTree], reply: Reply) -> list[dict[str, Any]]:
    """Conversations that go on with the wanted reply wherever there is one, and learn it there."""
    rows = []
    for tree in trees:
        messages, train = [], []
        for turn in tree.turns:
            wanted = turn.preferred if reply == "preferred" else turn.rejected
            messages += [{"role": "user", "content": turn.user},
                         {"role": "assistant", "content": turn.continued if wanted is None else wanted}]  # fmt: skip
            train += [False, wanted is not None or (turn.label == "kept" and reply == "preferred")]
        if any(train):
            rows.append({"messages": messages, "train": train})
    return rows


def _with_first_message(row: dict[str, Any]) -> dict[str, Any]:
    first = row["messages"][0]
    return {**row, "messages": [first if message["role"] == "user" else message for message in row["messages"]]}


def _prefixes(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The first turn, the first two, and so on; those that hold nothing to learn are left out."""
    for end in range(2, len(row["messages"]) + 1, 2):
        if any(row["train"][:end]):
            yield {"messages": row["messages"][:end], "train": row["train"][:end]}
