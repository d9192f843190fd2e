"""Dialogues as data frames: a row per turn, or per turn and fact, for tables, counts and figures.

In: `DialogueTree`s. Out: frames. This module knows neither files nor models, and draws nothing.
"""

import re
from collections.abc import Iterable

import pandas as pd

from aloe.branching import paths
from aloe.quality import count_facts
from aloe.records import DialogueTree

NOTHING_YET = "nothing yet"
"""What the inducer is told to write where nothing has come out."""


def turn_table(trees: Iterable[DialogueTree]) -> pd.DataFrame:
    """One row per turn; where a tree branches, a turn's number counts along its path.

    Returns: columns tree, turn (from 1), label, branch; user_words, hinted_words, plain_words, preferred_words,
        rejected_words (missing for a turn without a preference); facts and traits: items in the induced persona.

    Raises:
        ValueError: there is no turn.
    """
    rows = [
        {
            "tree": tree.id,
            "turn": len(path),
            "label": turn.label,
            "branch": turn.branch,
            "user_words": len(turn.user.split()),
            "hinted_words": len(turn.hinted.split()),
            "plain_words": len(turn.plain.split()),
            "preferred_words": None if turn.preferred is None else len(turn.preferred.split()),
            "rejected_words": None if turn.rejected is None else len(turn.rejected.split()),
            "facts": count_items(turn.inferred_profile),
            "traits": count_items(turn.inferred_personality),
        }
        for tree in trees
        for path in paths(tree).values()
        for turn in path[-1:]
    ]
    if not rows:
        raise ValueError("no turn to tabulate: the trees are empty")
    return pd.DataFrame(rows).astype({"preferred_words": float, "rejected_words": float})


def count_items(induced: str) -> int:
    """How many facts or traits an induced persona holds: pieces between sentence ends and semicolons.

    >>> count_items("She is 40. She keeps a parrot; she sings."), count_items("Nothing yet.")
    (3, 0)
    """
    if induced.strip().rstrip(".").casefold() == NOTHING_YET:
        return 0
    return count_facts(induced)


def stems(text: str) -> frozenset[str]:
    """The words of four letters or more, cut to five, so that most endings do not count.

    >>> sorted(stems("She bakes; baked, baking. A cake?"))
    ['baked', 'bakes', 'bakin', 'cake']
    """
    return frozenset(word[:5] for word in re.findall(r"\w{4,}", text.casefold()))
