"""How many turns the dialogues of a preset will hold, and how many sequences they give to train on.

In: parameters. Out: counts, worked out and not measured. Which dialogues of a sample are expanded follows from their
ids, and these from the preset's sizes and seed. Counted are whole trees: two replies that are word for word the same
are continued once only, which nobody knows before. This module knows neither tokens nor prices.
"""

from typing import TYPE_CHECKING, NamedTuple

from aloe.branching import is_expanded, widths
from aloe.params import Params

if TYPE_CHECKING:
    from aloe.personas import Kind
    from aloe.texts import Text


class TrainingCounts(NamedTuple):
    """Of the training dialogues: turns in all, and ways from a first turn to a last one, each a sequence for SFT."""

    turns: int
    sequences: int


def turns_held(params: Params) -> list[int]:
    """How many turns all dialogues together will hold as their first, second, ...: 0 where they are read or taken."""
    trees = params.trees
    if trees.from_released or params.models_from:
        return [0] * trees.n_turns
    expanded = _expanded(params, "train") + _expanded(params, "dev")
    plain = trees.n_trees + trees.n_dev_trees - expanded
    return [plain + expanded * width for width in widths(trees.n_turns, trees.expand_depth)]


def training_counts(params: Params) -> TrainingCounts:
    """What there will be to train on; at most, where dialogues are read; nothing where models are taken."""
    if params.models_from:
        return TrainingCounts(0, 0)
    trees, expanded = params.trees, _expanded(params, "train")
    plain, whole = trees.n_trees - expanded, widths(trees.n_turns, trees.expand_depth)
    return TrainingCounts(plain * trees.n_turns + expanded * sum(whole), plain + expanded * whole[-1])


def _expanded(params: Params, split: str) -> int:
    """How many trees of a split branch."""
    trees, personas = params.trees, params.personas
    n = trees.n_trees if split == "train" else trees.n_dev_trees
    if trees.expand == "one" or trees.expand_share == 1.0:
        return 0 if trees.expand == "one" else n
    from aloe.dialogues import choose_personas
    from aloe.personas import draw_personas, draw_texts

    def drawn(kind: "Kind", size: int, dev: int) -> "list[Text]":
        return draw_texts([kind] * size, size, dev, kind, params.seed)

    profiles = drawn("profile", personas.n_profiles, personas.dev_profiles)
    personalities = drawn("personality", personas.n_personalities, personas.dev_personalities)
    everybody = draw_personas(profiles, personalities, personas.personalities_per_profile, params.seed)
    chosen = choose_personas(everybody, n, split, params.seed)
    return sum(is_expanded(f"tree-{persona.id}", trees.expand_share, params.seed) for persona in chosen)
