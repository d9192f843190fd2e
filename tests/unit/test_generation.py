"""A local policy replies as its model would, one conversation at a time, whatever the batches."""

import dataclasses
import math

import pytest
from tiny_model import SENTENCES, save_tiny_model

from aloe import generation
from aloe.base_models import FAMILIES, family_of
from aloe.decoding import pick
from aloe.errors import UserError
from aloe.generation import LocalPolicy, heard, open_policy
from aloe.params import load_params
from aloe.records import Message
from aloe.toy import family_tokenizer

CONVERSATIONS = [
    [Message("user", SENTENCES[0])],
    [Message("user", "Hi!")],
    [
        Message("system", SENTENCES[1]),
        Message("user", SENTENCES[2]),
        Message("assistant", "Yes."),
        Message("user", "No."),
    ],
    [Message("user", "Tea?")],
    [Message("user", SENTENCES[3] + SENTENCES[4])],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("model"), seed=3)


def one_by_one(folder, conversation, n):
    """The greedy reply without batch, padding or cache, and whether it ended by itself."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    text = "".join(f"<|{m.role}|>{m.content}<|end|>" for m in conversation) + "<|assistant|>"
    ids, new = tokenizer(text)["input_ids"], []
    while len(new) < n and tokenizer.eos_token_id not in new:
        with torch.no_grad():
            new.append(int(model(torch.tensor([ids + new])).logits[0, -1].argmax()))
    return tokenizer.decode(new, skip_special_tokens=True).strip(), tokenizer.eos_token_id in new


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_greedy_replies_come_in_order_and_do_not_depend_on_the_batch(folder, batch_size):
    policy = LocalPolicy(folder, 12, 0.0, batch_size, seed=0)
    expected = [one_by_one(folder, conversation, 12) for conversation in CONVERSATIONS]
    assert policy.reply(CONVERSATIONS) == [text for text, _ in expected]
    assert policy.cut_short == sum(not ended for _, ended in expected)
    assert len({text for text, _ in expected}) > 1
    assert policy.reply([]) == []


def test_what_was_read_before_changes_no_reply(folder):
    policy, alone = LocalPolicy(folder, 12, 0.0, 5, seed=0), LocalPolicy(folder, 12, 0.0, 1, seed=0)
    read = []
    policy._model.register_forward_pre_hook(lambda _, args, kw: read.append(kw["input_ids"].shape[1]), with_kwargs=True)
    talks = [list(conversation) for conversation in CONVERSATIONS]
    for turn in range(4):
        if turn == 2:  # one talk went on otherwise than the policy has it, one is another
            talks[0][1], talks[3][0] = Message("assistant", "Never mind."), Message("user", "Coffee?")
        del read[:]
        replies = policy.reply(talks)
        assert replies == alone.reply(talks)
        widest = max(len(alone._prompt(talk)) for talk in talks)
        assert (read[0] < widest - 12) == (turn > 0)
        for number, (talk, reply) in enumerate(zip(talks, replies, strict=True)):
            talk += [Message("assistant", reply), Message("user", SENTENCES[turn][: 9 * number + 1])]
    assert policy.reply(talks[:3]) == alone.reply(talks[:3])


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_a_sampled_reply_follows_from_seed_and_conversation_whatever_stands_beside_it(folder, batch_size):
    whole = LocalPolicy(folder, 12, 1.0, 4, seed=0).reply(CONVERSATIONS)
    policy = LocalPolicy(folder, 12, 1.0, batch_size, seed=0)
    order = [3, 0, 4, 2, 1]
    assert policy.reply([CONVERSATIONS[i] for i in order]) == [whole[i] for i in order]
    assert len(set(whole)) == len(whole)


def test_tokens_are_drawn_as_often_as_the_model_says():
    import torch

    # Logits 0, log 3 and log 6 are shares .1, .3, .6; at temperature 0.5 they are squared: 1, 9, 36 of 46.
    logits = torch.tensor([[0.0, math.log(3), math.log(6)]]).expand(10_000, -1)
    draws = (torch.arange(10_000) + 0.5) / 10_000  # evenly spread, so that the counts are exact to one
    for temperature, shares in ((1.0, [0.1, 0.3, 0.6]), (0.5, [1 / 46, 9 / 46, 36 / 46])):
        counts = torch.bincount(pick(logits, temperature, draws), minlength=3)
        assert counts.tolist() == pytest.approx([10_000 * share for share in shares], abs=1)


def test_sampling_repeats_with_the_seed_and_leaves_the_global_generator_alone(folder):
    import torch

    torch.manual_seed(5)
    undisturbed = torch.rand(1)
    torch.manual_seed(5)
    replies = [LocalPolicy(folder, 12, 1.0, 3, seed).reply(CONVERSATIONS) for seed in (0, 0, 1)]
    assert replies[0] == replies[1] != replies[2]
    assert torch.equal(torch.rand(1), undisturbed)
    assert not any("<|" in text for text in replies[0])


def test_a_context_without_room_for_the_reply_is_refused(folder):
    policy = LocalPolicy(folder, 12, 0.0, 2, seed=0)
    # The model has room for 512 tokens; a conversation is a role token, the text (a token per "%"), an end token and
    # the assistant's role token: 497 + 3 + 12 is just 512.
    assert len(policy.reply([[Message("user", "%" * 497)]])) == 1
    with pytest.raises(UserError, match=r"has 501 tokens.*leaves room for 500"):
        policy.reply([[Message("user", "Hi!")], [Message("user", "%" * 498)]])


def test_a_system_message_is_heard_whatever_the_chat_format():
    told = [Message("system", "The user keeps goats."), *CONVERSATIONS[2][1:]]
    for family in FAMILIES.values():
        tokenizer = family_tokenizer(family)
        text = tokenizer.apply_chat_template(heard(tokenizer, told), tokenize=False, add_generation_prompt=True)
        assert text.count("The user keeps goats.") == 1
        without = tokenizer.apply_chat_template(heard(tokenizer, told[1:]), tokenize=False)
        assert "goats" not in without


def test_a_template_that_refuses_or_drops_a_system_message_gets_it_before_the_first_user_message():
    tokenizer = family_tokenizer(family_of("allenai/OLMo-7B-0724-Instruct-hf"))
    told = [
        Message("system", "Goats."),
        Message("user", "Hi!"),
        Message("assistant", "Hello."),
        Message("user", "Tea?"),
    ]
    expected = [("user", "Goats.\n\nHi!"), ("assistant", "Hello."), ("user", "Tea?")]
    assert [(m["role"], m["content"]) for m in heard(tokenizer, told)] == expected  # this format knows no system
    tokenizer.chat_template = "{{ raise_exception('Only user and assistant!') if messages[0]['role'] == 'system' }}"
    assert [(m["role"], m["content"]) for m in heard(tokenizer, told)] == expected


def test_a_missing_model_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        LocalPolicy(tmp_path / "none", 12, 0.0, 2, seed=0)


def test_where_unsloth_has_trained_a_policy_talks_from_another_process_and_says_the_same(folder, monkeypatch):
    params = dataclasses.replace(load_params("smoke").benchmark, max_new_tokens=12, temperature=1.0, batch_size=3)
    here = open_policy(folder, params, 0)
    assert isinstance(here, LocalPolicy)
    monkeypatch.setattr(generation, "_unsloth_is_here", lambda: True)
    apart = open_policy(folder, params, 0)
    assert not isinstance(apart, LocalPolicy)
    assert [apart.reply(CONVERSATIONS), apart.reply([])] == [here.reply(CONVERSATIONS), []]
    with pytest.raises(UserError, match="leaves room for"):
        apart.reply([[Message("user", "Tea? " * 600)]])
    with pytest.raises(UserError, match="does not exist"):
        open_policy(folder / "none", params, 0).reply(CONVERSATIONS)
