"""The section `evidence` of a preset: what is repeated beside a run, so that its numbers can be believed.

Out: frozen dataclasses with the type and range of every value, for `params`. A preset without the section repeats
nothing. This module reads nothing and does not know how a world is made.
"""

import dataclasses
from typing import Annotated

from aloe.sections import Count, Rate
from aloe.strict_yaml import Range


@dataclasses.dataclass(frozen=True)
class NullWorlds:
    """Worlds in which nobody is trained: the simulated responder talks, judges and simulator have seeds of their own.

    For each of `effects` (0: the judges ignore the persona) the seeds 0 to `n_seeds` - 1; dialogues with two replies
    have `tree_turns` turns, those of the benchmark as many as `benchmark.n_turns`.
    """

    n_seeds: Count
    effects: tuple[Rate, ...]
    tree_turns: Count


@dataclasses.dataclass(frozen=True)
class Trainings:
    """Worlds with a training of their own: dialogues, SFT and DPO at these sizes, for each effect and seed.

    Each trained model talks with `cases_per_profile` people of every held-out profile, `n_simulators` times over with
    another seed of the users, and `n_judges` judges, who differ in their seed only, score every reply.
    """

    n_seeds: Count
    effects: tuple[Rate, ...]
    n_trees: Count
    n_dev_trees: Count
    n_pairs: Annotated[int, Range(0)]
    n_dev_pairs: Count
    cases_per_profile: Count
    n_simulators: Count
    n_judges: Count


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is repeated beside the run; null for what is not. Only the simulated model has an effect to take away."""

    null_worlds: NullWorlds | None = None
    trainings: Trainings | None = None


NO_EVIDENCE = Evidence()
