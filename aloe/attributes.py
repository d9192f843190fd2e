"""What a profile says of age, gender, occupation and region, and how pleasant a trait sounds: by rules, from the text.

In: texts. Out: data frames in which "unknown" is a value. The rules read English and are coarse: gender is the first
pronoun, occupation and region are words of `aloe/data/attributes.yaml`, and valence is that of VADER's lexicon, which
knows words but not people. This module does not know splits, pools or how texts came about.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from aloe.params import ROOT
from aloe.quality import sentences
from aloe.strict_yaml import read_mapping
from aloe.texts import Text

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

UNKNOWN = "unknown"
ATTRIBUTES = ("age", "gender", "occupation", "region")
AGES = {"18 to 29": range(18, 30), "30 to 44": range(30, 45), "45 to 59": range(45, 60), "60 and over": range(60, 121)}
CLEAR = 0.05  # VADER's own mark: a compound score beyond it on either side is no longer neutral
_AGE = re.compile(r"\b(\d{1,3})[- ]years?[- ]old\b|\baged? (\d{1,3})\b|\b(\d{1,3}) years of age\b")
_NUMBER = re.compile(r"(?<![\w.,])(\d\d)(?![\w.]|,\d)")
_GENDER = {
    "she": "she",
    "her": "she",
    "woman": "she",
    "he": "he",
    "his": "he",
    "man": "he",
    "they": "they",
    "their": "they",
}


def described(profiles: Sequence[Text]) -> pd.DataFrame:
    """One row per profile: id and the attributes, each "unknown" where no rule finds one."""
    rows = [(text.id, age(text.text), gender(text.text), occupation(text.text), region(text.text)) for text in profiles]
    return pd.DataFrame(rows, columns=["id", *ATTRIBUTES])


def trait_table(personalities: Sequence[Text]) -> pd.DataFrame:
    """One row per trait: id of the personality, the sentence, its valence."""
    rows = [(text.id, trait, valence(trait)) for text in personalities for trait in sentences(text.text)]
    return pd.DataFrame(rows, columns=["id", "trait", "valence"])


def age(profile: str) -> str:
    """The band of the first age that is stated, or else of the first number of two digits in the first sentence.

    >>> age("Ana is a 34-year-old nurse."), age("Ana, 71, is a nurse."), age("Ana is a nurse. She has 12 cats.")
    ('30 to 44', '60 and over', 'unknown')
    """
    found = _AGE.search(profile) or _NUMBER.search(next(iter(sentences(profile)), ""))
    years = int(next(group for group in found.groups() if group)) if found else -1
    return next((band for band, ages in AGES.items() if years in ages), UNKNOWN)


def gender(profile: str) -> str:
    """The first pronoun, or what its possessive or "woman" or "man" stands for.

    >>> gender("Yuki is a student. They knit. Their father sings.")
    'they'
    """
    words = re.findall(r"[a-z]+", profile.lower())
    return next((_GENDER[word] for word in words if word in _GENDER), UNKNOWN)


def occupation(profile: str) -> str:
    """The group of the occupation in the first sentence that names one; "retired" and "in training" go before it.

    >>> occupation("Emil is a 77-year-old retired clockmaker."), occupation("Ana is 34. She works as a school cook.")
    ('retired', 'food and hospitality')
    """
    words = _words()
    for sentence in sentences(profile)[:3]:
        for group in ("retired", "in training"):
            if _longest(sentence.lower(), dict.fromkeys(words[group], group)):
                return group
        if found := _longest(sentence.lower(), _by_word(words["occupations"])):
            return found
    return UNKNOWN


def region(profile: str) -> str:
    """The region of the first place that the list of places has.

    >>> region("Marta is a nurse from Porto. Her son lives in Kyoto."), region("Marta is a nurse from Nowhere.")
    ('Southern Europe', 'unknown')
    """
    places = _by_word(_words()["regions"])
    found = _pattern(tuple(places)).search(profile)
    return places[found[0]] if found else UNKNOWN


def valence(trait: str) -> str:
    """How a trait sounds to VADER: "pleasant", "unpleasant", "neutral"; "unknown" if it knows none of the words.

    >>> valence("Generous, giving time away"), valence("Cruel, hurting others"), valence("Laconic, of few words")
    ('pleasant', 'unpleasant', 'unknown')
    """
    analyser = _vader()
    if not any(word in analyser.lexicon for word in re.findall(r"[\w'-]+", trait.lower())):
        return UNKNOWN
    score = analyser.polarity_scores(trait)["compound"]
    return "pleasant" if score >= CLEAR else "unpleasant" if score <= -CLEAR else "neutral"


def _longest(text: str, groups: Mapping[str, str]) -> str | None:
    """The group of the longest of the words that the text has."""
    found = _pattern(tuple(groups)).findall(text)
    return groups[max(found, key=len)] if found else None


@functools.cache
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    ordered = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, ordered))})(?!\w)")


@functools.cache
def _words() -> dict[str, Any]:
    return read_mapping(ROOT / "aloe" / "data" / "attributes.yaml")


def _by_word(groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    return {word: group for group, words in groups.items() for word in words}


@functools.cache
def _vader() -> "SentimentIntensityAnalyzer":
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()
