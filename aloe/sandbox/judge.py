"""The simulated judge: how well a reply suits a persona, from features of the text alone.

In: a persona, the user's last message, a reply. Out: a fit from -1 to 1, and from it a level from 1 to 5 or a
preference between two replies. The rubric is the paper's three criteria: manner suits the personality, content suits
the profile, human-like and concise. The judge reads features (length, exclamation marks, questions, hedging words,
tone by a sentiment lexicon, jokes by meaning, connectives, topic words by stem and embedding). It has no list of the
user's or the responder's sentences, was fixed before any alignment training, and is never changed to suit a policy.
"""

import functools
import random
import re
from typing import Any

import numpy as np

from aloe.sandbox import meaning, world
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import STOPWORDS, content_words, stem, words

WEIGHTS = {"manner": 0.50, "content": 0.40, "human": 0.10}
"""Shares of the three criteria in the fit."""
SAME = 0.60
"""Cosine at which two words are about one thing ("violin", "cello"); unrelated pairs lie near 0.25."""
_HEDGES = set("maybe perhaps might could possibly probably may somewhat guess suppose seems wonder wondering".split())
_CONNECTIVES = re.compile(
    r"\b(because|since|therefore|so that|as a result|first|firstly|second|secondly|third|then|next|finally|step|steps|"
    r"order|reason|plan|list|once you|in short|evidence|data|percent)\b|[:;]|\d",
    re.I,
)
_JOKES = ("joke", "kidding", "laughing", "silly", "funny", "haha", "comedy", "hilarious", "mischief")
_PURSUITS = (
    "football", "jogging", "swimming", "cycling", "hiking", "yoga", "skiing", "fishing", "painting", "knitting",
    "pottery", "carpentry", "cooking", "baking", "wine", "coffee", "gardening", "flowers", "dog", "cat", "horse",
    "birds", "guitar", "piano", "opera", "concert", "novel", "poetry", "cinema", "video games", "chess", "theatre",
    "travel", "sailing", "camping", "motorcycle", "grandchildren", "daughter", "husband", "dancing", "fashion",
    "photography", "astronomy", "programming", "museum", "church", "volunteering", "politics", "stock market",
)  # fmt: skip
_COMMON = frozenset(
    stem(word)
    for word in """good nice great best better start way idea plan people person friend friends house home work job life
    part people place point question answer help talk tell say think feel know want need take make give keep put set
    find show leave look watch see hear ask call come back next last first small big long short hour hours minute month
    morning evening afternoon night weekend today tomorrow winter summer spring autumn season world family partner hand
    hands head heart body eye eyes face mind mood word words thing money cost price advice chance choice change course
    case kind end half side set pair use used try enough early late free full open close own full nights weekends around
    everybody somebody anybody nobody everything something nothing sure happy health sleep rest energy
    need needs goal goals doctor feeling feelings interest interests schedule experience situation own mean meaning
    advantage favour side way turn notice attention company colleagues neighbours list diary calendar pocket""".split()
)
"""Stems too common to show that a reply is about somebody."""


def level(fit: float) -> int:
    """1 to 5 from a fit: 1 at 0 or below (no better than any stranger's answer), 5 from 0.8 on."""
    return int(np.clip(round(1 + 4 * fit / 0.8), 1, 5))


def fit(profile: str, personality: str, message: str, reply: str, beside: str = "") -> float:
    """How well a reply suits a persona, from about -0.7 (against the grain) to 1 (in every respect).

    `beside`: a second reply that will be asked about too. It changes nothing but the work: both are embedded at once.
    """
    return (
        WEIGHTS["manner"] * manner_fit(personality, reply)
        + WEIGHTS["content"] * content_fit(profile, message, reply)
        + relevance(profile, message, reply, beside)
        + WEIGHTS["human"] * human_fit(reply)
    )


@functools.lru_cache(maxsize=6_000)
def features(reply: str) -> dict[str, float]:
    """Each dimension of manner as the judge reads it, from -1 to 1."""
    tokens = words(reply)
    tone = sentiment().polarity_scores(reply.replace("!", "."))["compound"]
    table = meaning.fixed(_JOKES)
    jokes = max((float((table @ meaning.vector(w)).max()) for w in set(tokens) - STOPWORDS if len(w) > 3), default=0.0)
    laughs = re.search(r"\b(?:ha)+h?\b|\blol\b|;-?\)|[\U0001F600-\U0001F64F]", reply, re.I) is not None
    return {
        "length": float(np.clip((len(tokens) - 23) / 11, -1, 1)),
        "exclamation": 1.0 if "!" in reply else -1.0,
        "questions": 1.0 if "?" in reply else -1.0,
        "hedging": 1.0 if _HEDGES & set(tokens) or "if you like" in reply.lower() else -1.0,
        "warmth": float(np.clip((tone - 0.4) / 0.15, -1, 1)),
        "play": 1.0 if laughs or jokes >= 0.72 else -1.0,
        "structure": 1.0 if _CONNECTIVES.search(reply) else -1.0,
    }


def manner_fit(personality: str, reply: str) -> float:
    """-1 to 1: agreement of the reply's features with what the traits want; 0 where no trait is understood.

    What is absent counts half: a reply without jokes is no joke missed by much, one with jokes is one too many.
    """
    names = tuple(name for _, name in world.read_personality(personality) if name is not None)
    wanted = world.desires(names)
    if not wanted:
        return 0.0
    read = features(reply)
    total = sum(
        value * read[dimension] * (1.0 if read[dimension] > 0 or dimension == "length" else 0.5)
        for dimension, value in wanted.items()
    )
    return total / sum(map(abs, wanted.values()))


def content_fit(profile: str, message: str, reply: str) -> float:
    """-0.5 to 1: 0.35 for taking up what was said of the own life, 0.65 for another fact of it, -0.5 for a stranger's.

    A stranger's life is what the reply calls "your ..." and neither the profile nor the message knows; a pursuit that
    is merely far from both costs 0.2.
    """
    _, facts = read_profile(profile)
    said = content_words(message)
    spoken = [word for word in _topical(reply) if stem(word) not in _COMMON]
    current = {i for i, fact in enumerate(facts) if (_telling(fact.words) & said)}
    answers = any(_about(word, said - _COMMON) for word in spoken)
    fresh = [word for word in spoken if stem(word) not in said]
    others = [_telling(fact.words) for i, fact in enumerate(facts) if i not in current]
    recalled = any(_about(word, telling) for word in fresh for telling in others)
    known = frozenset().union(said, *(fact.words for fact in facts))
    strange = any(_is_strange(word, known) for word in _owned(reply))
    far = any(_pursuit(word) >= 0.75 and _nearness(word, known) < 0.5 for word in fresh)
    return 0.35 * (answers and bool(current)) + 0.65 * recalled - (0.5 if strange else 0.2 * far)


@functools.lru_cache(maxsize=6_000)
def _telling(stems: frozenset[str]) -> frozenset[str]:
    return stems - _COMMON


def _owned(reply: str) -> list[str]:
    """What a reply calls the user's own: the words of each "your ..." phrase, up to three."""
    phrases = re.findall(r"\byour ((?:[a-z'’-]+ ?){1,3})", reply.lower())
    heads = []
    for phrase in phrases:
        before = re.split(
            r"\b(?:and|or|to|in|on|at|of|for|with|will|would|is|are|can|could|may|might|must|should|has|have|does)\b",
            phrase,
        )[0]
        heads += [word for word in before.split() if len(word) > 3 and word not in STOPWORDS]
    return heads


def _is_strange(word: str, known: frozenset[str]) -> bool:
    return stem(word) not in known | _COMMON and not word.endswith("ly") and _nearness(word, known) < 0.42


@functools.lru_cache(maxsize=6_000)
def relevance(profile: str, message: str, reply: str, beside: str = "") -> float:
    """About -0.2 to 0.3: nearness in meaning of the whole reply to the facts (on average) and to the message.

    An answer that could go to anybody lies near 0. The two weights are those, of a coarse grid, under which replies
    that people wrote for 70 personas (`tests/data/judge_dev.jsonl`, `judge_test.jsonl`) were ranked best.
    """
    _, facts = read_profile(profile)
    if not facts:
        return 0.0
    meant = meaning.together((message, reply, beside or reply))
    about = float((_fact_table(profile) @ meant[reply]).mean())
    return about + 0.6 * float(meant[message] @ meant[reply]) - 0.3


@functools.lru_cache(maxsize=500)
def _fact_table(profile: str) -> np.ndarray:
    return meaning.matrix(fact.sentence for fact in read_profile(profile)[1])


def human_fit(reply: str) -> float:
    """0 to 1: sounds like a person (second person, no lecture, no lists) and is concise (at most about 45 words)."""
    tokens = words(reply)
    talks = bool({"you", "your", "i", "i'm", "we", "that", "it"} & set(tokens))
    lists = bool(re.search(r"^\s*(?:[-*•]|\d+[.)])\s", reply, re.M)) or "as an ai" in reply.lower()
    return 0.5 * talks + 0.5 * (3 <= len(tokens) <= 50) - 0.5 * lists


def blind_fit(message: str, reply: str) -> float:
    """0 to 1: how well a reply suits somebody of whom nothing is known, by the same criteria with the same weights.

    Without a personality the manner is as good as the tone is warm; without a profile the content is right if a word
    of it is about what the message is about.
    """
    said = content_words(message) - _COMMON
    answers = any(_about(word, said) for word in _topical(reply) if stem(word) not in _COMMON)
    manner = (1 + features(reply)["warmth"]) / 2
    return WEIGHTS["manner"] * manner + WEIGHTS["content"] * answers + WEIGHTS["human"] * human_fit(reply)


def rate(value: float, error: float, rng: random.Random) -> int:
    """A level for a fit; at the rate of judge errors one step off (inwards at the ends)."""
    exact = level(value)
    if rng.random() >= error:
        return exact
    return min(5, max(1, exact + rng.choice((-1, 1)))) if 1 < exact < 5 else (2 if exact == 1 else 4)


def prefer(
    fits: tuple[float, float], lengths: tuple[int, int], knobs: Any, draws: tuple[random.Random, random.Random]
) -> int:
    """1 or 2, the preferred reply.

    Args:
        fits: of the reply shown first and second (both 0 where the judge ignores the persona).
        lengths: in words.
        knobs: rates `judge_error` (the verdict is turned around, whichever order is shown), `position_bias` (the first
            is taken whatever it says) and `length_bias` (the longer one is taken whatever it says).
        draws: one generator seeded by the pair of replies in either order, one by this order.
    """
    pair, order = draws
    if order.random() < knobs.position_bias:
        return 1
    if pair.random() < knobs.length_bias and lengths[0] != lengths[1]:
        return 1 if lengths[0] > lengths[1] else 2
    if abs(fits[0] - fits[1]) < 1e-9:
        return 1 if order.random() < 0.5 else 2
    best = 1 if fits[0] > fits[1] else 2
    return 3 - best if pair.random() < knobs.judge_error else best


@functools.cache
def sentiment() -> Any:
    """The sentiment lexicon that tone is read by."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


@functools.lru_cache(maxsize=6_000)
def _topical(reply: str) -> tuple[str, ...]:
    return tuple(sorted({w for w in words(reply.replace("-", " ")) if len(w) > 2 and w not in STOPWORDS}))


@functools.lru_cache(maxsize=6_000)
def _about(word: str, stems: frozenset[str]) -> bool:
    return stem(word) in stems or (_pursuit(word) >= 0.5 and _nearness(word, stems) >= SAME)


@functools.lru_cache(maxsize=6_000)
def _nearness(word: str, stems: frozenset[str]) -> float:
    table = meaning.matrix(sorted(stems))
    return float((table @ meaning.vector(word)).max()) if len(table) else 0.0


@functools.lru_cache(maxsize=6_000)
def _pursuit(word: str) -> float:
    """How near a word is to something that people do, keep or are fond of: about 0.3 for "step", 1 for "pottery"."""
    return float((meaning.fixed(_PURSUITS) @ meaning.vector(word)).max())
