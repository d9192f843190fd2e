"""Is what the models replied enough for the stages that follow? If not, the run ends with a sentence and a report.

In: dialogues, or scores. Out: nothing, or `NotEnough`. A model that cannot keep to the form of an answer leaves
dialogues without a preference and replies without a level: nothing could be learned from them, or compared. This
module does not know why a reply is what it is.
"""

from collections.abc import Sequence

import pandas as pd

from aloe.errors import NotEnough
from aloe.preferences import counts, dpo_pairs, sft_conversations
from aloe.records import DialogueTree, Reply
from aloe.runs import split_of

_REPLIES: tuple[Reply, ...] = ("preferred", "rejected")


def to_learn_from(trees: Sequence[DialogueTree]) -> None:
    """Refuse dialogues that the training stages could do nothing with.

    Raises:
        NotEnough: a split has no turn with a preference, or no training dialogue goes on with a preferred reply, or
            with a rejected one.
    """
    for split, kind in (("train", "training"), ("dev", "development")):
        own = [tree for tree in trees if split_of(tree.persona.id) == split]
        found = counts(own)
        if not dpo_pairs(own):
            raise NotEnough(
                f"Not one of {found.turns} {kind} turns has a preferred reply: {found.unparseable} had a verdict that "
                f"could not be read, {found.ties} were ties. Choose another model for `preference_judge`, or grow more "
                f"dialogues (`trees.n_trees`, `trees.n_dev_trees`)."
            )
        for reply in _REPLIES:
            if split == "train" and not sft_conversations(own, reply):
                raise NotEnough(
                    f"None of {len(own)} training dialogues goes on with a {reply} reply, so there is nothing to "
                    f"fine-tune on. Grow more of them (`trees.n_trees`), with `trees.branch: random`."
                )


def to_compare(scores: pd.DataFrame) -> None:
    """Refuse scores that leave a policy without a single case to average over.

    Args:
        scores: one row per (policy, case, turn, judge), with the columns of `records.Judgement`.

    Raises:
        NotEnough: some policy has no case with a level from every judge at every turn.
    """
    readable = scores["level"].notna().groupby([scores["policy"], scores["case"]]).all()
    for policy, some in readable.groupby("policy", sort=False).any().items():
        if not some:
            unread = scores.loc[scores["level"].isna(), "judge"].value_counts()
            told = ", ".join(f"{judge} {n} of {(scores['judge'] == judge).sum()}" for judge, n in unread.items())
            raise NotEnough(
                f"Policy {policy!r} has no case in which every reply got a level from every judge, so it has no curve. "
                f"Answers of judges without a level: {told}. Choose another model for `alignment_judge`, and run again."
            )
