"""Preference dialogues to training data: SFT conversations and DPO pairs.

In: `DialogueTree`s. Out: plain lists that `datasets` takes, in the order of the trees. The history of every example is
the one that was really sampled: each user message answers the reply that the dialogue went on with, preferred or not.
A turn whose label is a tie or unparseable gives no pair and is not trained on, but stays in the history; a `kept` tie
gives no pair, and its continued reply counts as a preferred one.
This module is pure: it knows no tokenizer, chat template, split or path.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aloe.records import DialogueTree, Message, PreferencePair, Reply, Turn


class Counts(NamedTuple):
    """Where the turns went: `turns == pairs + ties + unparseable`."""

    turns: int
    pairs: int
    ties: int
    unparseable: int


def sft_conversations(trees: Iterable[DialogueTree], reply: Reply) -> list[dict[str, Any]]:
    """One conversation per dialogue, with a mask of the messages to learn.

    A reply is learned if it is the wanted one of its turn *and* the one that the dialogue went on with: the other
    reply was never answered. A dialogue without any such reply is left out, since it has nothing to learn.

    Args:
        trees: the dialogues of one split.
        reply: which replies to learn, "preferred" or "rejected".

    Returns: `{"messages": [{"role", "content"}, ...], "train": [bool, ...]}` per dialogue, a flag per message.

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
        train = [wanted for turn in tree.turns for wanted in (False, _continued_as(turn) == reply)]
        if any(train):
            messages = [{"role": message.role, "content": message.content} for message in history(tree.turns)]
            rows.append({"messages": messages, "train": train})
    return rows


def dpo_pairs(trees: Iterable[DialogueTree]) -> list[PreferencePair]:
    """One pair per labelled turn; the prompt is the sampled history and ends with the turn's user message.

    `chosen` is the preferred reply, whichever of the two the dialogue went on with. The pair has its turn's id, and
    `turn` counts from 1.
    """
    return [
        PreferencePair(
            id=turn.id,
            persona_id=tree.persona.id,
            turn=index + 1,
            prompt=(*history(tree.turns[:index]), Message("user", turn.user)),
            chosen=turn.preferred,
            rejected=turn.rejected,
        )
        for tree in trees
        for index, turn in enumerate(tree.turns)
        if turn.preferred is not None and turn.rejected is not None
    ]


def history(turns: Sequence[Turn]) -> tuple[Message, ...]:
    """The conversation as it was held: each user message and the reply that continued; no turn gives no message."""
    return tuple(
        message for turn in turns for message in (Message("user", turn.user), Message("assistant", turn.continued))
    )


def counts(trees: Iterable[DialogueTree]) -> Counts:
    """How many turns give a pair and how many do not, by reason. No tree gives zeros."""
    labels = [turn.label for tree in trees for turn in tree.turns]
    ties, unparseable = labels.count("tie") + labels.count("kept"), labels.count("unparseable")
    return Counts(len(labels), len(labels) - ties - unparseable, ties, unparseable)


def _continued_as(turn: Turn) -> Reply | None:
    """Whether the dialogue went on with the preferred or the rejected reply; None where no reply was preferred."""
    if turn.label in ("tie", "unparseable"):
        return None
    if turn.label == "kept":
        return "preferred"
    return "preferred" if turn.label == turn.branch else "rejected"
