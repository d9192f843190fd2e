"""In which manner replies are written, and whether it follows what each user would like.

In: transcripts, and by personality which dimensions of manner its owner wants much and little of. Out: frames. Each
dimension is a plain count over the text of a reply, chosen for this table: it is not what any judge reads, and no
judge is asked. This module knows no file, score or model.
"""

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from aloe.intervals import mean_estimate
from aloe.records import Transcript

Wishes = Mapping[str, Mapping[str, bool]]
"""By id of a personality: dimension -> whether its owner wants much (True) or little (False) of it."""


def _holds(pattern: str) -> Callable[[str], float]:
    found = re.compile(pattern, re.IGNORECASE)
    return lambda reply: float(found.search(reply) is not None)


MEASURES: dict[str, Callable[[str], float]] = {
    "length": lambda reply: float(len(reply.split())),
    "exclamation": _holds("!"),
    "questions": _holds(r"\?"),
    "hedging": _holds(r"\b(?:maybe|perhaps|might|could|possibly|probably|may|i guess|i suppose|not sure)\b"),
    "warmth": _holds(r"\b(?:glad|happy|happily|lovely|love|dear|proud|sweet|kind|gentle|gently|care|heart|sorry)\b"),
    "play": _holds(r"\b(?:ha(?:ha)*|jok(?:e|es|ing)|kidding|silly|fun|funny|laugh\w*|mischief)\b"),
    "structure": _holds(
        r"\b(?:because|therefore|so that|first|second|then|finally|steps?|plan|list|reasons?)\b|[:;\d]"
    ),
}
"""Words in a reply, and shares of replies with a mark, a question, or one of a few words."""


def manner_table(transcripts: Iterable[Transcript], first: int = 1) -> pd.DataFrame:
    """Every measure of every reply from turn `first` on.

    Returns: one row per (policy, case, turn): policy, profile_id, personality_id, turn, and a column per measure.
    """
    rows = []
    for held in transcripts:
        for turn, message in enumerate(held.messages[1::2], 1):
            if turn >= first:
                read = [measure(message.content) for measure in MEASURES.values()]
                rows.append((held.policy, held.persona.profile_id, held.persona.personality_id, turn, *read))
    return pd.DataFrame(rows, columns=["policy", "profile_id", "personality_id", "turn", *MEASURES])


def by_wish(table: pd.DataFrame, wishes: Wishes, confidence: float, reference: str = "base") -> pd.DataFrame:
    """How much replies to users who want much of a dimension differ from those to users who want little of it.

    Above 0: the manner follows the wish; 0: everybody is answered alike; below 0: against the grain. A policy may
    also answer in the manner in which it is written to, so each one's difference is set against `reference`'s.

    Args:
        table: `manner_table`.
        wishes: personalities without a wish for a dimension do not count there; a dimension that not both kinds of
            users have an opinion on is left out.
        confidence: of the intervals, such as 0.95: t on the differences within profiles. The personalities are
            taken as fixed.
        reference: a policy; without it in the table, the last three columns are missing.

    Returns: one row per (dimension, policy): dimension, policy, little, much (means of profile means), difference,
        low, high, beyond (the difference minus that of `reference`), beyond_low, beyond_high. Intervals are missing
        with a single profile.
    """
    rows = []
    for dimension in MEASURES:
        wanted = table["personality_id"].map({name: wish.get(dimension) for name, wish in wishes.items()})
        own = table[wanted.notna()].assign(wanted=wanted.dropna().astype(bool))
        means = own.pivot_table(index=["policy", "profile_id"], columns="wanted", values=dimension, sort=False)
        means = means.reindex(columns=[False, True]).dropna()
        gaps = (means[True] - means[False]).unstack("policy") if len(means) else pd.DataFrame()
        for policy in [name for name in table["policy"].unique() if name in gaps]:
            beyond = gaps[policy] - gaps[reference] if reference in gaps and policy != reference else None
            sides = means.xs(policy, level="policy").mean()
            rows.append((dimension, policy, sides[False], sides[True], *_mean(gaps[policy], confidence),
                         *_mean(beyond, confidence)))  # fmt: skip
    columns = ["dimension", "policy", "little", "much", "difference", "low", "high"]
    columns += ["beyond", "beyond_low", "beyond_high"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(columns[2:], float))


def follows(found: pd.DataFrame, policy: str, column: str = "difference") -> tuple[list[str], list[str]]:
    """The dimensions in which a policy's manner follows the wishes, and those in which it goes against them.

    Args:
        found: `by_wish`.
        policy: one of its policies.
        column: "difference", or "beyond" for what goes beyond the reference.

    Returns: dimensions whose interval lies above 0, and those whose interval lies below.
    """
    low, high = ("low", "high") if column == "difference" else (f"{column}_low", f"{column}_high")
    own = found[found["policy"] == policy]
    return own.loc[own[low] > 0, "dimension"].tolist(), own.loc[own[high] < 0, "dimension"].tolist()


def _mean(values: "pd.Series[float] | None", confidence: float) -> tuple[float | None, float | None, float | None]:
    known = np.array([]) if values is None else values.dropna().to_numpy(dtype=float)
    return mean_estimate(known, np.arange(len(known)), confidence) if len(known) else (None, None, None)
