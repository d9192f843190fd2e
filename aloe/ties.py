"""What becomes of a tie: a pair of replies of which the judge named a place in both orders, and no reply.

In: trees as they were grown, and the preset's `trees.tie`. Out: the same trees with those turns' labels settled:

- `drop`: a tie gives no pair and no reply to learn; it stays in the history.
- `keep`: it gives no pair either, but the reply that the dialogue went on with is learned in SFT on preferred replies,
  since nothing speaks against it; never in SFT on rejected ones. Its label becomes `kept`.
- `random`: a coin drawn from seed and turn says which reply is preferred, as a forced choice would. Its label becomes
  that of a preference, so it gives a pair; the verdicts still show that it was none.

Equal replies stay ties under all three: there is nothing to tell apart. So do unparseable verdicts: no judge has
spoken. Which reply went on was drawn before and is not changed. This module knows no model and no file.
"""

import dataclasses
import random
from collections.abc import Iterable
from typing import Literal

from aloe.records import DialogueTree, Turn

Tie = Literal["drop", "keep", "random"]


def settle_ties(trees: Iterable[DialogueTree], tie: Tie, seed: int) -> list[DialogueTree]:
    """The trees with their ties settled; `drop` gives them back as they are."""
    return [dataclasses.replace(tree, turns=tuple(_settled(turn, tie, seed) for turn in tree.turns)) for tree in trees]


def _settled(turn: Turn, tie: Tie, seed: int) -> Turn:
    if turn.label != "tie" or tie == "drop" or turn.hinted == turn.plain:
        return turn
    if tie == "keep":
        return dataclasses.replace(turn, label="kept")
    return dataclasses.replace(turn, label=random.Random(f"{seed}-tie-{turn.id}").choice(("hinted", "plain")))
