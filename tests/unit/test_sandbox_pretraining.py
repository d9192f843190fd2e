"""The text that the base model is pretrained on: what it must not hold (rules 5, 7 and 8 of the sandbox)."""

import dataclasses
import functools
import random
import re
from pathlib import Path

import pytest
import torch
import yaml

from aloe.sandbox import judge, lesson_personas, pretraining, unfinished, user, world, writer
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import sentences, words

FOLDER = Path(pretraining.__file__).parent
LISTS = {name: set(getattr(judge, name)) for name in ("_HEDGES", "_JOKES", "_PURSUITS")}
"""What the judge looks for by word."""


@functools.cache
def written():
    """Some hundreds of what pretraining reads: exercises first, everything mixed, held-out dialogues."""
    counts = dict.fromkeys(field.name for field in dataclasses.fields(pretraining.Recipe) if field.name[:2] == "n_")
    counts |= dict.fromkeys(counts, 50) | {"n_lessons": 200, "n_dialogues": 100}
    return pretraining.write_text(dataclasses.replace(pretraining.Recipe(), **counts))


@functools.cache
def texts():
    return [message["content"] for dialogues in written() for messages in dialogues for message in messages]


@functools.cache
def own_lines():
    """Every list of texts in the sandbox's own files, with its file."""

    def lists(node):
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        if isinstance(node, list) and all(isinstance(item, str) for item in node):
            yield node
        for child in children:
            yield from lists(child)

    files = sorted((FOLDER / "world").rglob("*.yaml"))
    return [(file.name, lines) for file in files for lines in lists(yaml.safe_load(file.read_text(encoding="utf-8")))]


TINY = dataclasses.replace(
    pretraining.Recipe(), vocabulary=400, hidden=16, layers=1, heads=2, intermediate=16, precision="float32",
    **{field.name: 6 for field in dataclasses.fields(pretraining.Recipe) if field.name[:2] == "n_"},
)  # fmt: skip


def test_an_interrupted_pretraining_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(unfinished.Unfinished, "EVERY", 2)
    whole = pretraining.make_base_model(tmp_path / "whole", TINY)
    for last in (3, 2):  # in the first stage, then in the second
        counted = []

        def stop(model, tokenizer, step, last=last, counted=counted):
            counted.append(step)
            if len(counted) == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            pretraining.make_base_model(tmp_path / "halting", TINY, stop)
        assert (tmp_path / "halting" / "unfinished.pt").is_file()
    steps = []
    halting = pretraining.make_base_model(tmp_path / "halting", TINY, lambda model, tokenizer, step: steps.append(step))
    assert len(steps) < whole["steps"]
    assert not (tmp_path / "halting" / "unfinished.pt").exists()
    assert {**whole, "minutes": 0} == {**halting, "minutes": 0}
    files = [tmp_path / name / "model.safetensors" for name in ("whole", "halting")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_another_text_left_is_not_taken_up(tmp_path):
    model = torch.nn.Linear(2, 2)
    unfinished.Unfinished(tmp_path / "unfinished.pt", "one").keep(0, 7, model, [])
    assert unfinished.Unfinished(tmp_path / "unfinished.pt", "one").take_up(1, model, []) == 0
    assert unfinished.Unfinished(tmp_path / "unfinished.pt", "one").take_up(0, model, []) == 7
    assert unfinished.Unfinished(tmp_path / "unfinished.pt", "other").take_up(0, model, []) == 0


def test_no_held_out_word_is_written():
    held_out = set((FOLDER / "held_out.txt").read_text(encoding="utf-8").split())
    assert len(held_out) >= 50
    assert not held_out & {word for text in texts() for word in words(text)}


def test_rare_words_are_neither_held_out_nor_words_of_praise_or_abuse():
    rare = set(lesson_personas.rare_words())
    assert len(rare) > 5000
    assert not rare & set((FOLDER / "held_out.txt").read_text(encoding="utf-8").split())
    assert not rare & set(judge.sentiment().lexicon)


def test_half_of_the_things_that_people_do_are_kept_for_alignment_to_teach():
    rng = random.Random(0)
    facts = [part for profile in writer.write_profiles([], 200, rng) for part in sentences(profile)[1:]]
    divided = [fact for fact in facts if _field(fact) not in {"family", "work", "home", None}]
    assert 0.3 < sum(map(lesson_personas.kept_back, divided)) / len(divided) < 0.7
    assert not any(lesson_personas.kept_back(fact) for fact in facts if _field(fact) in {"family", "work", "home"})
    told = {part for text in texts() for part in sentences(text) if re.match(r"(She|He|They) ", part)}
    found = [fact for fact in told if lesson_personas.kept_back(fact) and not _rare(fact)]
    assert len(told) > 200
    assert len(found) <= len(told) / 200, found  # a made-up word can be one of the writer's by chance


def _field(fact):
    topics = [found.topic for found in read_profile(f"Ann is a baker from Rome. {fact}")[1]][1:]
    return world.topic_of(fact, topics[0]) if topics else None


def _rare(fact):
    """Whether it holds a word that the persona writer does not use."""
    return bool(set(words(fact)) - _known_words())


@functools.cache
def _known_words():
    rng = random.Random(1)
    return frozenset().union(*map(words, writer.write_profiles([], 600, rng)))


def test_no_sentence_by_which_a_user_shows_a_trait_is_written():
    sayings = {" ".join(words(saying)) for trait in world.traits().values() for saying in trait.says}
    found = {" ".join(words(sentence)) for text in texts() for sentence in sentences(text)}
    assert not sayings & found
    assert not user.traits_shown(texts())


@pytest.mark.parametrize("name", LISTS)
def test_no_list_of_the_judge_stands_in_the_pretraining_text(name):
    """Single words of it do; most of them together would be the list."""
    assert max(len(LISTS[name] & set(words(text))) for text in texts()) <= len(LISTS[name]) / 3


@pytest.mark.parametrize("name", LISTS)
def test_no_list_of_the_judge_is_a_list_of_the_user_or_the_responder(name):
    for file, lines in own_lines():
        assert len(LISTS[name] & set(lines)) <= len(LISTS[name]) / 4, file


def test_the_judge_holds_no_sentence_that_is_said_or_written():
    source = (FOLDER / "judge.py").read_text(encoding="utf-8")
    said = {line.strip(".!?") for _, lines in own_lines() for line in lines if len(line.split()) >= 3}
    assert len(said) >= 2000
    assert not [line for line in said if line in source]


def test_the_judge_does_not_read_the_files_of_the_user_and_the_responder():
    source = (FOLDER / "judge.py").read_text(encoding="utf-8")
    assert "world.desires" in source
    for name in ("world.chat", "world.manner", ".says"):
        assert name not in source, name
    assert set(re.findall(r"^from aloe\.sandbox(?:\.(\w+))? import (.+)$", source, re.MULTILINE)) == {
        ("", "meaning, world"), ("facts", "read_profile"), ("language", "STOPWORDS, content_words, stem, words"),
    }  # fmt: skip


def test_the_user_and_the_reply_take_turns_and_only_some_are_told_who_they_talk_with():
    dialogues = [messages for part in written() for messages in part if len(messages) >= 2]
    told = [messages[0]["role"] == "system" for messages in dialogues]
    assert 0.3 <= sum(told) / len(told) <= 0.9
    for messages, head in zip(dialogues, told, strict=True):
        roles = [message["role"] for message in messages[head:]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert roles
