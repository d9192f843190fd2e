"""What the models of a run would take, worked out from its preset alone: hours, GPU memory and disk.

In: parameters and a model's size. Out: hours, and GB of 1e9 bytes. Times are orders of magnitude. This module does not
know how the trainings work inside.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from aloe.asking_plan import CHARACTERS_PER_TOKEN, REPLY, RolePlan, history
from aloe.losses import WITH_REFERENCE
from aloe.params import Params, Sft
from aloe.policies import OWN
from aloe.room import training_bytes, weight_bytes
from aloe.turn_counts import training_counts

TIE_SHARE = 0.1  # of turns whose two verdicts disagree: no pair
CPU_FLOPS, GPU_FLOPS = 3.5e10, 1.2e14  # useful ones per second: two cores on a tiny model; one GPU of the A100 class
GPU_FROM = 3e8  # parameters; below that a CPU will do
TOKENS_PER_SECOND = {"cpu": 3000.0, "gpu": 500.0}  # generated, in a batch: a tiny model, a 7-8B model


class Steps(NamedTuple):
    """Optimizer steps of one training: of SFT on one kind of reply, and of DPO; 0 where models are taken."""

    sft: int
    dpo: int


def steps(params: Params) -> Steps:
    """About how many steps `sft_preferred` and `dpo` will take, by the mean length of a dialogue.

    Packed rows are counted as full. Few of them in a step make few steps: what an epoch moves a model by depends on it.
    """
    training, counted = params.training, training_counts(params)
    turns, dialogue = params.trees.n_turns, history(params.trees.n_turns) / CHARACTERS_PER_TOKEN
    prefixed = training.recipe.prefixes
    rows = float(counted.sequences * (turns if prefixed else 1))
    if training.sft.packing:
        rows = math.ceil(rows * dialogue * ((turns + 1) / 2 / turns if prefixed else 1) / training.max_length)
    pairs = 0 if params.models_from else training.dpo.n_pairs or counted.turns * (1 - TIE_SHARE)
    sft = _epochs(training.sft) * rows / (training.sft.batch_size * training.sft.gradient_accumulation)
    dpo = training.dpo.epochs * pairs / (training.dpo.batch_size * training.dpo.gradient_accumulation)
    return Steps(math.ceil(sft), math.ceil(dpo))


def training_hours(params: Params, size: float) -> float:
    """Hours for a model of `size` parameters: SFT twice, DPO with its reference, the arms, the policies' replies."""
    trees, training, bench, arms = params.trees, params.training, params.benchmark, params.arms
    dialogue = history(trees.n_turns) / CHARACTERS_PER_TOKEN
    counted = training_counts(params)
    tuned = [(training.sft, training.recipe)] * 2 + [(arm.sft, arm.recipe) for arm in (arms.sft or {}).values()]
    compared = [*([] if params.models_from else [training.dpo]), *(arm.dpo for arm in (arms.dpo or {}).values())]
    again = (trees.n_turns + 1) / 2  # how often the prefixes of a dialogue hold one of its turns
    unanswered = counted.turns + trees.n_trees - counted.sequences  # replies, of which half are wanted
    beside = unanswered / 2 * REPLY / CHARACTERS_PER_TOKEN
    read = sum((counted.sequences * dialogue * (again if recipe.prefixes else 1) + beside * sft.off_branch)
               * _epochs(sft) for sft, recipe in tuned)  # fmt: skip
    turns = counted.turns * (1 - TIE_SHARE)
    once = 1 / 3  # of a step's work: that of a reply forwards only, under a reference
    preference = sum((dpo.n_pairs or turns) * dialogue * (dpo.epochs + once * (dpo.loss in WITH_REFERENCE))
                     for dpo in compared)  # fmt: skip
    gpu = size >= GPU_FROM
    talking = set(bench.policies) & {*OWN, *arms.reference()}
    replies = len(talking) * bench.n_profiles * bench.n_personalities * bench.n_turns
    generated = replies * REPLY / CHARACTERS_PER_TOKEN / TOKENS_PER_SECOND["gpu" if gpu else "cpu"]
    return (6 * size * (read + preference) / (GPU_FLOPS if gpu else CPU_FLOPS) + generated) / 3600


def gpu_gb(params: Params, size: float) -> float:
    """GB of GPU memory, at least: what a training needs, or the weights of a policy that talks; and a fifth more.

    Policies talk whole, adapters merged. Activations of long sequences may take more than a fifth.
    """
    if size < GPU_FROM:
        return 0.0
    training = params.training
    written = 4 if training.dtype == "float32" else 2
    needed = 0.0 if params.models_from else training_bytes(training, size, weight_bytes(training))
    needed = max(needed, size * written)
    return 1.2 * needed / 1e9


def disk_gb(params: Params, roles: Sequence[RolePlan], size: float) -> float:
    """GB of disk: the base model, three trained ones and the arms, all whole, and text twice: in journal and outputs.

    Adapters are merged, and kept beside the whole; models that are taken are linked.
    """
    weight = 4 if params.training.dtype == "float32" else 2
    trained = len(params.arms.reference()) + (0 if params.models_from else 3)
    base = 0.0 if params.models_from else 1.0
    models = base + trained * (1.0 if params.training.method == "full" else 1.02)
    text = sum(role.completion_tokens for role in roles) * CHARACTERS_PER_TOKEN * 2
    return (models * size * weight + text) / 1e9


def _epochs(sft: Sft) -> float:
    """Epochs, each longer by the general conversations, if there are any; they are taken to be as long as dialogues."""
    return sft.epochs / (1 - (sft.mix.share if sft.mix else 0.0))
