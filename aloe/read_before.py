"""What a model has read of some conversations, so that their next turn is read without all that went before.

In: the key-value cache that a batch left behind, and the prompts of the next one. Out: a cache of what both begin with,
and the rest laid out beside it. A prompt that goes on otherwise is read again from there. This module knows tokens
only, neither messages nor sampling.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedConfig


class Read(NamedTuple):
    """Per conversation the tokens that were read and their columns in the cache; per layer its keys and values.

    Keys and values have the shape (conversations, heads, columns, size of a head).
    """

    tokens: list[list[int]]
    columns: list[list[int]]
    layers: "list[tuple[torch.Tensor, torch.Tensor]]"

    @classmethod
    def of(cls, cache: Any, sequences: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> "Read | None":
        """What `cache` holds of the sequences, whose padding has a 0 in the mask (masks may end before them).

        Returns: None where a layer forgets (a sliding window) or is of another kind: then all is to be read again.
        """
        from transformers.cache_utils import StaticCache, StaticLayer

        if not isinstance(cache, StaticCache) or any(type(layer) is not StaticLayer for layer in cache.layers):
            return None
        held = int(cache.get_seq_length())  # the last token was never read
        columns = [[column for column, real in enumerate(mask[:held]) if real] for mask in masks]
        tokens = [[row[column] for column in places] for row, places in zip(sequences, columns, strict=True)]
        return cls(tokens, columns, [(layer.keys, layer.values) for layer in cache.layers])

    def shared(self, prompts: Sequence[Sequence[int]]) -> list[int]:
        """How many of the first tokens of each prompt were read, in order; never all: the last one is to be answered.

        All are 0 where the prompts are more or fewer than the conversations.
        """
        if len(prompts) != len(self.tokens):
            return [0] * len(prompts)
        return [_common(read, prompt[:-1]) for read, prompt in zip(self.tokens, prompts, strict=True)]

    def again(self, config: "PreTrainedConfig", known: Sequence[int], room: int) -> "Cache":
        """A cache for `room` columns that holds the first `known` tokens of each conversation, aligned to the right."""
        import torch
        from transformers import StaticCache

        width = max(known)
        places = [
            [0] * (width - n) + columns[:n] for n, columns in zip(known, self.columns, strict=True)
        ]  # a 0 stands for padding: what is there is masked
        index = torch.tensor(places, device=self.layers[0][0].device)[:, None, :, None]
        cache = StaticCache(config=config, max_cache_len=room)
        for number, states in enumerate(self.layers):
            keys, values = (s.gather(2, index.expand(-1, s.shape[1], -1, s.shape[3])) for s in states)
            cache.update(keys, values, number)
        return cache


def lay_out(
    prompts: Sequence[Sequence[int]], known: Sequence[int], pad: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of one length and their masks: what is known of each prompt, then the rest, both aligned to the right.

    >>> lay_out([[1, 2, 3], [4, 5]], [2, 1], 0)
    ([[1, 2, 3], [0, 4, 5]], [[1, 1, 1], [0, 1, 1]])
    >>> lay_out([[1, 2, 3], [4, 5]], [1, 1], 0)
    ([[1, 2, 3], [4, 0, 5]], [[1, 1, 1], [1, 0, 1]])
    """
    old = max(known)
    new = max(len(prompt) - n for prompt, n in zip(prompts, known, strict=True))
    gaps = [(old - n, new - len(prompt) + n) for prompt, n in zip(prompts, known, strict=True)]
    rows = [
        [pad] * before + list(prompt[:n]) + [pad] * between + list(prompt[n:])
        for prompt, n, (before, between) in zip(prompts, known, gaps, strict=True)
    ]
    masks = [
        [0] * before + [1] * n + [0] * between + [1] * (len(prompt) - n)
        for prompt, n, (before, between) in zip(prompts, known, gaps, strict=True)
    ]
    return rows, masks


def _common(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count
