"""The simulated responder: one reply to a user, in a manner and about things.

In: what was said last, what is known of the user (topics, desires), a random generator. Out: at most three
sentences. The manner is a value from -1 to 1 per dimension of `world.DIMENSIONS`; without desires it is that of
somebody drawn at random, so that a plain reply suits somebody and knows nobody. Reads no persona and no prompt itself.
"""

import dataclasses
import random
from collections.abc import Sequence

from aloe.sandbox import world
from aloe.sandbox.facts import Fact
from aloe.sandbox.language import capitalise, unsaid

_ODDS = {
    "length": 0.4, "exclamation": 0.5, "questions": 0.5, "hedging": 0.5, "warmth": 0.6, "play": 0.55, "structure": 0.7,
}  # fmt: skip
"""Of replies to somebody who is not known, the share with much of a dimension: as many as people want it."""
_CALLBACKS = {"family": "callbacks_kin", "health": "callbacks_health"}


@dataclasses.dataclass(frozen=True)
class Subject:
    """Something to talk about: its topic (None: unknown field) and the phrase that names it to the user."""

    topic: str | None
    phrase: str | None

    @classmethod
    def of(cls, fact: Fact) -> "Subject":
        """The subject of a fact: {"topic": "pets", "phrase": "your grey parrot"}."""
        return cls(world.topic_of(fact.sentence, fact.topic), fact.yours() if fact.topic else None)


def choose_manner(desires: dict[str, float], rng: random.Random) -> dict[str, int]:
    """-1 or 1 per dimension: what the user wants where that is known, elsewhere what suits somebody else.

    So replies that know their user and replies that do not are, on the whole, equally lively or warm: what is preferred
    is what fits this user, and no manner is better than another for everybody.
    """
    manner = {dimension: 1 if rng.random() < _ODDS[dimension] else -1 for dimension in world.DIMENSIONS}
    return manner | {dimension: 1 if value > 0 else -1 for dimension, value in desires.items()}


def respond(subject: Subject, other: Subject | None, manner: dict[str, int], rng: random.Random, said: str = "") -> str:
    """A reply about `subject`, with a call-back to `other` where there is one; `said`: the earlier replies.

    At most three sentences: an opener or closer that carries the tone, the advice, a call-back or a question.
    """
    if manner["length"] < 0:
        return _briefly(subject, other, manner, rng, said)
    tone, tonal = _tone(manner, rng, said), max(manner["warmth"], manner["exclamation"], manner["play"]) > 0
    advice = _advice(subject, manner, rng)
    second = _second(subject, other, manner, rng)
    if tonal or manner["warmth"] < 0 or manner["length"] > 0 or second is None or rng.random() < 0.5:
        parts = [tone, advice]
    else:
        parts = [advice]
    parts += [second] if second else []
    return " ".join(parts)


def _briefly(subject: Subject, other: Subject | None, manner: dict[str, int], rng: random.Random, said: str) -> str:
    """A reply in few words: a word or two of tone where one is wanted, short advice, a call-back or a question.

    Of three ways to give the advice, and of three to call back, it takes the shortest.
    """
    table = world.manner()
    named = [core for core in _cores(subject) if "{topic}" in core["do"]] or _cores(subject)
    way = "soft" if manner["hedging"] > 0 else "direct"
    frames = table["brief_steps" if manner["structure"] > 0 else "short"][way]
    ways = [_format(rng.choice(frames), {"do": _fill(rng.choice(named)["do"], subject)}) for _ in range(3)]
    parts = [capitalise(min(ways, key=len))]
    if manner["warmth"]:
        parts.insert(0, unsaid(table["openers"]["warm_brief" if manner["warmth"] > 0 else "cool"], said, rng))
    if manner["play"] > 0:
        parts[0] = _laughing(parts[0], rng)
    if other is not None and other.phrase is not None:
        parts.append(min((_callback(other, manner, rng, brief=True) for _ in range(3)), key=len))
    elif manner["questions"] > 0:
        parts.append(_question(subject, rng))
    if manner["exclamation"] > 0:
        parts = [f"{part[:-1]}!" if part.endswith(".") else part for part in parts]
    return " ".join(parts)


def _laughing(sentence: str, rng: random.Random) -> str:
    """The sentence with a few light-hearted words before it: "Ha, could be worse."."""
    name = sentence.split()[0] in {"I", "I'm", "I'd", "I'll", "I've"}
    return f"{rng.choice(world.manner()['laughs'])}, {sentence if name else sentence[0].lower() + sentence[1:]}"


def _second(subject: Subject, other: Subject | None, manner: dict[str, int], rng: random.Random) -> str | None:
    if other is not None and other.phrase is not None:
        return _callback(other, manner, rng)
    if manner["questions"] > 0:
        return _question(subject, rng)
    return _remark(subject, rng) if manner["length"] > 0 else None


def _tone(manner: dict[str, int], rng: random.Random, said: str) -> str:
    openers = world.manner()["openers"]
    end = "_lively" if manner["exclamation"] > 0 else ""
    if manner["warmth"] > 0:
        opener = unsaid(openers[f"warm{end}"], said, rng)
        return _laughing(opener, rng) if manner["play"] > 0 else opener
    if manner["play"] > 0:
        return unsaid(openers[f"playful{end}"], said, rng)
    if manner["warmth"] < 0:
        return unsaid(openers[f"cool{end}"], said, rng)
    return unsaid(openers["lively" if end else "plain"], said, rng)


def _advice(subject: Subject, manner: dict[str, int], rng: random.Random) -> str:
    table = world.manner()
    cores = _cores(subject)
    core, after = rng.sample(cores, 2)
    way = "soft" if manner["hedging"] > 0 else rng.choice(("direct", "direct", "plain"))
    fields = {"do": _fill(core["do"], subject), "next": _fill(after["do"], subject)}
    if manner["structure"] > 0 and manner["length"] >= 0 and rng.random() < 0.5:
        return capitalise(_format(rng.choice(table["steps"][way]), fields))
    if manner["length"] > 0:
        fields["do"] += f" and also {fields['next']}"
    frames = table["short" if manner["length"] < 0 else "medium"][way]
    sentence = _format(rng.choice(frames), fields)
    if manner["structure"] > 0:
        why = _fill(core["why"], subject)
        return capitalise(rng.choice(table["reasons"]).format(sentence=sentence.rstrip("."), why=why))
    return capitalise(sentence)


def _callback(other: Subject, manner: dict[str, int], rng: random.Random, brief: bool = False) -> str:
    way = "ask" if manner["questions"] > 0 else "soft" if manner["hedging"] > 0 else rng.choice(("direct", "plain"))
    if way == "ask" and other.topic is not None and not brief and rng.random() < 0.5:
        return _fill(rng.choice(world.topics()[other.topic].ask), other)
    kind = _CALLBACKS.get(str(other.topic), "callbacks")
    return capitalise(str(rng.choice(world.manner()[kind][way])).format(other=other.phrase))


def _question(subject: Subject, rng: random.Random) -> str:
    known = subject.topic is not None and subject.phrase is not None
    asks: Sequence[str] = world.topics()[str(subject.topic)].ask if known else world.manner()["generic"]["ask"]
    return _fill(rng.choice(asks), subject)


def _remark(subject: Subject, rng: random.Random) -> str:
    known = subject.topic is not None and subject.phrase is not None
    remarks: Sequence[str] = world.topics()[str(subject.topic)].remark if known else world.manner()["generic"]["remark"]
    return _fill(rng.choice(remarks), subject)


def _cores(subject: Subject) -> list[dict[str, str]]:
    if subject.topic is None or subject.phrase is None:
        return list(world.manner()["generic"]["cores"])
    return list(world.topics()[subject.topic].cores)


def _format(frame: str, fields: dict[str, str]) -> str:
    return frame.format(**fields, Do=capitalise(fields["do"]))


def _fill(frame: str, subject: Subject) -> str:
    phrase = subject.phrase or "that"
    text = frame.format(topic=phrase, Topic=capitalise(phrase))
    return capitalise(text) if "?" in frame or frame.endswith(".") else text
