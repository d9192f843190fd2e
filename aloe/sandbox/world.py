"""The sandbox's text: topics, traits and manners of speaking, read once from `world/*.yaml`.

Out: frozen `Topic` and `Trait` tables and two readings: which topic a fact is about, and which known trait a phrase
of a personality means (its adjective in the lexicon, else the nearest description above a threshold, else none).
Knows nothing of prompts, conversations or scores.
"""

import dataclasses
import functools
import importlib.resources
import re
from typing import Any

import numpy as np
import yaml

from aloe.sandbox import meaning
from aloe.sandbox.language import content_words, sentences, stem, words

DIMENSIONS = ("length", "exclamation", "questions", "hedging", "warmth", "play", "structure")
_NEGATIONS = {"not", "never", "rarely", "hardly"}
TRAIT_THRESHOLD = 0.42
"""Lowest cosine at which an unknown trait phrase is taken for a known one: lower pairs were mostly wrong by eye."""


@dataclasses.dataclass(frozen=True)
class Trait:
    """A trait of character: how it is written, what its owner says, and how its owner wants to be answered."""

    name: str
    synonyms: tuple[str, ...]
    valence: int
    shows: tuple[str, ...]
    wants: dict[str, int]
    says: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Topic:
    """A field of everyday life: words that mark it, and what is written, said, answered and asked about it."""

    name: str
    keywords: frozenset[str]
    frames: tuple[str, ...]
    slots: dict[str, tuple[str, ...]]
    reveal: tuple[str, ...]
    news: tuple[str, ...]
    answer: tuple[str, ...]
    cores: tuple[dict[str, str], ...]
    remark: tuple[str, ...]
    ask: tuple[str, ...]


def read_yaml(name: str) -> Any:
    """One file of the folder `world/`."""
    return yaml.safe_load((importlib.resources.files("aloe.sandbox") / "world" / name).read_text(encoding="utf-8"))


@functools.cache
def manner() -> dict[str, Any]:
    """The responder's openers, callbacks and closers."""
    return dict(read_yaml("manner.yaml"))


@functools.cache
def chat() -> dict[str, list[str]]:
    """The user's greetings, answers and small talk."""
    return dict(read_yaml("chat.yaml"))


@functools.cache
def habits() -> dict[str, dict[str, dict[str, Any]]]:
    """Small words and marks of a manner of writing, by dimension and by what is wanted of it: "high" or "low"."""
    return dict(read_yaml("habits.yaml"))


@functools.cache
def traits() -> dict[str, Trait]:
    """Every known trait by name."""
    rows = read_yaml("traits.yaml")
    return {
        row["name"]: Trait(
            row["name"], tuple(row["synonyms"]), row["valence"], tuple(row["shows"]), dict(row["wants"]),
            tuple(row["says"]),
        )
        for row in rows
    }  # fmt: skip


@functools.cache
def topics() -> dict[str, Topic]:
    """Every topic by name."""
    folder = importlib.resources.files("aloe.sandbox") / "world" / "topics"
    rows = [read_yaml(f"topics/{name}") for name in sorted(path.name for path in folder.iterdir())]
    return {
        row["category"]: Topic(
            row["category"], frozenset(stem(word) for word in row["keywords"]), tuple(row["writer"]["frames"]),
            {key: tuple(values) for key, values in row["writer"]["slots"].items()}, tuple(row["user"]["reveal"]),
            tuple(row["user"]["news"]), tuple(row["user"]["answer"]), tuple(row["reply"]["cores"]),
            tuple(row["reply"]["remark"]), tuple(row["reply"]["ask"]),
        )
        for row in rows
    }  # fmt: skip


TOPIC_THRESHOLD = 0.38
"""Lowest mean cosine to a topic's three nearest words at which a fact without a known word is taken to be of it."""
_VERBS = (  # the verb of a fact says more about its field than a noun in passing
    ("home", r"lives? (?:in|on|above|next|near|with a|behind|over)|rents?|moved into"),
    ("work", r"(?:is|am|are) (?:an? )(?!member)|works? (?:as|at|in|for)|runs? an? (?!reading|choir)|retired|earns?"),
    ("food", r"cooks?|bakes?|eats?|drinks?|brews?|steams?|grills?|pickles?|ferments?|serves?|roasts?|stirs?|"
             r"cannot eat"),
    ("learning", r"learns?|stud(?:y|ies)|speaks?|(?:is|am) learning|(?:is|am) studying|revises?"),
    ("health", r"takes? tablets|(?:is|am) allergic|wears?|sleeps?|stretch(?:es)?|counts? (?:her|his|their|my) steps|"
               r"knocks?|suffers?|naps?|avoids?"),
    ("stories", r"reads?|watch(?:es)?|solves?"),
    ("community", r"volunteers?|belongs?|collects?|helps? (?:at|out|in)|hosts?|chairs?|"
                  r"writes? (?:letters|postcards) to"),
    ("sport", r"climbs?|runs?|swims?|rows?|skates?|cycles?|jogs?|hikes?|surfs?|skis?|throws?|shoots?|wrestles?|boxes|"
              r"races|paddles|does? (?:tai chi|yoga|judo)|coach(?:es)?|plays? (?:football|tennis|chess|volleyball)"),
    ("music", r"plays?|sings?|listens?|drums?|hums?|conducts?|whistles?"),
    ("crafts", r"folds?|knits?|carves?|paints?|sews?|builds?|restores?|repairs?|weaves?|embroiders?|makes?|blows?|"
               r"draws?|practises (?:calligraphy)"),
    ("garden", r"grows?|plants?|prunes?|waters?|weeds?|gathers?"),
    ("travel", r"spends? (?:every|most|each)|takes? the (?:train|bus|ferry|tram|express)|commutes?|grew up|travels?|"
               r"flies|drives?"),
)  # fmt: skip


@functools.lru_cache(maxsize=8_000)
def topic_of(text: str, focus: str | None = None) -> str | None:
    """The topic that a fact or message is about; `focus` (its noun phrase) counts double.

    By known words and, for a fact (with a focus), by its verb and the nearest words in meaning. None where none tells.
    """
    present, focal = content_words(text), content_words(focus or "")
    scores = {
        name: 2 * len(topic.keywords & present) + 4 * len(topic.keywords & focal)
        + len(_vocabulary()[name] & present) + 2 * len(_vocabulary()[name] & focal)
        for name, topic in topics().items()
    }  # fmt: skip
    verb = _topic_of_verb(text)
    if focus and verb:
        scores[verb] += 5 if verb == "home" else 3
    best = max(scores, key=lambda name: scores[name])
    return best if scores[best] else _topic_by_meaning(focus) if focus else None


def is_habit(clause: str) -> bool:
    """Whether a clause states something lasting ("I keep bees"), as told by its verb or its known words."""
    verb = re.match(r"(?:I|[A-Z]\w+) (?:also |often |never |still |always |now )?(\w+)", clause)
    lasting = set("keep own have share raise live look teach visit help get use ride take".split())
    if re.match(r"I (?:have (?:been|felt|had|lost|never|always|\w+ed)|keep \w+ing)\b", clause):
        return False
    return _topic_of_verb(clause) is not None or bool(verb and verb.group(1) in lasting and topic_of(clause))


def _topic_of_verb(text: str) -> str | None:
    opening = re.match(r"(?:I|[A-Z][\w'’-]+) (?:also |often |never |still |always |now )?(.*)", text)
    found = [name for name, verbs in _VERBS if opening and re.match(rf"(?:{verbs})\b", opening.group(1))]
    return found[0] if found else None


def _topic_by_meaning(focus: str) -> str | None:
    names, table = _keyword_table()
    similarity = table @ meaning.vector(focus)
    means = {name: float(np.sort(similarity[names == name])[-3:].mean()) for name in topics()}
    best = max(means, key=lambda name: means[name])
    return best if means[best] >= TOPIC_THRESHOLD else None


@functools.cache
def _vocabulary() -> dict[str, frozenset[str]]:
    """Content words of what the persona writer may write on each topic."""
    texts = {name: " ".join((*topic.frames, *sum(topic.slots.values(), ()))) for name, topic in topics().items()}
    return {name: content_words(re.sub(r"\{\w+\}", " ", text)) for name, text in texts.items()}


@functools.cache
def _keyword_table() -> tuple[np.ndarray, np.ndarray]:
    names, words_ = [], []
    for name in topics():
        rows = sorted(read_yaml(f"topics/{name}.yaml")["keywords"])
        names += [name] * len(rows)
        words_ += rows
    return np.array(names), meaning.fixed(tuple(words_))


@functools.cache
def _lexicon() -> dict[str, str]:
    table = {row: name for name, rows in read_yaml("readings.yaml").items() for row in rows}
    for trait in traits().values():
        table.update(dict.fromkeys((*trait.synonyms, trait.name), trait.name))
    return table


def _listed(head: str) -> str | None:
    parts, lexicon = words(head), _lexicon()
    if _NEGATIONS & set(parts):
        return None
    return next((lexicon[word] for word in (" ".join(parts), *parts) if word in lexicon), None)


@functools.cache
def _descriptions() -> tuple[tuple[str, ...], np.ndarray]:
    names, texts = [], []
    for trait in traits().values():
        for show in trait.shows:
            names.append(trait.name)
            texts.append(f"{trait.name}, {show}")
    return tuple(names), meaning.fixed(tuple(texts))


@functools.lru_cache(maxsize=50_000)
def trait_of(phrase: str) -> str | None:
    """The known trait that a phrase such as "Laconic, using few words" or "is always in a hurry" means, or None."""
    head = re.split(r"[,;:]", phrase)[0]
    listed = _listed(head)
    if listed is not None or _NEGATIONS & set(words(head)):
        return listed  # "not patient" is near "patient" in meaning: rather nothing than the opposite
    names, table = _descriptions()
    similarity = table @ meaning.vector(phrase)
    best = int(np.argmax(similarity))
    return names[best] if similarity[best] >= TRAIT_THRESHOLD else None


@functools.lru_cache(maxsize=8_000)
def read_personality(text: str) -> tuple[tuple[str, str | None], ...]:
    """Phrases of a personality, each with the known trait it means (None: understood as nothing, has no effect).

    "She is curious and patient, asking much." gives two phrases; "nothing yet" gives none.
    """
    found: list[tuple[str, str | None]] = []
    for sentence in sentences(text):
        bare = re.sub(r"^(?:\w+ (?:is|are|tends to be|can be|seems|remains)|being)\s+", "", sentence.rstrip(".!? "))
        head, _, tail = bare.partition(",")
        if "nothing yet" in head.lower():
            continue
        adjectives = [part for part in re.split(r"\s+and\s+|\s+but\s+|/", head) if part]
        listed = [(part, name) for part in adjectives if (name := _listed(part)) is not None]
        full = f"{head},{tail}" if tail else head
        found.extend(listed or [(full, trait_of(full))])
    return tuple(found)


def desires(names: tuple[str, ...] | list[str]) -> dict[str, float]:
    """How the owner of these traits wants to be answered: dimension -> strength in [-2, 2], zero ones left out."""
    total = dict.fromkeys(DIMENSIONS, 0.0)
    for name in names:
        for dimension, value in traits()[name].wants.items():
            total[dimension] += value
    return {dimension: max(-2.0, min(2.0, value)) for dimension, value in total.items() if value}
