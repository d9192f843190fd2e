"""Conversations to tokens: exactly the wanted replies are learned, nothing is cut, batches hold like lengths."""

import doctest

import pytest
from tiny_model import SENTENCES, save_tiny_model

from aloe import examples
from aloe.errors import UserError
from aloe.records import Message, PreferencePair

ROW = {
    "messages": [
        {"role": "system", "content": "You are chatting."},
        {"role": "user", "content": "Hi there!"},
        {"role": "assistant", "content": "Good evening.\n\nHow was it?"},
        {"role": "user", "content": "Lovely."},
        {"role": "assistant", "content": "Tea?"},
        {"role": "user", "content": "Yes, thanks."},
        {"role": "assistant", "content": "Here you are."},
    ],
    "train": [False, False, True, False, False, False, True],
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(save_tiny_model(tmp_path_factory.mktemp("base")))


def learned(tokenizer, tokens):
    return tokenizer.decode([label for label in tokens.labels if label != examples.IGNORED])


def test_the_docstring_examples_are_true():
    assert doctest.testmod(examples).failed == 0


def test_learned_are_the_wanted_replies_with_their_end_tokens_and_nothing_else(tokenizer):
    [tokens] = examples.sft_tokens(tokenizer, [ROW], 512)
    assert learned(tokenizer, tokens) == "Good evening.\n\nHow was it?<|end|>Here you are.<|end|>"
    whole = tokenizer.apply_chat_template(ROW["messages"], tokenize=False)
    assert tokenizer.decode(tokens.input_ids) == whole
    assert len(tokens.labels) == len(tokens.input_ids)
    assert all(label in (examples.IGNORED, ids) for ids, label in zip(*tokens, strict=True))


def test_several_conversations_are_tokenised_as_each_alone(tokenizer):
    other = {**ROW, "train": [False] * 4 + [True] + [False] * 2}
    assert examples.sft_tokens(tokenizer, [ROW, other], 512) == [
        *examples.sft_tokens(tokenizer, [ROW], 512),
        *examples.sft_tokens(tokenizer, [other], 512),
    ]
    assert learned(tokenizer, examples.sft_tokens(tokenizer, [other], 512)[0]) == "Tea?<|end|>"
    assert examples.sft_tokens(tokenizer, [], 512) == []


def test_a_sequence_over_the_limit_is_refused_and_named(tokenizer):
    length = len(examples.sft_tokens(tokenizer, [ROW], 512)[0].input_ids)
    assert examples.sft_tokens(tokenizer, [ROW], length)
    with pytest.raises(UserError, match=rf"number 1 of 1\) has {length} tokens.*max_length` = {length - 1}"):
        examples.sft_tokens(tokenizer, [ROW], length - 1)


def test_a_pair_is_as_long_as_its_longer_side(tokenizer):
    prompt = (Message("user", "Hi there!"), Message("assistant", "Hello."), Message("user", "Tea?"))
    pair = PreferencePair("d-2", "train-p001-t001", 2, prompt, SENTENCES[0], "Yes.")
    text = f"<|user|>Hi there!<|end|><|assistant|>Hello.<|end|><|user|>Tea?<|end|><|assistant|>{SENTENCES[0]}<|end|>"
    length = len(tokenizer(text)["input_ids"])
    swapped = PreferencePair("d-3", "train-p001-t001", 2, prompt, "Yes.", SENTENCES[0])
    assert examples.pair_lengths(tokenizer, [pair, swapped], length) == [length, length]
    with pytest.raises(UserError, match=rf"d-2\) has {length} tokens"):
        examples.pair_lengths(tokenizer, [pair], length - 1)
    assert examples.pair_lengths(tokenizer, [], 16) == []


def test_batches_hold_sequences_of_like_length_in_random_order():
    lengths = [(37 * i) % 100 for i in range(103)]
    order = examples.batched_order(lengths, 8, seed=1)
    assert sorted(order) == list(range(103))
    batches = [[lengths[i] for i in order[start : start + 8]] for start in range(0, 103, 8)]
    # Within a pool (here all 103) a sorted batch of 8 spans about 8 of the 100 lengths.
    assert max(max(batch) - min(batch) for batch in batches) <= 9
    means = [sum(batch) / len(batch) for batch in batches]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)
    assert order == examples.batched_order(lengths, 8, seed=1)
    assert order != examples.batched_order(lengths, 8, seed=2)
    assert examples.batched_order([], 8, seed=1) == []
