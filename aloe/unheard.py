"""Words in replies that a policy can have from nowhere in the study: garbled ones, and those it knew before.

In: transcripts, and the words that training showed. Out: frames. A word counts as heard if it stands in the training
dialogues, in the persona, or in what that user wrote by then; forms are compared letter by letter, so an ending that
nobody used counts, and so does a word that was cut off. This module knows no score's meaning, file or model.
"""

import re
from collections.abc import Iterable

import pandas as pd

from aloe.intervals import mean_estimate
from aloe.records import DialogueTree, Transcript


def words(text: str) -> frozenset[str]:
    """The words of a text, without case; digits and marks part them.

    >>> sorted(words("The half-baked pie isn't 2 days old."))
    ['baked', 'days', 'half', 'isn', 'old', 'pie', 't', 'the']
    """
    return frozenset(re.findall(r"[^\W\d_]+", text.casefold()))


def training_words(trees: Iterable[DialogueTree]) -> frozenset[str]:
    """Every word that a user or a responder of these dialogues wrote, replies that were not sent included."""
    found: set[str] = set()
    for tree in trees:
        for turn in tree.turns:
            found |= words(f"{turn.user} {turn.hinted} {turn.plain}")
    return frozenset(found)


def unheard_table(transcripts: Iterable[Transcript], known: frozenset[str]) -> pd.DataFrame:
    """The words of each reply that are not `known`, nor the persona's, nor the user's up to that turn.

    Returns: one row per (policy, case, turn): policy, case, profile_id, turn (from 1), and `unheard`: a sorted tuple
        of words, empty where all were heard.
    """
    rows = []
    for held in transcripts:
        heard = known | words(f"{held.persona.profile} {held.persona.personality}")
        for turn, (said, reply) in enumerate(zip(held.messages[0::2], held.messages[1::2], strict=True), 1):
            heard |= words(said.content)
            strange = tuple(sorted(words(reply.content) - heard))
            rows.append((held.policy, held.persona.id, held.persona.profile_id, turn, strange))
    return pd.DataFrame(rows, columns=["policy", "case", "profile_id", "turn", "unheard"])


def unheard_by_policy(table: pd.DataFrame, scores: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """How many replies of each policy hold an unheard word, and the mean level of those that do and that do not.

    Args:
        table: `unheard_table`.
        scores: columns of `records.Judgement`; judges of one reply are averaged, replies without a level are left out
            of the two means.
        confidence: of the interval of the share, such as 0.95; clustered on profiles.

    Returns: one row per policy: policy, replies, share, low, high (missing with a single profile), level_with and
        level_without (missing where there is no such reply).

    Raises:
        ValueError: there is no reply.
    """
    if table.empty:
        raise ValueError("at least one reply expected, got none")
    keys = ["policy", "case", "turn"]
    levels = scores.astype({"level": float}).groupby(keys, as_index=False)["level"].mean()
    marked = table.assign(strange=table["unheard"].map(bool)).merge(levels, how="left", on=keys)
    rows = []
    for policy, own in marked.groupby("policy", sort=False):
        share = mean_estimate(own["strange"].to_numpy(dtype=float), pd.factorize(own["profile_id"])[0], confidence)
        means = [own.loc[own["strange"] == flag, "level"].mean() for flag in (True, False)]
        rows.append((policy, len(own), *share, *means))
    columns = ["policy", "replies", "share", "low", "high", "level_with", "level_without"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))
