"""General conversations in fine-tuning: how many, which are held out, what is measured, what is refused."""

import dataclasses
import json

import pytest
from test_training import TREES
from tiny_model import SENTENCES, save_tiny_model

from aloe import training
from aloe.errors import UserError
from aloe.mixes import draw_mix
from aloe.params import Mix, load_params
from aloe.records import write_jsonl
from aloe.runs import Run
from aloe.stages import STAGES, inputs


def conversation(number):
    return {"messages": [{"role": "system", "content": "You help."},
                         {"role": "user", "content": f"{number}"},
                         {"role": "assistant", "content": SENTENCES[number % len(SENTENCES)]}]}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "general.jsonl"
    file.write_text("".join(json.dumps(conversation(n)) + "\n" for n in range(20)), encoding="utf-8")
    return file


def test_a_share_of_all_sequences_is_drawn_and_another_part_held_out(path):
    train, dev = draw_mix(Mix(str(path), 0.25), 12, seed=0)
    assert (len(train), len(dev)) == (4, 2)  # 4 of 16 are a quarter; a tenth of 20 is held out
    names = [row["messages"][1]["content"] for row in (*train, *dev)]
    assert len(set(names)) == 6
    assert train[0]["train"] == [False, False, True]
    assert draw_mix(Mix(str(path), 0.25), 12, seed=0) == (train, dev) != draw_mix(Mix(str(path), 0.25), 12, seed=1)


def test_parquet_holds_the_same(path, tmp_path):
    import pandas as pd

    pd.DataFrame([conversation(n) for n in range(20)]).to_parquet(tmp_path / "general.parquet")
    mixes = [draw_mix(Mix(str(file), 0.25), 12, seed=0) for file in (path, tmp_path / "general.parquet")]
    assert mixes[0] == mixes[1]


@pytest.mark.parametrize("row, said", [
    ({"text": "x"}, "has no column `messages`, but text"),
    ({"messages": ["x"]}, "row 1: `messages` should be a list"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "row 1: roles should be"),
    ({"messages": conversation(1)["messages"][:2]}, "and the assistant the last"),
    ({"messages": conversation(1)["messages"][2:]}, "row 1: .* a user have the first word"),
    (conversation(1), "holds 1 conversations, 1 of them held out; a share of 0.5 beside 3 sequences takes 3"),
])  # fmt: skip
def test_what_is_no_conversation_is_refused_in_a_sentence(tmp_path, row, said):
    file = tmp_path / "general.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=said):
        draw_mix(Mix(str(file), 0.5), 3, seed=0)


@pytest.mark.parametrize("content, said", [
    (b"", "cannot be read: it is empty"),
    (b'{"messages": [', "cannot be read: JSON parse error"),
    (json.dumps(conversation(1), ensure_ascii=False).replace("help", "h\u00e9lp").encode("latin-1"), "'utf-8' codec"),
])  # fmt: skip
def test_a_file_that_is_empty_cut_off_or_in_another_encoding_is_refused_in_a_sentence(tmp_path, content, said):
    file = tmp_path / "general.jsonl"
    file.write_bytes(content)
    with pytest.raises(UserError, match=said):
        draw_mix(Mix(str(file), 0.5), 3, seed=0)


@pytest.mark.parametrize("name", ["gone.jsonl", "general.txt"])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    (tmp_path / "general.txt").write_text("x")
    with pytest.raises(UserError, match="is no file of JSON lines"):
        draw_mix(Mix(str(tmp_path / name), 0.5), 3, seed=0)


def test_general_conversations_are_learned_beside_the_dialogues_and_measured_apart(path, tmp_path):
    params = load_params("smoke")
    sft = dataclasses.replace(params.training.sft, mix=Mix(str(path), 0.5), epochs=2.0, learning_rate=1e-2)
    section = dataclasses.replace(params.training, base_model=str(save_tiny_model(tmp_path / "base")), max_length=400,
                                  dtype="float32", sft=sft)  # fmt: skip
    run = Run("mixed", dataclasses.replace(params, training=section), tmp_path / "mixed")
    write_jsonl(run.trees, TREES)
    summary = training.train_sft(run, "preferred")
    assert (summary["sequences"], summary["rows"], summary["steps"]) == (8, 16, 16)  # 8 and 8, two a step, twice
    assert (summary["mix"]["sequences"], summary["mix"]["dev_sequences"]) == (8, 2)
    assert summary["mix"]["loss_after"] < summary["mix"]["loss_before"]
    assert summary["loss_after"] < summary["loss_before"]
    json.dumps(summary, allow_nan=False)
    stage = next(stage for stage in STAGES if stage.name == "04_sft")
    assert path in inputs(stage, run)


MOVES_IT = (
    "{% set told = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}"
    "{% for m in messages if m['role'] != 'system' %}{% if m['role'] == 'user' %}"
    "<|user|>{{ told if loop.index >= loop.length - 1 else '' }}{{ m['content'] }}"
    "{% else %}<|assistant|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("template, roles", [
    (None, ["system", "user", "assistant", "user", "assistant"]),
    (MOVES_IT, ["user", "assistant", "user", "assistant"]),  # as Mistral's, which puts it before the last question
    (MOVES_IT.replace("told if", "'' if"), ["user", "assistant", "user", "assistant"]),  # drops it
    ("{{ raise_exception('no such role') if messages[0]['role'] == 'system' }}" + MOVES_IT,
     ["user", "assistant", "user", "assistant"]),
])  # fmt: skip
def test_a_template_without_a_place_for_a_system_message_gets_its_text_with_the_first_question(
    tmp_path, template, roles
):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(save_tiny_model(tmp_path / "model"))
    tokenizer.chat_template = template or tokenizer.chat_template
    row = {"messages": conversation(1)["messages"] + conversation(2)["messages"][1:]}
    found = training._as_heard(tokenizer, row)
    assert [message["role"] for message in found["messages"]] == roles
    assert found["train"] == [role == "assistant" for role in roles]
    assert found["messages"][0]["content"].startswith("You help.")
