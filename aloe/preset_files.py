"""The files that a preset names, read and counted before anything is planned, asked or paid for.

In: `Params`. Out: nothing; what is wrong with a file is said as it would be by the stage that reads it, hours later.
"""

from aloe.cases import named_texts
from aloe.errors import UserError
from aloe.mixes import draw_mix
from aloe.params import ROOT, Params, Training
from aloe.processes import share
from aloe.strict_yaml import read_mapping
from aloe.texts import load_texts

LEAST_SEEDS = 5


def check_files(params: Params) -> None:
    """Read the seeds, the benchmark's personas, the general conversations that are mixed into SFT, and the launcher.

    Raises:
        UserError: a file is missing, a line of it is not what it should be, or it has fewer texts than the preset
            asks for.
    """
    files, sizes = params.personas, params.benchmark
    named_texts(params)
    seeds = max(LEAST_SEEDS, files.shots)
    for path, minimum in (
        (files.seed_profiles, seeds),
        (files.seed_personalities, seeds),
        (files.benchmark_profiles, sizes.n_profiles),
        (files.benchmark_personalities, sizes.n_personalities),
    ):
        load_texts(ROOT / path, minimum)
    check_launcher(params.training)
    trainings = [params.training.sft, *(arm.sft for arm in (params.arms.sft or {}).values())]
    for mix in dict.fromkeys(sft.mix for sft in trainings if sft.mix):
        draw_mix(mix, params.trees.n_trees, params.seed)


def shares_model(training: Training) -> bool:
    """Does the preset's launcher have its processes share one model (FSDP)?

    Raises:
        UserError: the launcher cannot be read.
    """
    return training.launcher is not None and read_mapping(ROOT / training.launcher).get("distributed_type") == "FSDP"


def check_launcher(training: Training) -> None:
    """Read the configuration of Accelerate that the preset names, if it names one.

    Raises:
        UserError: it cannot be read, or so many processes cannot share a step evenly.
    """
    if not training.launcher:
        return
    count = read_mapping(ROOT / training.launcher).get("num_processes", 1)
    if not isinstance(count, int) or count < 1:
        raise UserError(f"{ROOT / training.launcher}: `num_processes` should be a number above 0, got {count!r}.")
    for stage, section in (("sft", training.sft), ("dpo", training.dpo)):
        share(stage, section.batch_size, section.gradient_accumulation, count)
