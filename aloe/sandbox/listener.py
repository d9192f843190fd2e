"""What somebody who has only the conversation can tell of a user: facts from "I ..." and "my ...", traits that show.

In: the user's messages, the rate of missed inferences, a random generator. Out: facts and names of known traits, or
both as text. No persona is read here. Planted is this much: whatever the messages state or show is noted but for that
rate, each item by itself; a fact is what `user.clauses_of` takes for one, so passing news may be noted as well; of
character, what the sayings of a known trait show. `clauses_of` is conservative, so a good part of what is told goes
unheard whatever the rate. Text that was written here reads back as what it was written from.
"""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from aloe.sandbox import world
from aloe.sandbox.facts import Fact, read_profile
from aloe.sandbox.language import capitalise, content_words, looks_like_verb, sentences, words
from aloe.sandbox.user import clauses_of, traits_shown

_THIRD = {
    "i": "they", "my": "their", "me": "them", "myself": "themselves", "mine": "theirs", "am": "are", "was": "were",
    "i'm": "they're", "i've": "they've", "i'd": "they'd", "i'll": "they'll",
}  # fmt: skip
_PERSONS = frozenset({"me", "us", "you", "him", "them"})
"""No noun phrase holds these; one that seems to was cut wrongly."""
_SEEMS = re.compile(r"They seem ([\w-]+)\.?")
NOTHING = "Nothing yet."


class Heard(NamedTuple):
    """What is known of a user: facts about them, names of traits."""

    facts: tuple[Fact, ...]
    traits: tuple[str, ...]

    def lines(self) -> list[str]:
        """A sentence each: "They keep a grey parrot." and "They seem curious."."""
        return [*(fact.sentence for fact in self.facts), *(f"They seem {name}." for name in self.traits)]


def listen(messages: Sequence[str], missed: float, rng: random.Random) -> Heard:
    """What the messages tell; of what is told twice, the fuller sentence counts.

    >>> listen(["I keep a grey parrot called Pablo."], 0.0, random.Random(0)).lines()
    ['They keep a grey parrot called Pablo.']
    """
    by_topic: dict[frozenset[str], Fact] = {}
    for message in messages:
        for fact in clauses_of(message):
            key = content_words(str(fact.topic))
            known = by_topic.get(key)
            if key and not _PERSONS & set(words(str(fact.topic))) and (not known or len(fact.words) > len(known.words)):
                by_topic[key] = fact
    noted = [fact for fact in by_topic.values() if rng.random() >= missed]
    facts = [read for fact in noted for read in read_profile(_third_person(fact))[1] if read.topic]
    shown = [name for name in world.traits() if name in traits_shown(messages)]
    return Heard(tuple(facts), tuple(name for name in shown if rng.random() >= missed))


def notes(heard: Heard) -> str:
    """Two lines, "Profile: ..." and "Personality: ..."; "nothing yet" where nothing is known."""
    profile = " ".join(fact.sentence for fact in heard.facts)
    personality = " ".join(f"{capitalise(name)}." for name in heard.traits)
    return f"Profile: {profile or 'nothing yet'}\nPersonality: {personality or 'nothing yet'}"


def read_back(text: str) -> Heard:
    """What such sentences as `Heard.lines` gives say; other sentences are taken for facts if they can be.

    >>> read_back("They keep a grey parrot. They seem curious.").traits
    ('curious',)
    """
    facts: list[Fact] = []
    traits: list[str] = []
    for sentence in sentences(text):
        seems = _SEEMS.fullmatch(sentence)
        if seems and seems[1] in world.traits():
            traits.append(seems[1])
        elif not seems and sentence != NOTHING:
            facts += [fact for fact in read_profile(sentence)[1] if fact.topic]
    return Heard(tuple(facts), tuple(traits))


def _third_person(fact: Fact) -> str:
    """The owner's clause as others say it; of "my stamps from December", which says nothing, that they were named."""
    bare = fact.sentence.rstrip(".!? ")
    if bare.lower().startswith("my "):
        rest = bare.partition(f"{fact.topic} ")[2].split()
        if not rest or bare.endswith(" is there") or not looks_like_verb(rest[0], " ".join(rest[1:2])):
            bare = f"I mention my {fact.topic}"
    return capitalise(" ".join(_THIRD.get(word.lower(), word) for word in bare.split())) + "."
