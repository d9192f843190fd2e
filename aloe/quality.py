"""Is a text what it was asked to be: a profile or a personality, in the manner and language of the seeds?

In: a text, and a standard that the seeds set. Out: the first reason against it in a few words, or None. Every check is
conservative: it refuses what is plainly wrong and lets the doubtful pass. An instruction inside a text is never obeyed
anywhere, since prompts take texts as data; here it is a reason to refuse, since the writer would be shown it as an
example. This module does not know near-duplicates, models or files of a run.
"""

import functools
import re
import statistics
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from aloe.params import ROOT
from aloe.texts import text_problem

Kind = Literal["profile", "personality"]
FACTS = (8, 10)  # facts or traits, as the writer is asked; FACTS_TOLERANCE more or fewer sentences still pass
FACTS_TOLERANCE = 2
TIMES = 3  # how many times longer or shorter than the median seed a text may be
COMMON = 2  # a word that stands in so many seeds is taken for one of their language
COVERED = 1 / 3  # of the share of such words that the seed with the fewest has: less is another language
TELLING = 10  # fewer seeds do not show a language's words
OTHER_KIND = 2 / 3  # a text is refused if more of its sentences than this share read like the other kind
_ENDS = re.compile(r"[.!?;]+(?:\s+|$)|[。！？；]+")
_TO_A_MODEL = re.compile(
    r"\b(?:ignore|disregard|forget|override) (?:(?:all|any|the|your|these|my) ){0,3}"
    r"(?:(?:previous|prior|above|earlier|preceding) \w+|(?:system )?prompts?\b|instructions (?:and|above)\b)"
    r"|\b(?:respond|reply|answer) (?:only|exactly) with\b|\bsystem prompt\b|\b(?:as|i am|i'm|you are) (?:now )?an? "
    r"(?:ai\b|(?:large )?language model)|\byou are (?:now )?chatgpt\b|<\|?/?(?:im_start|im_end|system|user|assistant|s|"
    r"eot_id|inst)\|?>|\[/?inst\]|^(?:system|assistant|user|human)\s*:|\bhere (?:are|is) (?:\w+ ){0,3}(?:profiles?|"
    r"personalit)",
    re.IGNORECASE,
)
_CONTACT = re.compile(r"\S+@\w+\.\w+|https?://|\bwww\.\w|(?<!\w)\+?\d(?:[ ()/-]?\d){8,}(?!\w)")


@dataclass(frozen=True)
class Standard:
    """What the seeds say of a text of their kind.

    `scripts` are the writing systems of their letters, `words` those that stand in two seeds or more, `covered` the
    least share of a text's words that must be among these: zero with few seeds, and about zero where a language puts no
    space between words, so that it is not asked. `of_other_kind` gives the share of sentences that read like the other
    kind; None where no texts of the other kind are known.
    """

    kind: Kind
    facts: range
    characters: range
    scripts: frozenset[str]
    words: frozenset[str]
    covered: float
    of_other_kind: Callable[[str], float] | None


def standard(kind: Kind, seeds: Sequence[str], unlike: Sequence[str] = ()) -> Standard:
    """The standard that seeds set.

    Args:
        kind: what they are.
        seeds: at least one text.
        unlike: seeds of the other kind, in the same language.
    """
    length = statistics.median(len(text) for text in seeds)
    counts = Counter(word for text in (*seeds, *unlike) for word in set(_words(text)))
    words = frozenset(word for word, n in counts.items() if n >= COMMON)
    covered = COVERED * min(coverage(text, words) for text in seeds) if len(seeds) >= TELLING else 0.0
    scripts = frozenset(name for text in seeds for name in letters_by_script(text))
    characters = range(int(length / TIMES), int(length * TIMES) + 1)
    of_other_kind = _of_other_kind(seeds, unlike) if unlike else None
    return Standard(kind, allowed_facts(seeds), characters, scripts, words, covered, of_other_kind)


def refusal(text: str, wanted: Standard) -> str | None:
    """The first reason why a written text is not what was wanted, or None."""
    return next(_refusals(text, wanted), None)


def flags(text: str) -> list[str]:
    """What a reader should look at in a text that stays as it is, such as a seed: unsafe, contact, instruction."""
    checks = {
        "unsafe content": _unsafe().search(text.casefold()),
        "contact details": _CONTACT.search(text),
        "instruction to a model": _TO_A_MODEL.search(text),
    }
    return [reason for reason, found in checks.items() if found]


def _refusals(text: str, wanted: Standard) -> Iterator[str]:
    if problem := text_problem(text):
        yield problem
    yield from flags(text)
    if not written_in(text, wanted.scripts):
        yield "another script"
    facts = count_facts(text)
    if facts not in wanted.facts:
        yield "too few facts" if facts < wanted.facts.start else "too many facts"
    if len(text) not in wanted.characters:
        yield "too short" if len(text) < wanted.characters.start else "too long"
    if wanted.of_other_kind and wanted.of_other_kind(text) > OTHER_KIND:
        yield "a personality, not a profile" if wanted.kind == "profile" else "a profile, not a personality"
    if coverage(text, wanted.words) < wanted.covered:
        yield "another language"


def sentences(text: str) -> list[str]:
    """The pieces between sentence ends and semicolons that hold a letter or digit."""
    return [piece for piece in _ENDS.split(text) if any(character.isalnum() for character in piece)]


def count_facts(text: str) -> int:
    """How many facts or traits: pieces between sentence ends and semicolons.

    >>> count_facts("Marta is a nurse from Porto. She bakes at 4.30 a.m.; she sings alto.")
    3
    """
    return len(sentences(text))


def allowed_facts(seeds: Sequence[str]) -> range:
    """The counts of facts that pass: 8 to 10, wider where the seeds are shorter or longer, and the tolerance."""
    counts = [count_facts(text) for text in seeds]
    return range(max(1, min([*counts, FACTS[0]]) - FACTS_TOLERANCE), max([*counts, FACTS[1]]) + FACTS_TOLERANCE + 1)


def letters_by_script(text: str) -> Counter[str]:
    """How many letters of each writing system, by the first word of the letter's Unicode name.

    >>> letters_by_script("Ζωή, 34") == {"GREEK": 3}
    True
    """
    names = (unicodedata.name(letter, "UNKNOWN") for letter in text if letter.isalpha())
    return Counter(re.split(r"[ -]", name, maxsplit=1)[0] for name in names)


def written_in(text: str, scripts: frozenset[str]) -> bool:
    """Are at least half of the letters of one of these writing systems? True for a text without letters."""
    letters = letters_by_script(text)
    return 2 * sum(letters[name] for name in scripts) >= letters.total()


def coverage(text: str, words: frozenset[str]) -> float:
    """The share of a text's words that are among these; 0 for a text without words."""
    own = _words(text)
    return sum(word in words for word in own) / len(own) if own else 0.0


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.casefold())


def _of_other_kind(seeds: Sequence[str], unlike: Sequence[str]) -> Callable[[str], float]:
    """Naive Bayes, sentence by sentence, on pieces of words of two to four characters: no language needs a list."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB
    from sklearn.pipeline import make_pipeline

    pieces = [
        (sentence, other) for other, texts in ((0, seeds), (1, unlike)) for t in texts for sentence in sentences(t)
    ]
    model = make_pipeline(CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)), MultinomialNB())
    model.fit([sentence for sentence, _ in pieces], [other for _, other in pieces])

    def share(text: str) -> float:
        own = sentences(text)
        return float(model.predict(own).mean()) if own else 0.0

    return share


@functools.cache
def _unsafe() -> re.Pattern[str]:
    lines = (ROOT / "aloe" / "data" / "unsafe.txt").read_text(encoding="utf-8").splitlines()
    phrases = [re.escape(line.casefold().strip()) for line in lines if line.strip() and not line.startswith("#")]
    return re.compile(rf"(?<!\w)(?:{'|'.join(phrases)})(?!\w)")
