"""Preference dialogues to training data: SFT conversations and DPO pairs.

In: `DialogueTree`s. Out: plain lists that `datasets` takes, in the order of the trees. The history of every example is
the one that was really sampled: each user message answers the reply that the dialogue went on with, preferred or not.
A turn whose label is a tie or unparseable gives no pair and is not trained on, but stays in the history; a `kept` tie
gives no pair, and its continued reply counts as a preferred one. Trees may branch. This module is pure: it knows no
tokenizer, chat template, split or path of a file.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from aloe.branching import followed, history, leaf_paths, paths, prompt
from aloe.records import DialogueTree, PreferencePair, Reply, Source, Turn

__all__ = ["Counts", "counts", "dpo_pairs", "history", "sft_conversations"]

_SOURCES: tuple[Source, ...] = get_args(Source)


class Counts(NamedTuple):
    """Where the turns went: `turns == pairs + ties + unparseable`."""

    turns: int
    pairs: int
    ties: int
    unparseable: int


def sft_conversations(trees: Iterable[DialogueTree], reply: Reply, off_branch: bool = False) -> list[dict[str, Any]]:
    """One conversation per way through a dialogue, with a mask of the messages to learn.

    A reply is learned if it is the wanted one of its turn *and* the dialogue went on with it: a reply that nobody
    answered is in no conversation. A tree that branches gives one conversation per path from its first turn to a last
    one. Paths share their beginnings, and a reply there has the same history, so the same loss, in each of them: it is
    learned in the first path that holds it, and is history in the others. So no reply is learned twice, and each counts
    alike, however many paths pass through it. A conversation with nothing to learn is left out.

    Args:
        trees: the dialogues of one split.
        reply: which replies to learn, "preferred" or "rejected".
        off_branch: give those too that no dialogue went on with, each with the first path that holds its turn.

    Returns: `{"messages": [{"role", "content"}, ...], "train": [bool, ...]}` per conversation, a flag per message; with
        `off_branch`, under that name also `[{"after": number of messages before the reply, "content"}, ...]`.

    >>> from aloe.records import Persona
    >>> t1 = Turn("d-1", None, "Hi.", "", "", "Hi Ann!", "Hello.", ("hinted", "hinted"), "hinted", "hinted")
    >>> t2 = Turn("d-2", "d-1", "Tea?", "", "", "Tea!", "Yes.", ("hinted", "hinted"), "hinted", "plain")
    >>> tree = DialogueTree("d", Persona("a-b", "a", "b", "Ann.", "Kind."), (t1, t2))
    >>> [row] = sft_conversations([tree], "preferred")
    >>> [(m["content"], train) for m, train in zip(row["messages"], row["train"], strict=True)]
    [('Hi.', False), ('Hi Ann!', True), ('Tea?', False), ('Yes.', False)]
    >>> [pair] = dpo_pairs([tree])[1:]
    >>> [m.content for m in pair.prompt], pair.chosen, pair.rejected
    (['Hi.', 'Hi Ann!', 'Tea?'], 'Tea!', 'Yes.')
    """
    rows = []
    for tree in trees:
        learned: set[tuple[str, Source]] = set()  # replies, by turn and kind
        ways = [list(zip(path, followed(path), strict=True)) for path in leaf_paths(tree)]
        answered = {(turn.id, source) for way in ways for turn, source in way}
        for way in ways:
            wanted = [(turn.id, source) not in learned and _continued_as(turn, source) == reply for turn, source in way]
            held = learned | answered
            asides = [(i, turn, source) for i, (turn, _) in enumerate(way) for source in _SOURCES if off_branch
                      and (turn.id, source) not in held and _continued_as(turn, source) == reply]  # fmt: skip
            if any(wanted) or asides:
                learned |= {(turn.id, source) for turn, source in (*way, *(aside[1:] for aside in asides))}
                path = [turn for turn, _ in way]
                row = {
                    "messages": [{"role": message.role, "content": message.content} for message in history(path)],
                    "train": [flag for learn in wanted for flag in (False, learn)],
                }
                beside = [{"after": 2 * i + 1, "content": turn.reply(source)} for i, turn, source in asides]
                rows.append({**row, "off_branch": beside} if off_branch else row)
    return rows


def dpo_pairs(trees: Iterable[DialogueTree]) -> list[PreferencePair]:
    """One pair per labelled turn; the prompt is the sampled history and ends with the turn's user message.

    `chosen` is the preferred reply, whichever of the two the dialogue went on with. The pair has its turn's id, and
    `turn` counts from 1, along its path where the tree branches. What answers one turn shares its prompt, so turns that
    follow both of its replies share it up to there; no two pairs are the same.
    """
    return [
        PreferencePair(
            id=turn.id,
            persona_id=tree.persona.id,
            turn=len(path),
            prompt=prompt(path),
            chosen=turn.preferred,
            rejected=turn.rejected,
        )
        for tree in trees
        for turn, path in ((path[-1], path) for path in paths(tree).values())
        if turn.preferred is not None and turn.rejected is not None
    ]


def counts(trees: Iterable[DialogueTree]) -> Counts:
    """How many turns give a pair and how many do not, by reason. No tree gives zeros."""
    labels = [turn.label for tree in trees for turn in tree.turns]
    ties, unparseable = labels.count("tie") + labels.count("kept"), labels.count("unparseable")
    return Counts(len(labels), len(labels) - ties - unparseable, ties, unparseable)


def _continued_as(turn: Turn, source: Source) -> Reply | None:
    """Whether a dialogue that goes on with this reply does so with the preferred or the rejected one; None: neither."""
    if turn.label in ("tie", "unparseable"):
        return None
    if turn.label == "kept":
        return "preferred" if source == turn.branch else None
    return "preferred" if turn.label == source else "rejected"
