"""What has a user told by now? Facts of a profile against messages, by their words alone.

In: a persona's profile, and a tree whose turns name their parents. Out: the facts with their telling words, and for
each turn which facts were told on the way to it, which stand in the inducer's notes, and which a reply uses. A fact is
told once one message, or all of them together, hold enough of its telling words; words that another fact of the same
message explains count once. A fact in other words is missed, and one hit by accident is counted: `rule_errors` says how
often. This module knows no model, score or file.
"""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

from aloe.novelty import stems
from aloe.records import DialogueTree, Turn

ENOUGH = 0.65
"""Share of a fact's telling words that tells it: two of three do, one of two does not."""
GENERIC = frozenset("year old who whose which named called name works work lives live keeps keep named liv".split())
"""Stems that most profiles hold and that tell nothing by themselves, beside those of `novelty.COMMON`."""


class Fact(NamedTuple):
    """One sentence of a profile, with the stems that tell it."""

    text: str
    words: frozenset[str]


@functools.lru_cache(maxsize=4_096)
def facts_of(profile: str) -> tuple[Fact, ...]:
    """The facts of a profile that words can tell, in order; the owner's name and numbers tell nothing.

    >>> [(fact.text, sorted(fact.words)) for fact in facts_of("Ann is a 40-year-old baker. She keeps a grey parrot.")]
    [('Ann is a 40-year-old baker.', ['baker']), ('She keeps a grey parrot.', ['grey', 'parrot'])]
    """
    opening = re.match(r"\W*(\w+)(?: \w+)?,? (?:is|was|works|lives|has|runs|teaches|studies)\b", profile)
    name = stems(opening.group(1)) if opening else frozenset()
    parts = [part for part in re.split(r"(?<=[.!?;])\s+|\n+", profile.strip()) if part]
    facts = [Fact(part, stems(part) - GENERIC - name) for part in parts]
    return tuple(fact for fact in facts if fact.words)


@functools.lru_cache(maxsize=20_000)
def words_of(text: str) -> frozenset[str]:
    """The stems of a message or reply that can tell something."""
    return stems(text)


def told_in(facts: Sequence[Fact], said: frozenset[str]) -> frozenset[int]:
    """Places of the facts that the words of one text tell, the best supported first; a word tells one fact only.

    >>> told = facts_of("Ann bakes rye bread. Ann sells rye bread at the market. She keeps a parrot.")
    >>> sorted(told_in(told, words_of("I sell rye bread at the market.")))
    [1]
    """
    held = [(len(fact.words & said) / len(fact.words), len(fact.words & said), -i) for i, fact in enumerate(facts)]
    found: set[int] = set()
    free = set(said)
    for share, _, place in sorted(held, reverse=True):
        if share < ENOUGH:
            break
        fact = facts[-place]
        if len(fact.words & free) >= ENOUGH * len(fact.words):
            found.add(-place)
            free -= fact.words
    return frozenset(found)


def noted_in(facts: Sequence[Fact], notes: str) -> frozenset[int]:
    """Places of the facts that stand in an inducer's notes, in its words or the profile's.

    >>> sorted(noted_in(facts_of("Ann bakes rye bread. She keeps a grey parrot."), "She has a grey parrot."))
    [1]
    """
    literal = notes.casefold()
    return told_in(facts, stems(notes)) | {i for i, fact in enumerate(facts) if fact.text.casefold() in literal}


def paths(tree: DialogueTree) -> dict[str, tuple[Turn, ...]]:
    """Every turn's id with the turns from the root to it, itself included; so its depth is the length of its path.

    Raises:
        ValueError: a turn's parent is not in the tree, or comes after it.
    """
    found: dict[str, tuple[Turn, ...]] = {}
    for turn in tree.turns:
        if turn.parent is not None and turn.parent not in found:
            raise ValueError(f"{tree.id}: turn {turn.id} has the parent {turn.parent}, which does not come before it")
        found[turn.id] = (*(found[turn.parent] if turn.parent is not None else ()), turn)
    return found


class Disclosed(NamedTuple):
    """What is told at one turn: before it, newly by its own message, and only by its words with those before them."""

    before: frozenset[int]
    new: frozenset[int]
    pieced: frozenset[int]

    @property
    def told(self) -> frozenset[int]:
        """Places of all facts told by now."""
        return self.before | self.new | self.pieced


def disclosed(tree: DialogueTree) -> dict[str, Disclosed]:
    """What the user has told at every turn, by the turn's id; places are those of `facts_of(persona.profile)`."""
    facts = facts_of(tree.persona.profile)
    found: dict[str, Disclosed] = {}
    said: dict[str, frozenset[str]] = {}
    for turn in tree.turns:
        before = found[turn.parent].told if turn.parent is not None else frozenset()
        now = words_of(turn.user)
        said[turn.id] = now | (said[turn.parent] if turn.parent is not None else frozenset())
        together = {i for i, fact in enumerate(facts) if len(fact.words & said[turn.id]) >= ENOUGH * len(fact.words)}
        own = told_in(facts, now) - before
        found[turn.id] = Disclosed(before, own, frozenset(together) - own - before)
    return found
