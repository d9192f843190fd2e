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


def note_table(trees: Iterable[DialogueTree]) -> pd.DataFrame:
    """Per turn and fact of the profile: has the user told it, as far as words show, and does it stand in the notes?

    A fact stands in the notes if its sentence does, word for word, so this suits inducers that copy.

    Returns: one row per (tree, turn, fact): tree, turn (from 1), fact, support (share of the fact's words of four
        letters or more, cut to five, that the user's messages up to this turn hold; 0: not told), noted. Facts
        without such a word are left out.
    """
    rows = []
    for tree in trees:
        facts = [(fact, stems(fact)) for fact in re.split(r"(?<=[.!?])\s+", tree.persona.profile)]
        for path in paths(tree).values():
            said = stems(" ".join(turn.user for turn in path))
            notes = path[-1].inferred_profile.casefold()
            rows += [
                (tree.id, len(path), fact, len(words & said) / len(words), fact.casefold() in notes)
                for fact, words in facts
                if words
            ]
    return pd.DataFrame(rows, columns=["tree", "turn", "fact", "support", "noted"])


def stems(text: str) -> frozenset[str]:
    """The words of four letters or more, cut to five, so that most endings do not count.

    >>> sorted(stems("She bakes; baked, baking. A cake?"))
    ['baked', 'bakes', 'bakin', 'cake']
    """
    return frozenset(word[:5] for word in re.findall(r"\w{4,}", text.casefold()))
