"""The simulated user: the next chat message of a person, who lets facts out bit by bit and shows traits in passing.

In: a profile, a personality, the conversation so far, a random generator, the rate of early disclosure. Out: a
message of one to four sentences. What has been let out already is read off the conversation; no state is kept.
Traits are shown by what the person says and how; never named. Knows nothing of how replies are judged.
"""

import functools
import random
import re
from collections.abc import Sequence
from typing import Any

from aloe.sandbox import world
from aloe.sandbox.facts import Fact, read_profile
from aloe.sandbox.language import capitalise, content_words, sentences, unsaid, words

REVEAL_ODDS = 0.85
"""How often a message lets out a new fact while there is one left."""
_INCIDENTAL = set(
    """brain tone heart head boots pockets calendar weekends weekend life family mind mood hands hand face feet voice
    name shin shelf kitchen desk bag phone day days week evening morning way side turn friends friend list story
    stories sentence question answer answers message luck age thoughts thought word words things keys door window bed
    patience body ears eyes nose shoulders shoulder knees knee arms back sleeve lap plate plates cup diary diet hair
    half hour afternoon year years month time minute cheeks stomach shirt trousers coat fingers wrists wallet temper
    limits own feelings feeling decisions decision mistakes mistake opinion opinions boss brother's insurance doormat
    neighbours guests visitors mum dad way ways memory nerves tears smile laugh secret secrets turn part share side
    fault business problem problems point points appointment fringe statement schoolfriends rucksack foot""".split()
)
"""What a message says "my" of, by the last word, without being about it."""
_ASIDE = set(
    """breath break lunch review notes lip peace legs teeth keyboard level sense situation excitement closer stop
    friends receipt option terms plans plan watch sleeves supper porch appetite seat goals view gate health cupboards
    lucky shelves hall hallway messages relatives surroundings mismatched kisses evenings corner eyes usual little hot
    good fortune case past idea doctor landlord grown give move wait done caught long to thing things tongue
    goodbye mark earplugs blame steps hopes hope dreams breakfast attention money wallet nerve confidence ideas
    taste pulse pride""".split()
)
"""The same by the first word."""
_DONE = "to|been|done|caught|grown|come|run|never|always|had|got|made|seen|forgotten|spent|taken|no|nothing|only"
"""What follows "I have" where nothing is had."""
HABIT_ODDS = (0.1, 1.0)
"""How often each habit of its author is in a message, at the first turn and from the tenth on, with a straight line
between: people write in the manner in which they like to be answered, the more so the better they know each other."""
MOST_SENTENCES = 4
"""A habit that adds a sentence finds room in a message with fewer."""
_OPENINGS = set(
    """a an the my there some it it's that's we you nobody somebody everybody when since after at if one not these in
    for what where who how why is can could would should do does let my our people they friends today last things
    better quieter that whoever before half family here no yes every each other all last first this those his her their
    which while though because as by on to with from about after under over once right true fair good noted hard more
    easier thanks let half between both some any another such only just even still most many few much of or and but so
    then than if until unless during since without within whether please visitors don't do people friends everyone
    someone anyone nothing something anything never always whoever whatever somehow in me mine who'd who's
    you'd you're they're""".split()
)
"""Words that lose their capital letter after a colon."""
SHOW_ODDS = (0.95, 0.85, 0.7)
"""How often a trait shows at the first turn, at the second, and later."""


def next_message(
    profile: str, personality: str, conversation: Sequence[tuple[str, str]], rng: random.Random, early: float
) -> str:
    """What the person says next.

    Args:
        profile: facts in the third person.
        personality: trait phrases.
        conversation: (role, text) pairs so far, roles "user" and "assistant".
        rng: decides everything that is left open.
        early: rate at which a second fact comes out in one message.
    """
    _, facts = read_profile(profile)
    mine = [text for role, text in conversation if role == "user"]
    replies = [text for role, text in conversation if role == "assistant"]
    hidden = [fact for fact in facts if not is_revealed(fact, mine)]
    known = [fact for fact in facts if fact not in hidden and fact.topic]
    first = _answer(replies[-1], known, mine, rng) if replies else rng.choice(world.chat()["hello"])
    main = sentences(_main(hidden, known, mine, rng))
    if len(hidden) > 1 and rng.random() < early:
        main += sentences(_reveal(hidden[1], mine, rng))
    traits = tuple(name for _, name in world.read_personality(personality) if name is not None)
    saying = _saying(traits, mine, rng)
    habits = _habits(traits, len(mine), rng)
    adds = any("after" in habit for habit in habits)
    if saying is not None:
        main.insert(0 if adds and saying.endswith("?") else rng.choice((0, len(main))), saying)
    parts = [first] if first and (replies or rng.random() < 0.4) and len(main) < 3 else []
    parts += main
    if adds and len(parts) > 2:
        parts = main
    elif len(parts) < 3 and not parts[-1].endswith("?") and not adds and rng.random() < 0.35:
        parts.append(rng.choice(world.chat()["ask"]))
    return " ".join(_with_habits(parts, saying, habits, rng))


def is_revealed(fact: Fact, messages: Sequence[str]) -> bool:
    """Whether the owner's own messages have let the fact out: its clause, or two thirds of its content words."""
    said = _all_content(tuple(messages))
    return bool(fact.words) and len(fact.words & said) >= max(1, round(0.66 * len(fact.words)))


@functools.lru_cache(maxsize=6_000)
def clauses_of(message: str) -> tuple[Fact, ...]:
    """What a message says of its author, as facts: from "I ..." clauses and from "my ..." phrases, in order."""
    owned: list[Fact] = []
    stated: list[Fact] = []
    for part in sentences(message):
        for clause in re.findall(rf"\bI (?!have (?:{_DONE})\b)(?:am|have|[a-z]+) [^,.;:!?…]+", part):
            stated.extend(fact for fact in read_profile(clause)[1] if world.is_habit(fact.sentence))
        for phrase in re.findall(r"\b[Mm]y [^,.;:!?…]+", part):
            owned.extend(read_profile(phrase if len(phrase.split()) > 2 else f"{phrase} is there")[1])
    return tuple(fact for fact in (*owned, *stated) if fact.topic and not _is_incidental(fact.topic))


def _is_incidental(topic: str) -> bool:
    named = topic.lower().removeprefix("own ").split()
    return named[0] in _ASIDE or named[-1] in _INCIDENTAL


def traits_shown(messages: Sequence[str]) -> frozenset[str]:
    """The known traits that show in what a user said."""
    table = _sayings()
    return frozenset(table[key] for text in messages for part in sentences(text) if (key := _key(part)) in table)


@functools.lru_cache(maxsize=5_000)
def _all_content(messages: tuple[str, ...]) -> frozenset[str]:
    return frozenset().union(*(content_words(text) for text in messages)) if messages else frozenset()


@functools.cache
def _sayings() -> dict[str, str]:
    return {_key(saying): name for name, trait in world.traits().items() for saying in trait.says}


def _key(sentence: str) -> str:
    return " ".join(words(sentence))


def _answer(reply: str, known: Sequence[Fact], mine: Sequence[str], rng: random.Random) -> str | None:
    asked = [part for part in sentences(reply) if part.endswith("?")]
    if not asked:
        return unsaid(world.chat()["acknowledge"], " ".join(mine), rng) if rng.random() < 0.45 else None
    present = content_words(asked[-1])
    meant = [fact for fact in known if content_words(str(fact.topic)) & present]
    if not meant:
        return unsaid(world.chat()["answer"], " ".join(mine), rng)
    topic = world.topic_of(meant[-1].sentence, meant[-1].topic)
    if topic is None:
        return unsaid(world.chat()["answer"], " ".join(mine), rng)
    return _fill(rng.choice(world.topics()[topic].answer), meant[-1])


def _main(hidden: Sequence[Fact], known: Sequence[Fact], mine: Sequence[str], rng: random.Random) -> str:
    if hidden and (not known or rng.random() < REVEAL_ODDS):
        return _reveal(hidden[0] if rng.random() < 0.5 else rng.choice(hidden), mine, rng)
    if not known:
        return unsaid(world.chat()["quiet"], " ".join(mine), rng)
    recent = content_words(" ".join(mine[-2:]))
    fresh = [fact for fact in known if not content_words(str(fact.topic)) & recent] or list(known)
    fact = rng.choice(fresh)
    topic = world.topic_of(fact.sentence, fact.topic)
    return _fill(rng.choice(world.topics()[topic].news if topic else world.chat()["news"]), fact)


def _reveal(fact: Fact, mine: Sequence[str], rng: random.Random) -> str:
    topic = world.topic_of(fact.sentence, fact.topic)
    frames = world.topics()[topic].reveal if topic else world.chat()["reveal"]
    return rng.choice(frames).format(fact=fact.clause, Fact=capitalise(fact.clause))


def _saying(traits: Sequence[str], mine: Sequence[str], rng: random.Random) -> str | None:
    if not traits or rng.random() >= SHOW_ODDS[min(len(mine), 2)]:
        return None
    shown = traits_shown(mine)
    fresh = [name for name in traits if name not in shown]
    name = rng.choice(fresh if fresh and rng.random() < 0.85 else traits)
    said = {_key(part) for text in mine for part in sentences(text)}
    unsaid = [saying for saying in world.traits()[name].says if _key(saying) not in said]
    return rng.choice(unsaid) if unsaid else None


def _habits(traits: Sequence[str], turn: int, rng: random.Random) -> list[dict[str, Any]]:
    """Habits that show at a turn (from 0) of somebody with these traits, one for a dimension that matters to them."""
    wants = world.desires(list(traits))
    first, last = HABIT_ODDS
    odds = first + (last - first) * min(turn, 9) / 9
    shown = [dimension for dimension in wants if rng.random() < odds]
    rng.shuffle(shown)
    return [world.habits()[dimension]["high" if wants[dimension] > 0 else "low"] for dimension in shown]


def _with_habits(
    parts: Sequence[str], saying: str | None, habits: Sequence[dict[str, Any]], rng: random.Random
) -> list[str]:
    """The sentences with small words and marks of the habits that find room; a trait's own sentence keeps its words."""
    parts = list(parts)
    own = [i for i, part in enumerate(parts) if part != saying and len(part.split()) > 4]
    free = [i for i in own if ":" not in parts[i]][:1]
    ends = [i for i in own if parts[i].endswith(".")]
    marks = [mark for habit in habits for mark in habit.get("end", ()) if len(mark) == 1]
    for habit in habits:
        worded = [mark for mark in habit.get("end", ()) if mark not in marks]
        room = {
            "end": bool(worded and ends),
            "before": bool("before" in habit and free),
            "after": "after" in habit and len(parts) < MOST_SENTENCES and not parts[-1].endswith("?"),
        }
        kinds = [kind for kind, there in room.items() if there]
        kind = rng.choice(kinds) if kinds else None
        if kind == "end":
            i = ends.pop(rng.randrange(len(ends)))
            parts[i] = f"{parts[i][:-1]}{rng.choice(worded)}"
        elif kind == "before":
            words_, i = rng.choice(habit["before"]), free.pop()
            parts[i] = f"{words_} {_lowered(parts[i]) if words_.endswith(':') else parts[i]}"
        elif kind == "after":
            parts.append(rng.choice(habit["after"]))
    return _marked(parts, marks, rng) if marks else parts


def _marked(parts: Sequence[str], marks: Sequence[str], rng: random.Random) -> list[str]:
    """The sentences with one of the marks instead of the full stop of the last one and of every other one before."""
    last = max((i for i, part in enumerate(parts) if part.endswith(".")), default=-1)
    return [
        f"{part[:-1]}{rng.choice(marks)}" if part.endswith(".") and (i == last or rng.random() < 0.5) else part
        for i, part in enumerate(parts)
    ]


def _lowered(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:] if sentence.split()[0].lower().strip(",") in _OPENINGS else sentence


def _fill(frame: str, fact: Fact) -> str:
    phrase = fact.mine()
    return capitalise(frame.format(topic=phrase, Topic=capitalise(phrase)))
