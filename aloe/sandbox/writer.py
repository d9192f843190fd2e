"""The simulated persona writer: new profiles and personalities in the manner of the examples that it is shown.

In: example texts, how many to write, a random generator. Out: that many texts. Nothing is read out of a list of
personas: a profile is composed fact by fact, some taken from the examples' fields of life, some varied from an
example's own sentences (another person, another detail), so other examples give another pool. Near copies happen, as
with any model; sorting them out is the filter's work.
"""

import random
import re
from collections.abc import Sequence

from aloe.sandbox import world
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import capitalise, first_person_verb, sentences

_NAMES = world.read_yaml("names.yaml")
_PRONOUNS = {"she": ("She", "her", "her", "herself"), "he": ("He", "his", "him", "himself"),
             "they": ("They", "their", "them", "themself")}  # fmt: skip
_ONCE = ({"dwelling", "home", "house"}, {"children"}, {"spouse"})
"""Slots of which a profile fills one: nobody has two homes, or raises other children than their own."""


def write_profiles(examples: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """`count` profiles of 8 to 10 facts, on fields of life that the examples weigh more than others."""
    fields = [world.topic_of(fact.sentence, fact.topic) for text in examples for fact in read_profile(text)[1]]
    borrowed = [part for text in examples for part in sentences(text)[1:]]
    return [_profile([name for name in fields if name], borrowed, rng) for _ in range(count)]


def write_personalities(examples: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """`count` personalities of 8 to 10 traits; about a third of the traits are taken over from the examples."""
    known = [name for text in examples for _, name in world.read_personality(text) if name is not None]
    return [_personality(known, rng) for _ in range(count)]


def _profile(fields: Sequence[str], borrowed: Sequence[str], rng: random.Random) -> str:
    gender = rng.choices(("she", "he", "they"), (0.48, 0.47, 0.05))[0]
    name, age = rng.choice(_NAMES[gender]), rng.randint(18, 80)
    subject, their, them, themself = _PRONOUNS[gender]
    job, place = _job(age, rng), rng.choice(_NAMES["places"])
    a = "an" if age in (18, 80) else "a"
    parts = [f"{name} is {a} {age}-year-old {job} from {place}."]
    filled: set[str] = set()
    for field in _fields(fields, rng.randint(7, 9), rng):
        own = [part for part in borrowed if _usable(part, gender) and world.topic_of(part) == field]
        if own and rng.random() < 0.15:
            parts.append(_vary(rng.choice(own), rng))
        else:
            topic = world.topics()[field]
            frame = rng.choice([frame for frame in topic.frames if not _said_before(frame, filled)])
            filled |= _slots(frame)
            parts.append(_compose(topic, frame, subject, their, them, themself, rng))
    return " ".join(dict.fromkeys(parts))


def _job(age: int, rng: random.Random) -> str:
    if age < 22:
        return str(rng.choice(_NAMES["young"]))
    job = str(rng.choice(_NAMES["jobs"]))
    return f"retired {job}" if age > 66 else job


def _fields(fields: Sequence[str], count: int, rng: random.Random) -> list[str]:
    names = [name for name in world.topics() if name != "work"]
    weights = {name: 1.0 + fields.count(name) for name in names}
    chosen: list[str] = []
    for _ in range(count):
        left = [name for name in names if chosen.count(name) < (2 if name in {"family", "home"} else 1)]
        chosen.append(rng.choices(left, [weights[name] for name in left])[0])
    return chosen


def _slots(frame: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", frame))


def _said_before(frame: str, filled: set[str]) -> bool:
    return any(kind & filled and kind & _slots(frame) for kind in _ONCE)


def _compose(
    topic: world.Topic, frame: str, subject: str, their: str, them: str, themself: str, rng: random.Random
) -> str:
    values = {slot: rng.choice(options) for slot, options in topic.slots.items()}
    values = {key: _with_pronouns(value, their, them, themself) for key, value in values.items()}
    text = frame.format(S=subject, their=their, Their=capitalise(their), them=them, themself=themself, **values)
    return capitalise(plural(text) if subject == "They" else text)


def _with_pronouns(value: str, their: str, them: str, themself: str) -> str:
    return re.sub(r"\{(their|them|themself)\}", lambda m: {"their": their, "them": them}.get(m[1], themself), value)


def plural(text: str) -> str:
    """Make "They keep" of "They keeps"; only the verb right after the subject is turned."""

    def turn(match: re.Match[str]) -> str:
        verb = match[2]
        return match[1] + {"is": "are", "was": "were"}.get(verb, first_person_verb(verb))

    return re.sub(r"^(They (?:also |often |never |still |always )?)(\w+)", turn, text)


def _usable(sentence: str, gender: str) -> bool:
    """An example's sentence can be borrowed where the pronouns fit, it names nobody, and tells of something done."""
    first, verb = sentence.lower().split()[:2]
    named = re.search(r"\b(?:named|called)\b", sentence)
    return first == gender and gender != "they" and verb in _NAMES["activities"] and not named


def _vary(sentence: str, rng: random.Random) -> str:
    """The same fact at another time, or in other company."""
    bare = re.split(r" (?:on|every|after|before|at|each|in|for|all|once|twice|whenever) ", sentence.rstrip("."))[0]
    kinds = ["times"] if " with " in bare else ["times", "company"]
    return f"{bare} {rng.choice(_NAMES[rng.choice(kinds)])}."


def _personality(known: Sequence[str], rng: random.Random) -> str:
    table = world.traits()
    chosen: list[str] = []
    wanted, draws = rng.choice((8, 9, 9, 10)), 0
    while len(chosen) < wanted:
        pool = list(known) if known and rng.random() < 0.35 else list(table)
        name, draws = rng.choice(pool), draws + 1
        if name not in chosen and (draws > 100 or not _clashes(name, chosen)):
            chosen.append(name)
    rng.shuffle(chosen)
    parts = []
    for name in chosen:
        trait = table[name]
        word = name if rng.random() < 0.5 else rng.choice(trait.synonyms)
        parts.append(f"{capitalise(word)}, {rng.choice(trait.shows)}.")
    return " ".join(parts)


def _clashes(name: str, chosen: Sequence[str]) -> bool:
    """Whether a trait wants the opposite of two or more things that the chosen ones want."""
    total = world.desires(list(chosen)) if chosen else {}
    wants = world.traits()[name].wants
    against = sum(total.get(dimension, 0) * value < 0 for dimension, value in wants.items())
    return against >= 2 or (against == 1 and len(chosen) > 4)
