"""What repeating worlds would take, for `make plan`: counts and minutes, worked out from the preset alone.

In: parameters. Out: lines of text; none for a preset that repeats nothing. Times are orders of magnitude, from seconds
measured on two cores with other work beside them. This module makes no world.
"""

from typing import NamedTuple

from aloe.params import Params
from aloe.processes import cores
from aloe.world_sections import NullWorlds, Trainings

CALL = 0.003  # CPU seconds of one call of the simulated model, its client and server, without embeddings
JUDGED = 0.035  # CPU seconds more for a reply that a judge compares with a persona: embeddings
SEQUENCE = 0.17  # seconds of SFT for a dialogue of 10 turns and an epoch, on two cores
PAIR = 0.4  # seconds of DPO for a pair, with what its reference gives
REPLY = 0.02  # seconds in which a trained policy writes one reply, in a batch


class Worlds(NamedTuple):
    """How many worlds, and how long they take one after the other, in seconds."""

    n: int
    seconds: float


def null_worlds(params: Params, section: NullWorlds) -> Worlds:
    """Worlds without a training, as if one process made all of them."""
    people, turns = params.benchmark.n_profiles, params.benchmark.n_turns
    talk, judges = people * turns, len(params.roles.alignment_judge)
    pairs = people * section.tree_turns
    calls = talk * (3 + 2 * judges) + 6 * pairs  # user, notes, reply, and judges twice; five roles, the judge twice
    each = [calls * CALL + effect * JUDGED * (talk + pairs) for effect in section.effects]
    return Worlds(section.n_seeds * len(each), section.n_seeds * sum(each))


def trainings(params: Params, section: Trainings) -> Worlds:
    """Worlds with a training, one after the other."""
    bench, dpo = params.benchmark, params.training.dpo
    dialogues = (section.n_trees + section.n_dev_trees) * params.trees.n_turns
    pairs = section.n_pairs or section.n_trees * params.trees.n_turns
    replies = bench.n_profiles * min(section.cases_per_profile, bench.n_personalities) * bench.n_turns
    scored = section.n_simulators * replies
    each = [
        dialogues * (6 * CALL + effect * JUDGED)
        + section.n_trees * params.training.sft.epochs * SEQUENCE * params.trees.n_turns / 10
        + pairs * dpo.epochs * PAIR + section.n_dev_pairs * PAIR
        + scored * (REPLY + CALL * (1 + 2 * section.n_judges) + effect * JUDGED)
        for effect in section.effects
    ]  # fmt: skip
    return Worlds(section.n_seeds * len(each), section.n_seeds * sum(each))


def evidence_lines(params: Params, own_hours: float) -> list[str]:
    """Lines of the plan; `own_hours` is what the run itself takes beside them."""
    evidence, lines, minutes = params.evidence, [], 0.0
    if evidence.null_worlds:
        found = null_worlds(params, evidence.null_worlds)
        took = found.seconds / 60 / cores()
        minutes += took
        lines.append(f"null worlds   {found.n:,} without a training, about {took:,.0f} min on {cores()} cores")
    if evidence.trainings:
        found = trainings(params, evidence.trainings)
        minutes += found.seconds / 60
        lines.append(f"trainings     {found.n:,} worlds with one of their own, about {found.seconds / 60:,.0f} min")
    if lines:
        lines.append(f"in all        about {minutes + 60 * own_hours:,.0f} min with the run's own stages")
    return lines
