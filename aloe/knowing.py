"""Which facts and traits does a text about a user name? A probe's answer against a persona, by its words and meaning.

In: the items of an answer, the facts or traits of a persona, an embedder. Out: for each item the places that it names.
A fact is named by enough of its telling words (`telling`), or by the item that is nearest in meaning; a relative alone
names none, since it is what is said of them that counts. A trait is named by a word of its family
(`data/trait_families.yaml`: opposites are neighbours in an embedding), a phrase without such a word by meaning. The
thresholds belong to all-MiniLM-L6-v2; they were set on one part of the marked answers, and
`tests/unit/test_knowing.py` measures them on the other. This module knows no model that is asked, score or file of a
run.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from aloe.embedding import Embed
from aloe.novelty import stems
from aloe.telling import ENOUGH, GENERIC, Fact, facts_of, told_in, words_of

Kind = Literal["facts", "traits"]
FAMILIES = Path(__file__).parent / "data" / "trait_families.yaml"
FACT_MEANT, MENTION_MEANT, TRAIT_MEANT, WORD_MEANT = 0.36, 0.45, 0.40, 0.60
"""Least cosine of an item with the fact that it names, and of one that says only that something was mentioned; of a
phrase with the trait that it names, and of a single word."""
NOTHING = frozenset({"", "nothing yet", "nothing", "none", "unknown"})
_KIN = stems(
    """wife husband partner spouse fiance fiancé fiancée boyfriend girlfriend brother brothers sister sisters sibling
    siblings son sons daughter daughters child children mother mothers father fathers mum mom dad parents grandmother
    grandfather granny grandchild grandchildren aunt uncle cousin cousins nephew nephews niece nieces family relatives
    friend friends great older younger"""
)
_OPENING = re.compile(r"^.*?\b(?:is|was) an? (?:[\w-]+[- ]year[- ]old )?(.+?)(?: (?:from|in) .+)?\.?$")
"""The sentence that a profile opens with: what the person does stands before where they are from."""
_MENTIONED = stems("mention mentions mentioned says said talks talked tells")
_NOBODY = stems("they their them person user")
_SAYS_NOTHING = GENERIC | _MENTIONED | _NOBODY
_NEGATIONS = frozenset("not never no nobody nothing without hardly little rarely isn't doesn't".split())


def items(line: str, kind: Kind) -> tuple[str, ...]:
    """The items of one line of an answer; none where it says that nothing is known.

    Items end with a full stop or a semicolon. A line of traits without any is a list with commas.

    >>> items("They keep a parrot. They sing; they bake.", "facts")
    ('They keep a parrot.', 'They sing;', 'they bake.')
    >>> items("curious, patient and blunt", "traits")
    ('curious', 'patient', 'blunt')
    >>> items("Nothing yet.", "facts")
    ()
    """
    parts = [part.strip() for part in re.split(r"(?<=[.!;])\s+|\n+", line.strip()) if part.strip()]
    if kind == "traits" and len(parts) == 1:
        parts = [part.strip() for part in re.split(r",\s*(?:and\s+)?|\s+and\s+", parts[0]) if part.strip()]
    return tuple(part for part in parts if part.rstrip(".!; ").casefold() not in NOTHING)


@functools.lru_cache(maxsize=4_096)
def persona_facts(profile: str) -> tuple[Fact, ...]:
    """`telling.facts_of`, but of the opening sentence only what the person does: a place alone names nobody.

    >>> [(fact.text, sorted(fact.words)) for fact in persona_facts("Ann is a 40-year-old baker from Rome. She sings.")]
    [('baker', ['baker']), ('She sings.', ['sing'])]
    """
    first, *others = facts_of(profile) or [None]
    work = _OPENING.match(first.text) if first else None
    words = stems(work[1]) - GENERIC if work else frozenset()
    return (*([Fact(work[1], words) if work and words else first] if first else []), *others)


def facts_named(said: Sequence[str], facts: Sequence[Fact], embed: Embed) -> list[frozenset[int]]:
    """For each item, the places of the facts that it names; empty for an item that names none."""
    if not said or not facts:
        return [frozenset() for _ in said]
    near = embed([*said]) @ embed([fact.text for fact in facts]).T
    found = []
    for item, row in zip(said, near, strict=True):
        named, best = set(told_in(facts, words_of(item))), int(np.argmax(row))
        words = stems(item)
        bare = not words - _KIN - _MENTIONED - _NOBODY
        if row[best] >= (MENTION_MEANT if words & _MENTIONED else FACT_MEANT) and not (
            bare and facts[best].words - _KIN
        ):
            named.add(best)
        found.append(frozenset(named))
    return found


def traits_named(said: Sequence[str], traits: Sequence[Fact], embed: Embed) -> list[frozenset[int]]:
    """For each item, the places of the traits that it names, all of one meaning; `traits` as `traits_of` gives them."""
    if not said or not traits:
        return [frozenset() for _ in said]
    heads = [re.split(r"[,:]", trait.text)[0] for trait in traits]
    known = [family_of(head) for head in heads]
    own = embed([item.rstrip(".!; ") for item in said])
    near = np.maximum(own @ embed(heads).T, own @ embed([trait.text for trait in traits]).T)
    return [_trait(item, row, heads, known) for item, row in zip(said, near, strict=True)]


def borne_out(item: str, said: frozenset[str]) -> bool:
    """Whether a user's words, as stems, hold most of those of an item: then it is news of theirs, if no fact.

    >>> borne_out("They mention their work shoes.", words_of("I was putting my work shoes by the door."))
    True
    """
    own = stems(item) - _SAYS_NOTHING
    return bool(own) and len(own & said) >= ENOUGH * len(own)


@functools.cache
def families() -> dict[str, frozenset[int]]:
    """Every word of the file with the numbers of its families."""
    found: dict[str, frozenset[int]] = {}
    for number, line in enumerate(yaml.safe_load(FAMILIES.read_text(encoding="utf-8"))):
        for word in line.split():
            found[word] = found.get(word, frozenset()) | {number}
    return found


def family_of(text: str) -> frozenset[int]:
    """The families of a text's words; none where it holds no such word.

    >>> family_of("Laconic") == family_of("rather reserved"), family_of("tall")
    (True, frozenset())
    """
    return frozenset().union(*(families().get(word, frozenset()) for word in _words(text)))


def _trait(item: str, near: np.ndarray, heads: Sequence[str], known: Sequence[frozenset[int]]) -> frozenset[int]:
    own, words = family_of(item), stems(item)
    alike = {place for place, family in enumerate(known) if own & family}
    alike |= {place for place, head in enumerate(heads) if stems(head) & words}
    if own or alike:
        return frozenset() if _NEGATIONS & set(_words(item)) else frozenset(alike)  # "not patient" is no trait here
    best = int(np.argmax(near))
    if near[best] < (TRAIT_MEANT if len(words) > 1 else WORD_MEANT):
        return frozenset()
    return frozenset({best, *(place for place, family in enumerate(known) if family & known[best])})


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", text.casefold())
