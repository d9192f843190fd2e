"""Token by token: what a model goes on with after each row of a batch.

In: rows of tokens as `read_before` lays them out, a cache, and one number between 0 and 1 for every token to be drawn.
Out: the new tokens of every row, up to and with its end token. A row's draws are its own, so it goes on the same in
whatever batch it stands, as far as rounding allows. Rows that have ended leave the batch, which is where a batch's time
goes otherwise. This module knows neither texts nor conversations.
"""

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel

LEAVE = 0.75  # rows are taken out where no more than this share of the batch goes on; taking out copies the cache


def decode(
    model: "PreTrainedModel", rows: "torch.Tensor", mask: "torch.Tensor", cache: "Cache", read: int,
    draws: "torch.Tensor", temperature: float, ends: Container[int],
) -> list[list[int]]:  # fmt: skip
    """Plain sampling: no top-k, no top-p, no penalty; temperature 0 takes the likeliest token.

    Args:
        rows, mask: (rows, width), padded on the left or between; 1 in the mask where a token is real.
        cache: static, with room for `width` and all new tokens; it holds the first `read` columns. Afterwards it holds
            what was read of each row, which is all of it but the row's last token.
        draws: (rows, most new tokens), each uniform in [0, 1).
        ends: tokens after which a row says no more.
    """
    import torch

    width, most = rows.shape[1], draws.shape[1]
    mask = torch.cat([mask, mask.new_ones(len(rows), most)], dim=1)
    new: list[list[int]] = [[] for _ in rows]
    going, tokens = list(range(len(rows))), rows[:, read:]
    whole: list[tuple[torch.Tensor, torch.Tensor]] = []
    for step in range(most):
        heard = mask[:, : width + step]
        places = (heard.cumsum(dim=1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        logits = model(
            input_ids=tokens, attention_mask=heard, position_ids=places, past_key_values=cache, use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]  # fmt: skip
        if not step:  # only now has a new cache its tensors
            whole = [_states(layer) for layer in cache.layers]
        drawn = pick(logits, temperature, draws[:, step])
        for row, token in zip(going, drawn.tolist(), strict=True):
            if not _ended(new[row], ends):
                new[row].append(token)
        left = [place for place, row in enumerate(going) if not _ended(new[row], ends)]
        if not left:
            break
        if len(left) <= LEAVE * len(going):
            _put_back(cache, whole, going, width)
            kept = torch.tensor(left, device=rows.device)
            for layer in cache.layers:
                layer.keys, layer.values = layer.keys[kept], layer.values[kept]
            going, mask, draws, drawn = [going[place] for place in left], mask[kept], draws[kept], drawn[kept]
        tokens = drawn[:, None]
    _put_back(cache, whole, going, width)
    for layer, (keys, values) in zip(cache.layers, whole, strict=True):
        layer.keys, layer.values = keys, values
    return new


def pick(logits: "torch.Tensor", temperature: float, draws: "torch.Tensor") -> "torch.Tensor":
    """The token at which the summed probabilities pass a row's number: (rows, vocabulary) and (rows,) to (rows,).

    >>> import torch
    >>> logits = torch.tensor([[0.5, 0.2, 0.3]]).log().expand(4, -1)
    >>> pick(logits, 1.0, torch.tensor([0.0, 0.49, 0.6, 0.71])).tolist(), pick(logits, 0.0, torch.zeros(4)).tolist()
    ([0, 0, 1, 2], [0, 0, 0, 0])
    """
    import torch

    if not temperature:
        return logits.argmax(dim=-1)
    summed = (logits.float() / temperature).softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
    places = torch.searchsorted(summed, draws[:, None].double() * summed[:, -1:], right=True)
    return places[:, 0].clamp(max=logits.shape[-1] - 1)


def _ended(tokens: Sequence[int], ends: Container[int]) -> bool:
    return bool(tokens) and tokens[-1] in ends


def _states(layer: object) -> tuple["torch.Tensor", "torch.Tensor"]:
    return layer.keys, layer.values  # type: ignore[attr-defined]


def _put_back(
    cache: "Cache", whole: Sequence[tuple["torch.Tensor", "torch.Tensor"]], going: Sequence[int], start: int
) -> None:
    """What was read of the rows still there since column `start`, into the tensors of all."""
    for layer, states in zip(cache.layers, whole, strict=True):
        for there, here in zip(states, _states(layer), strict=True):
            if there is not here:
                there[list(going), :, start:] = here[:, :, start:]
