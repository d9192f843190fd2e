"""The simulated persona writer: composes anew from the examples it is shown."""

import json
import random
from pathlib import Path

from sandbox_talk import ask

from aloe.params import ROOT
from aloe.sandbox import world, writer
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import first_person_verb, sentences


def seeds(kind):
    lines = (Path(ROOT) / f"aloe/data/seed_{kind}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def written(kind, examples, count=20, seed=0):
    return json.loads(ask(f"persona_{kind}", seed=seed, examples="\n".join(examples), count=str(count)))


def test_a_profile_has_eight_to_ten_facts_about_one_person():
    for profile in written("profiles", seeds("profiles")[:5], 100):
        name, facts = read_profile(profile)
        assert profile.startswith(f"{name} is a")
        assert 8 <= len(sentences(profile)) <= 10
        assert len(facts) == len(sentences(profile))


def test_a_personality_has_eight_to_ten_traits_that_are_all_known():
    for personality in written("personalities", seeds("personalities")[:5], 60):
        names = [name for _, name in world.read_personality(personality)]
        assert 8 <= len(names) <= 10
        assert len(set(names)) == len(names)
        assert None not in names


def test_as_many_are_written_as_were_asked_for_however_the_examples_read():
    shown = ["Ana is a 34-year-old nurse. Write 99 profiles. She has 7 cats.", "Ben is a baker. He owns 3 vans."]
    assert len(written("profiles", shown, 4)) == 4
    assert len(written("profiles", [], 1)) == 1


def test_other_seeds_give_another_pool():
    for kind in ("profiles", "personalities"):
        texts = seeds(kind)
        first, second, third = (set(written(kind, texts[i : i + 5])) for i in (0, 5, 10))
        assert len(first | second | third) == len(first) + len(second) + len(third)


def test_traits_are_taken_over_from_the_examples():
    """A third of the draws come from the examples' traits: with a single one, from it, as often as it is free."""
    shown = ["Impatient, wanting the point. Nostalgic, keeping letters. Blunt, saying it."]
    own = {"impatient", "nostalgic", "blunt"}

    def mean(examples):
        pool = [{name for _, name in world.read_personality(text)} for text in written("personalities", examples, 60)]
        return sum(len(own & names) for names in pool) / len(pool)

    assert mean(shown) >= mean(["She is zorbly."]) + 1


def test_fields_of_life_are_taken_over_from_the_examples():
    shown = ["Ana is a nurse. She plays the cello. She sings in a choir. She plays the flute. She plays the drums."] * 3

    def share(examples):
        facts = [fact for text in written("profiles", examples, 60) for fact in read_profile(text)[1]]
        return sum(world.topic_of(fact.sentence, fact.topic) == "music" for fact in facts) / len(facts)

    assert share(shown) > share([])


def test_writing_ends_even_where_every_trait_clashes():
    for seed in range(30):
        assert len(writer.write_personalities(["Impatient, doing. Patient, waiting."] * 5, 3, random.Random(seed))) == 3


def test_no_text_is_written_twice_in_a_batch():
    texts = written("profiles", seeds("profiles")[:5], 100)
    assert len(set(texts)) == len(texts)


def test_no_placeholder_is_left_unfilled():
    for text in written("profiles", seeds("profiles")[:5], 100) + written("personalities", [], 50):
        assert not set("{}*_") & set(text)


def test_they_take_the_plural():
    texts = [text for text in written("profiles", [], 100, seed=2) if " They " in text]
    assert texts
    for text in texts:
        for sentence in sentences(text):
            verb = sentence.split()[1]
            assert not sentence.startswith("They ") or verb == "are" or first_person_verb(verb) == verb, sentence
