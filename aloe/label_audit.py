"""Can the labels be trusted? What the judge's two orders say, and what the notes and hinted replies give away.

In: trees and, where there is one, a reference that knows better: people's labels or, in a simulated run, the sandbox
without its faults. Out: frames with a row per turn, or per turn and fact, for `audit_model` and for figures. A turn is
counted by its depth in the tree, so trees may branch. This module asks nobody and draws nothing.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from aloe.audit_model import RuleErrors, judge_error, leak, length_bias, missed, position_bias, share
from aloe.dialogues import SAME, label_of, parse_verdict
from aloe.intervals import Estimate
from aloe.novelty import stems
from aloe.records import DialogueTree, Source
from aloe.telling import disclosed, facts_of, noted_in, paths


class Known(NamedTuple):
    """What a reference says of one turn: the better reply (None: neither), and the persona as it has come out by
    then."""

    better: Source | None
    profile: str
    personality: str


Reference = Mapping[str, Known]
"""By id of a turn."""


def verdict_table(trees: Iterable[DialogueTree], reference: Reference | None = None) -> pd.DataFrame:
    """One row per turn.

    Returns: tree, profile, id, turn (depth from 1), first and second (which reply was named, 1 or 2, with the hinted
        one shown first and second; missing where not readable), outcome (hinted, plain: named in both orders; tie: a
        place was named; same: the replies are equal and nobody was asked; unparseable), hinted_words, plain_words,
        better (the reference's; missing where it is silent).
    """
    rows = []
    for tree in trees:
        for turn_id, path in paths(tree).items():
            turn = path[-1]
            first, second = (parse_verdict(text) for text in turn.verdicts)
            outcome = "same" if SAME in turn.verdicts else label_of(first, second)
            known = (reference or {}).get(turn_id)
            rows.append((
                tree.id, tree.persona.profile_id, turn_id, len(path), first, second, outcome, _length(turn.hinted),
                _length(turn.plain), known.better if known else None,
            ))  # fmt: skip
    columns = ["tree", "profile", "id", "turn", "first", "second", "outcome", "hinted_words", "plain_words", "better"]
    return pd.DataFrame(rows, columns=columns)


def fact_table(trees: Iterable[DialogueTree]) -> pd.DataFrame:
    """One row per turn and fact of the profile: told by now, as far as words show, and does it stand in the notes?

    Returns: tree, profile, id, turn, fact, told, noted.
    """
    rows = []
    for tree in trees:
        facts, told = facts_of(tree.persona.profile), disclosed(tree)
        for turn_id, path in paths(tree).items():
            noted, out = noted_in(facts, path[-1].inferred_profile), told[turn_id].told
            rows += [
                (tree.id, tree.persona.profile_id, turn_id, len(path), fact.text, i in out, i in noted)
                for i, fact in enumerate(facts)
            ]
    return pd.DataFrame(rows, columns=["tree", "profile", "id", "turn", "fact", "told", "noted"])


def reply_table(trees: Iterable[DialogueTree]) -> pd.DataFrame:
    """One row per turn: does a reply use a word of a fact that the user has not told yet?

    Words count that stand in no other fact of the persona and in no message of the user's so far. The plain responder
    cannot know: what it hits it hits by chance, so `excess` (hinted minus plain, -1, 0 or 1) is what has leaked.

    Returns: tree, profile, id, turn, untold (facts), hinted, plain (booleans), excess.
    """
    rows = []
    for tree in trees:
        facts, told = facts_of(tree.persona.profile), disclosed(tree)
        for turn_id, path in paths(tree).items():
            said = frozenset().union(*(stems(turn.user) for turn in path))
            out = told[turn_id].told
            elsewhere = said.union(*(facts[i].words for i in out))
            secret = frozenset().union(*(fact.words for i, fact in enumerate(facts) if i not in out)) - elsewhere
            hinted, plain = (bool(secret & stems(text)) for text in (path[-1].hinted, path[-1].plain))
            rows.append((tree.id, tree.persona.profile_id, turn_id, len(path), len(facts) - len(out), hinted, plain,
                         int(hinted) - int(plain)))  # fmt: skip
    return pd.DataFrame(rows, columns=["tree", "profile", "id", "turn", "untold", "hinted", "plain", "excess"])


def label_estimates(
    trees: Iterable[DialogueTree], errors: RuleErrors, confidence: float, reference: Reference | None = None
) -> dict[str, Estimate | None]:
    """Every number of the label audit by name; None where it cannot be told (the last three need a reference)."""
    trees = list(trees)
    verdicts, facts, replies = verdict_table(trees, reference), fact_table(trees), reply_table(trees)
    agreed = verdicts[verdicts["outcome"].isin(["hinted", "plain"])]
    agreed = agreed.assign(hinted=agreed["outcome"] == "hinted")
    longer = (agreed["hinted_words"] > agreed["plain_words"]) == agreed["hinted"]
    uneven = agreed["hinted_words"] != agreed["plain_words"]
    judged = verdicts[verdicts["outcome"].isin(["hinted", "plain", "tie"])]
    half = int(verdicts["turn"].max()) // 2 if len(verdicts) else 0
    return {
        "orders_agree": share(judged.assign(agree=judged["outcome"] != "tie"), "agree", confidence),
        "hinted_preferred": share(agreed, "hinted", confidence),
        "longer_preferred": share(agreed.assign(longer=longer)[uneven], "longer", confidence),
        "position_bias": position_bias(verdicts, confidence),
        "leak": leak(facts, errors, confidence),
        "missed_inference": missed(facts, errors, confidence),
        "untold_in_reply": share(replies, "excess", confidence),
        "length_bias": length_bias(verdicts, confidence),
        "judge_error_first_half": judge_error(verdicts, confidence, range(1, half + 1)),
        "judge_error_second_half": judge_error(verdicts, confidence, range(half + 1, 10_000)),
    }


def judge_by_turn(verdicts: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """How often the judge names the reply that the reference calls better, where both orders agree.

    Returns: turn, accuracy, low, high, pairs; no row without a reference.
    """
    rows = verdicts[verdicts["better"].notna() & verdicts["outcome"].isin(["hinted", "plain"])]
    rows = rows.assign(right=rows["outcome"] == rows["better"])
    found = [(turn, *(share(own, "right", confidence) or ()), len(own)) for turn, own in rows.groupby("turn")]
    return pd.DataFrame(found, columns=["turn", "accuracy", "low", "high", "pairs"])


def inducer_by_turn(trees: Iterable[DialogueTree], reference: Reference, confidence: float) -> pd.DataFrame:
    """Precision and recall of the notes beside what a reference says has come out, piece by piece.

    Returns: kind (facts, traits), measure (precision, recall), turn, value, low, high, pieces; turns without a piece
        are left out.
    """
    pieces = []
    for tree in trees:
        for turn_id, path in paths(tree).items():
            known, turn = reference.get(turn_id), path[-1]
            if known is not None:
                for kind, noted, out in (
                    ("facts", turn.inferred_profile, known.profile),
                    ("traits", turn.inferred_personality, known.personality),
                ):
                    mine, theirs = _pieces(noted), _pieces(out)
                    where = (tree.persona.profile_id, len(path))
                    pieces += [(*where, kind, "precision", piece in theirs) for piece in mine]
                    pieces += [(*where, kind, "recall", piece in mine) for piece in theirs]
    table = pd.DataFrame(pieces, columns=["profile", "turn", "kind", "measure", "right"])
    found = [
        (*key, *(share(own, "right", confidence) or ()), len(own))
        for key, own in table.groupby(["kind", "measure", "turn"])
    ]
    return pd.DataFrame(found, columns=["kind", "measure", "turn", "value", "low", "high", "pieces"])


def _pieces(notes: str) -> frozenset[str]:
    parts = (part.strip().rstrip(".").casefold() for part in notes.replace("; ", ". ").split(". "))
    return frozenset(part for part in parts if part and part != "nothing yet")


def _length(text: str) -> int:
    return len(text.split())
