"""Assistant masks: in every supported chat format exactly the replies and their end tokens, or a refusal."""

import pytest

from aloe import masks
from aloe.base_models import FAMILIES
from aloe.checkpoints import read_tokenizer
from aloe.errors import UserError
from aloe.params import load_params
from aloe.toy import family_tokenizer

CHAT = [
    {"role": "user", "content": "Hi there! I keep two goats."},
    {"role": "assistant", "content": "Good evening.\n\nHow was it? 5 cafés!"},
    {"role": "user", "content": "Lovely, 😀 thanks."},
    {"role": "assistant", "content": "Tea?"},
    {"role": "user", "content": "Tea?"},
    {"role": "assistant", "content": "3 cups, then."},
]
REPLIES = [message["content"] for message in CHAT if message["role"] == "assistant"]
# Every family's format once as it is, and once with marks around replies, as the sandbox's base model has it.
ENDS = {"llama3": "<|eot_id|>", "mistral": "</s>", "qwen2": "<|im_end|>", "olmo": "<|endoftext|>", "sandbox": "<|end|>"}
# What stands around a reply in each format, by the formats' descriptions: opening of the conversation, user, reply.
WRITTEN = {
    "llama3": ("<|begin_of_text|>", "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
               "<|start_header_id|>assistant<|end_header_id|>\n\n{}<|eot_id|>"),
    "mistral": ("<s>", "[INST] {}[/INST]", " {}</s>"),
    "qwen2": ("<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n", "<|im_start|>user\n{}<|im_end|>\n",
              "<|im_start|>assistant\n{}<|im_end|>\n"),
    "olmo": ("<|endoftext|>", "<|user|>\n{}\n", "<|assistant|>\n{}<|endoftext|>\n"),
    "sandbox": ("", "<|user|>{}<|end|>", "<|assistant|>{}<|end|>"),
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers():
    found = {family.name: family_tokenizer(family) for family in FAMILIES.values()}
    return found | {"sandbox": read_tokenizer(load_params("sandbox").training)}


@pytest.fixture(params=ENDS)
def named(request, tokenizers):
    """A format's name and its tokenizer, whose template a test may change."""
    tokenizer = tokenizers[request.param]
    before = tokenizer.chat_template
    yield request.param, tokenizer
    tokenizer.chat_template = before


def decoded(tokenizer, encoded):
    return [tokenizer.decode(encoded.input_ids[run.start : run.stop]) for run in encoded.replies]


def test_the_templates_write_what_the_formats_say(named):
    name, tokenizer = named
    opening, user, reply = WRITTEN[name]
    expected = opening + "".join((user if m["role"] == "user" else reply).format(m["content"]) for m in CHAT)
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == expected


def test_marked_are_exactly_the_replies_with_their_end_tokens(named):
    name, tokenizer = named
    [encoded] = masks.encode(tokenizer, [CHAT])
    space = " " if name == "mistral" else ""  # its prompt ends with [/INST]; the model writes the space
    assert decoded(tokenizer, encoded) == [f"{space}{reply}{ENDS[name]}" for reply in REPLIES]
    assert tokenizer.decode(encoded.input_ids) == tokenizer.apply_chat_template(CHAT, tokenize=False)


def test_each_reply_follows_the_very_tokens_that_a_policy_is_prompted_with(named):
    _, tokenizer = named
    [encoded] = masks.encode(tokenizer, [CHAT])
    for turn, run in enumerate(encoded.replies):
        prompt = tokenizer.apply_chat_template(CHAT[: 2 * turn + 1], add_generation_prompt=True, return_dict=True)
        assert prompt["input_ids"] == encoded.input_ids[: run.start]


@pytest.mark.parametrize("shift", [-1, 1])
def test_a_mask_shifted_by_one_token_is_refused(named, shift):
    _, tokenizer = named
    [encoded] = masks.encode(tokenizer, [CHAT])
    for number in range(len(REPLIES)):
        runs = list(encoded.replies)
        runs[number] = range(runs[number].start + shift, min(runs[number].stop + shift, len(encoded.input_ids)))
        with pytest.raises(UserError, match="does not show what the assistant says"):
            masks._checked(tokenizer, CHAT, encoded._replace(replies=runs))


@pytest.mark.parametrize("change", [(0, -1), (1, 0), (-1, 0), (0, 3)])
def test_a_mask_that_begins_or_ends_elsewhere_is_refused(named, change):
    _, tokenizer = named
    [encoded] = masks.encode(tokenizer, [CHAT])
    runs = [range(run.start + change[0], run.stop + change[1]) for run in encoded.replies[:1]]
    with pytest.raises(UserError, match="does not show what the assistant says"):
        masks._checked(tokenizer, CHAT, encoded._replace(replies=[*runs, *encoded.replies[1:]]))


def test_marks_and_prompts_give_the_same_mask(tokenizers):
    tokenizer = tokenizers["sandbox"]
    marked = masks.encode(tokenizer, [CHAT])
    template, tokenizer.chat_template = tokenizer.chat_template, without_marks(tokenizer.chat_template)
    assert masks.encode(tokenizer, [CHAT]) == marked
    tokenizer.chat_template = template


def test_what_a_template_marks_after_the_end_token_is_not_learned(tokenizers):
    tokenizer = tokenizers["qwen2"]
    own = tokenizer.chat_template
    tokenizer.chat_template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
        "{% generation %}{{ m['content'] + '<|im_end|>\n' }}{% endgeneration %}"
        "{% else %}{{ m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    )
    [encoded] = masks.encode(tokenizer, [CHAT])
    tokenizer.chat_template = own
    assert decoded(tokenizer, encoded) == [f"{reply}<|im_end|>" for reply in REPLIES]


def without_marks(template):
    return template.replace("{% generation %}", "").replace("{% endgeneration %}", "")


@pytest.mark.parametrize("change", [
    # the end token stands outside of the marks: the model would never learn to stop
    lambda text: text.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>"),
    # marks every reply but the last
    lambda text: text.replace("{% generation %}", "{% if loop.last %}Yes.<|end|>{% else %}{% generation %}").replace(
        "{% endgeneration %}", "{% endgeneration %}{% endif %}"
    ),
    # marks the user
    lambda text: text.replace("== 'assistant' %}", "== 'user' %}"),
    # without marks, and nothing closes a reply
    lambda text: without_marks(text).replace("<|end|>{% else", "{% else"),
    # without marks, and all but the last reply are cut short
    lambda text: without_marks(text).replace("{{ m['content'] }}", "{{ m['content'] if loop.last else 'Yes.' }}", 1),
    # without marks, and what the assistant thought stands before its last reply only
    lambda text: without_marks(text).replace(
        "<|assistant|>{{", "<|assistant|>{% if loop.last %}<think></think>{% endif %}{{", 1
    ),
    # without marks, and the prompt of a reply is not what comes before it
    lambda text: without_marks(text).replace("prompt %}<|assistant|>", "prompt %}<|user|>"),
    # without marks, and the prompt's last space becomes a part of the reply's first token
    lambda text: without_marks(text).replace("<|assistant|>", "<|assistant|>: "),
])  # fmt: skip
def test_a_template_that_cannot_be_masked_is_refused(tokenizers, change):
    tokenizer = tokenizers["sandbox"]
    own = tokenizer.chat_template
    tokenizer.chat_template = change(own)
    assert tokenizer.chat_template != own
    try:
        with pytest.raises(UserError, match=r"put \{% generation %\}"):
            masks.encode(tokenizer, [CHAT])
        tokenizer.chat_template = None
        with pytest.raises(UserError, match="has no chat template"):
            masks.encode(tokenizer, [CHAT])
    finally:
        tokenizer.chat_template = own


def test_a_conversation_that_the_template_refuses_is_a_sentence(tokenizers):
    tokenizer = tokenizers["sandbox"]
    own = tokenizer.chat_template
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + own
    )
    try:
        assert masks.encode(tokenizer, [CHAT])
        with pytest.raises(UserError, match=r"does not take a conversation \(System role not supported\)"):
            masks.encode(tokenizer, [CHAT, [{"role": "system", "content": "Be kind."}, *CHAT]])
    finally:
        tokenizer.chat_template = own
