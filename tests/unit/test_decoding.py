"""What `decode` goes on with is what the model says one token at a time, for every kind of model that presets name."""

import pytest

from aloe.decoding import decode

N, WIDTH = 20, 12
PADDED = (0, 3, 7, 1, 10)  # columns of padding before each row
SHAPE = {
    "vocab_size": 97, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0, "eos_token_id": 1,
    "bos_token_id": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "window"),
    [("llama", {}), ("mistral", {}), ("mistral", {"sliding_window": 8}), ("qwen2", {}), ("olmo", {})],
)
def test_a_batch_whose_rows_end_at_different_times_goes_on_as_each_row_alone(kind, window):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, StaticCache

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SHAPE, **window)).eval()
    rows = torch.randint(2, 97, (len(PADDED), WIDTH))
    mask = torch.ones_like(rows)
    for row, padding in enumerate(PADDED):
        mask[row, :padding] = 0
    ends = {1, *range(2, 12)}  # so many that rows leave the batch on the way
    expected = [alone(model, row[real.bool()].tolist(), ends) for row, real in zip(rows, mask, strict=True)]
    cache = StaticCache(config=model.config, max_cache_len=WIDTH + N)
    with torch.inference_mode():
        assert decode(model, rows, mask, cache, 0, torch.zeros(len(rows), N), 0.0, ends) == expected
    assert len({len(tokens) for tokens in expected}) > 1


def alone(model, tokens, ends):
    """The likeliest tokens, each from the whole row anew."""
    import torch

    new = []
    while len(new) < N and not (new and new[-1] in ends):
        with torch.inference_mode():
            new.append(int(model(torch.tensor([tokens + new])).logits[0, -1].argmax()))
    return new
