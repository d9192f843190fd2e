"""Held-out facts: do replies take up what is new to the models as they take up what is not?

In: transcripts, and per profile the facts that occur in no pretraining or alignment data. Out: frames. Texts are
compared by words alone, so a reply that means a fact in other words is missed, and one that hits a word by accident is
counted; how often that happens is measured on dialogues with other profiles (`by_chance`). This module knows no score,
file or model.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from aloe.intervals import mean_estimate
from aloe.records import Transcript

LETTERS = 3  # of the shortest word that can tell a fact
COMMON = frozenset(
    """across again all and any are around been but does for from get goes good great had has have her high him his home
    how its kind like look lot made more much new next not now off old one our out over own same she some take that
    the their them then they this through too until very was well what when with you your""".split()
)
"""Words that tell nothing by themselves."""


class Fact(NamedTuple):
    """A fact of a profile with its telling words (stems), and whether it is new to the models."""

    text: str
    words: frozenset[str]
    novel: bool


def telling_facts(profiles: Mapping[str, str], novel: Mapping[str, Sequence[str]]) -> dict[str, list[Fact]]:
    """The facts of each profile, one a sentence, with the words that tell them.

    A word tells a fact if it has three letters or more, is not a common one, and stands in no other fact of any
    of the profiles.

    Args:
        profiles: id to text.
        novel: id to those of its sentences that are new to the models.

    >>> found = telling_facts({"p1": "Ann keeps bees. She keeps a blue boat."}, {"p1": ["Ann keeps bees."]})
    >>> [(fact.text, sorted(fact.words), fact.novel) for fact in found["p1"]]
    [('Ann keeps bees.', ['ann', 'bee'], True), ('She keeps a blue boat.', ['blu', 'boat'], False)]
    """
    split = {name: re.split(r"(?<=[.!?])\s+", text.strip()) for name, text in profiles.items()}
    uses = Counter(word for facts in split.values() for fact in facts for word in stems(fact))
    return {
        name: [
            Fact(fact, frozenset(w for w in stems(fact) if uses[w] == 1), fact in novel.get(name, ())) for fact in facts
        ]
        for name, facts in split.items()
    }


def stems(text: str) -> frozenset[str]:
    """The words of a text that can tell a fact, without their endings.

    >>> sorted(stems("She's baking cakes. I bake a cake!"))
    ['bak', 'cak']
    """
    words = re.findall(r"[^\W\d_]+", text.casefold())
    return frozenset(
        re.sub(r"(?<=\w{3})(?:ing|ed|es|s|e)$", "", word)
        for word in words
        if len(word) >= LETTERS and word not in COMMON
    )


def fact_table(transcripts: Iterable[Transcript], facts: Mapping[str, Sequence[Fact]]) -> pd.DataFrame:
    """What became of each fact that a user told, before the last turn.

    A fact is told at the first turn at which the user's message has one of its telling words. It is `answered` if the
    reply at that turn has one, and `recalled` if a later reply has one while the user's message of that turn does not.

    Returns: one row per (policy, case, told fact): policy, case, profile_id, fact, novel, turn, answered, recalled,
        and `by_chance`: the share of the policy's dialogues with other profiles in which the fact would count as
        recalled. Facts without a telling word are left out.
    """
    dialogues: dict[str, list[tuple[Transcript, _Words]]] = {}
    for held in transcripts:
        dialogues.setdefault(held.policy, []).append((held, _words(held)))
    rows = []
    for policy, own in dialogues.items():
        for held, words in own:
            strangers = [w for other, w in own if other.persona.profile_id != held.persona.profile_id]
            for fact in facts[held.persona.profile_id]:
                turn = next((k for k, said in enumerate(words.user) if fact.words & said), None)
                if turn is None or turn == len(words.user) - 1:
                    continue
                chance = [_recalled(fact, other, turn) for other in strangers]
                rows.append((
                    policy, held.persona.id, held.persona.profile_id, fact.text, fact.novel, turn + 1,
                    bool(fact.words & words.reply[turn]), _recalled(fact, words, turn),
                    float(np.mean(chance)) if chance else None,
                ))  # fmt: skip
    columns = ["policy", "case", "profile_id", "fact", "novel", "turn", "answered", "recalled", "by_chance"]
    return pd.DataFrame(rows, columns=columns).astype({"by_chance": float})


def recall_table(told: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """How often each policy takes up a told fact again, above what chance gives: 0 is chance, 1 every fact.

    Args:
        told: `fact_table`; facts without a `by_chance` (a single profile) are left out.
        confidence: of the interval, such as 0.95; clustered on profiles.

    Returns: policy, told (how many facts), recalled and by_chance (shares), above (their difference), low, high.
    """
    rows = []
    for policy, own in told.dropna(subset="by_chance").groupby("policy", sort=False):
        above = (own["recalled"] - own["by_chance"]).to_numpy(dtype=float)
        estimate = mean_estimate(above, pd.factorize(own["profile_id"])[0], confidence)
        rows.append((policy, len(own), own["recalled"].mean(), own["by_chance"].mean(), *estimate))
    columns = ["policy", "told", "recalled", "by_chance", "above", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def message_table(transcripts: Iterable[Transcript], facts: Mapping[str, Sequence[Fact]]) -> pd.DataFrame:
    """Which facts each user message is about, by its telling words.

    Returns: one row per (policy, case, turn): policy, case, profile_id, turn, and `about`: "novel", "known", "both" or
        "neither".
    """
    names = {(True, False): "novel", (False, True): "known", (True, True): "both", (False, False): "neither"}
    rows = []
    for held in transcripts:
        for turn, said in enumerate(_words(held).user, 1):
            about = {fact.novel for fact in facts[held.persona.profile_id] if fact.words & said}
            kind = names[True in about, False in about]
            rows.append((held.policy, held.persona.id, held.persona.profile_id, turn, kind))
    return pd.DataFrame(rows, columns=["policy", "case", "profile_id", "turn", "about"])


def novel_minus_known(frame: pd.DataFrame, column: str, confidence: float) -> pd.DataFrame:
    """A column's mean over novel and over known rows per policy, and their difference within profiles.

    Args:
        frame: policy, profile_id, novel (bool) and the column.
        column: numbers or truth values.
        confidence: of the interval, such as 0.95: t on the differences of the profiles that have both kinds.

    Returns: policy, known, novel, difference, low, high, n_profiles; means are of profile means. The interval is
        missing with a single profile. A policy without a profile that has both kinds is left out.
    """
    rows = []
    for policy, own in frame.groupby("policy", sort=False):
        means = own.assign(value=own[column].astype(float)).pivot_table(
            index="profile_id", columns="novel", values="value"
        )
        means = means.reindex(columns=[False, True]).dropna()
        if means.empty:
            continue
        gap = (means[True] - means[False]).to_numpy()
        rows.append((policy, means[False].mean(), means[True].mean(),
                     *mean_estimate(gap, np.arange(len(gap)), confidence), len(gap)))  # fmt: skip
    return pd.DataFrame(rows, columns=["policy", "known", "novel", "difference", "low", "high", "n_profiles"])


class _Words(NamedTuple):
    user: list[frozenset[str]]  # per turn
    reply: list[frozenset[str]]


def _words(held: Transcript) -> _Words:
    found = [stems(message.content) for message in held.messages]
    return _Words(found[0::2], found[1::2])


def _recalled(fact: Fact, words: _Words, turn: int) -> bool:
    """Does a reply after `turn` (from 0) take the fact up of its own accord?"""
    later = zip(words.user[turn + 1 :], words.reply[turn + 1 :], strict=True)
    return any(fact.words & reply and not fact.words & said for said, reply in later)
