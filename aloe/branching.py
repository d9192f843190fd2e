"""A dialogue tree that may branch: its paths, its trunk, what was said along a path, and how many turns it has.

In: a `DialogueTree`, or turns along a path. Out: turns and messages. A turn answers the reply that its parent's
`branch` names, or, if it is `off_branch`, the other one; the *trunk* is the dialogue along the branches, and is all
there is of a tree that was not expanded. This module is pure: it knows no preset, path of a file or model.
"""

import dataclasses
import random
from collections.abc import Sequence

from aloe.records import DialogueTree, Message, Source, Turn

Path = tuple[Turn, ...]


def paths(tree: DialogueTree) -> dict[str, Path]:
    """For every turn by its id, in the order of the tree, the turns from the first one to it; its number is the length.

    Raises:
        ValueError: an id occurs twice, a parent does not stand before its child, or two turns answer one reply.
    """
    found: dict[str, Path] = {}
    answered: set[tuple[str | None, bool]] = set()
    for turn in tree.turns:
        before = () if turn.parent is None else found.get(turn.parent)
        if before is None:
            raise ValueError(f"{tree.id}: turn {turn.id} follows {turn.parent}, which does not stand before it")
        if turn.id in found or (turn.parent, turn.off_branch) in answered or (turn.parent is None and turn.off_branch):
            raise ValueError(f"{tree.id}: turn {turn.id} answers what another turn answers, or has its id")
        answered.add((turn.parent, turn.off_branch))
        found[turn.id] = (*before, turn)
    return found


def leaf_paths(tree: DialogueTree) -> list[Path]:
    """Every way from the first turn to one that no other answers, in the order of the tree: one for a plain dialogue.

    Raises:
        ValueError: as `paths`.
    """
    parents = {turn.parent for turn in tree.turns}
    return [path for name, path in paths(tree).items() if name not in parents]


def trunk(tree: DialogueTree) -> DialogueTree:
    """The tree without its side branches: the dialogue that goes on with each turn's `branch`.

    Raises:
        ValueError: as `paths`.
    """
    along = {name for name, path in paths(tree).items() if not any(turn.off_branch for turn in path)}
    return dataclasses.replace(tree, turns=tuple(turn for turn in tree.turns if turn.id in along))


def is_whole(tree: DialogueTree, n_turns: int) -> bool:
    """Did every way through the tree come to `n_turns` turns, and were both replies answered where both were to be?"""
    answered = [(turn.parent, turn.off_branch) for turn in tree.turns]
    both = [(turn.id, side) for turn in tree.turns if turn.reason == "both" for side in (False, True)]
    return all(len(path) == n_turns for path in leaf_paths(tree)) and set(both) <= set(answered)


def followed(path: Sequence[Turn]) -> list[Source]:
    """Which reply of each turn a path goes on with; after the last turn, the one that its `branch` names."""
    asides = [*(after.off_branch for after in path[1:]), False][: len(path)]
    return [turn.branch if not aside else _other(turn.branch) for turn, aside in zip(path, asides, strict=True)]


def history(path: Sequence[Turn]) -> tuple[Message, ...]:
    """The conversation along a path: each user message and the reply that it went on with; no turn gives no message."""
    return tuple(
        message
        for turn, source in zip(path, followed(path), strict=True)
        for message in (Message("user", turn.user), Message("assistant", turn.reply(source)))
    )


def prompt(path: Sequence[Turn]) -> tuple[Message, ...]:
    """The conversation along a path up to the last user message, which is to be answered. At least one turn."""
    return history(path)[:-1]


def widths(n_turns: int, depth: int) -> list[int]:
    """How many turns a whole tree has as its first, second, ... if both replies of the first `depth` turns go on.

    A tree that is not expanded has depth 0. The last turn's replies go nowhere, whatever the depth.

    >>> widths(4, 4), widths(4, 1), widths(3, 0)
    ([1, 2, 4, 8], [1, 2, 2, 2], [1, 1, 1])
    """
    return [2 ** min(before, depth) for before in range(n_turns)]


def is_expanded(tree_id: str, share: float, seed: int) -> bool:
    """Is this one of the sampled `share` of trees that are expanded? It depends on tree and seed alone.

    >>> is_expanded("tree-a", 1.0, seed=0), is_expanded("tree-a", 0.0, seed=0)
    (True, False)
    """
    return random.Random(f"{seed}-{tree_id}-expand").random() < share


def _other(source: Source) -> Source:
    return "plain" if source == "hinted" else "hinted"
