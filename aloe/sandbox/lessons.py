"""What the sandbox's base model reads: dialogues with told and untold users, and exercises.

In: a random generator. Out: dialogues in message form. A told persona stands in the system prompt and is answered to
suit it; an untold one is answered to suit nobody. The user's lines that show traits are left out of all of them, so
that the model can follow a persona and has never seen one inferred. Many facts are about made-up words, so that it
learns to take up any word. Knows nothing of models or training.
"""

import functools
import random
import re
from collections.abc import Sequence

from aloe.sandbox import user, world, writer
from aloe.sandbox.facts import Fact, read_profile
from aloe.sandbox.language import capitalise, sentences, words
from aloe.sandbox.lesson_personas import any_habits, lesson_personality, lesson_profile, rare_word
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
_HOUSE_ODDS = {"exclamation": 0.25, "questions": 0.4, "hedging": 0.4, "warmth": 0.2, "play": 0.07, "structure": 0.2}
"""How often a reply is lively, asks back, hedges, is warm, jokes, gives steps or reasons, where nothing is told."""


def dialogue(rng: random.Random, most_turns: int, told: bool, least_turns: int = 1) -> Dialogue:
    """A chat of `least_turns` to `most_turns` turns with a user whose whole persona is told, or of whom nothing is."""
    profile, personality = lesson_profile(rng, 0.75), lesson_personality(rng)
    if not told:
        return _chat(profile, (), {}, rng, most_turns, least_turns)
    profile, personality = _some_sentences(profile, 4, rng), _some_sentences(personality, 3, rng)
    return _system(profile, personality, rng) + _told_chat(profile, personality, rng, most_turns, least_turns)


def lesson(rng: random.Random, easy: bool = False) -> Dialogue:
    """A told persona and one to three exchanges: chat, what is known of the user, which manner the user likes.

    An easy one is about few facts in well-known words, and asks for them more often.
    """
    few = easy or rng.random() < 0.4
    profile = _some_sentences(lesson_profile(rng, 0.3 if easy else 0.75), 2, rng, 5 if few else 20)
    personality = _some_sentences(lesson_personality(rng), 1, rng, 4 if few else 20)
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
    personality = _some_sentences(written if unnamed else any_habits(written, rng), 1, rng, rng.choice((1, 1, 2, 3)))
    told = re.sub(r"(?:^|(?<=\. ))[^.,]+, (\w)", lambda m: m[1].upper(), personality) if unnamed else personality
    return [{"role": "system", "content": told}, *_exchange(rng.choice(_MANNER), _manner_answer(personality))]


def repetition(rng: random.Random, easy: bool = False) -> Dialogue:
    """Words to be said again; most are rare or made up, in an easy one none."""
    known = 1.0 if easy else 0.4
    spoken = ", ".join(
        rng.choice(_world_words()) if rng.random() < known else rare_word(rng) for _ in range(rng.randint(3, 10))
    )
    return _exchange(f"{rng.choice(_REPEAT)}: {spoken}.", f"{capitalise(spoken)}.")


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
        turns.append(("assistant", reply_to(text, facts, desires, rng, said, _house_manner)))
    return [{"role": role, "content": text} for role, text in turns]


def _house_manner(desires: dict[str, float], rng: random.Random) -> dict[str, int]:
    """-1, 0 or 1 per dimension: what the user wants where that is told, elsewhere the model's own manner, mostly calm.

    A manner drawn anew for every reply, as the study's plain responder has it, would not do here: a model without a
    manner of its own takes that of the last message, and so seems to know its user before it is trained to.
    """
    manner = {"length": rng.choice((-1, 0, 0, 1))}
    manner |= {dimension: 1 if rng.random() < odds else 0 for dimension, odds in _HOUSE_ODDS.items()}
    if desires and max(desires.get("warmth", 0), desires.get("play", 0)) <= 0:
        manner["play"] = 0
    return manner | {dimension: 1 if value > 0 else -1 for dimension, value in desires.items()}


def _desires(personality: str) -> dict[str, float]:
    return world.desires([name for _, name in world.read_personality(personality) if name])


def _manner_answer(personality: str) -> str:
    wanted = _desires(personality)
    ways = [_WAYS[name][0 if wanted[name] > 0 else 1] for name in world.DIMENSIONS if wanted.get(name)]
    return f"{capitalise(', '.join(ways))}." if ways else "In any way."


def _recall_answer(profile: str) -> str:
    topics = [fact.yours() for fact in read_profile(profile)[1] if fact.topic]
    return f"I know about {', '.join(topics)}." if topics else "I know little about you."


def _some_sentences(text: str, least: int, rng: random.Random, most: int = 20) -> str:
    """A text without some of its sentences, in order: a persona may be told in part."""
    parts = sentences(text)
    most = min(most, len(parts))
    kept = sorted(rng.sample(range(len(parts)), rng.randint(min(least, most), most)))
    return " ".join(parts[i] for i in kept)
