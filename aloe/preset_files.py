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
        UserError: it cannot be read or is another kind of file, so many processes cannot share a step evenly, or the
            processes share a model that cannot be shared.
    """
    if not training.launcher:
        return
    settings = read_mapping(ROOT / training.launcher)
    if "distributed_type" not in settings:
        raise UserError(f"{ROOT / training.launcher}: no configuration of Accelerate: it has no `distributed_type`.")
    if shares_model(training) and (training.load_in_4bit or training.backend == "unsloth"):
        what = "`training.load_in_4bit`" if training.load_in_4bit else "`training.backend: unsloth`"
        raise UserError(f"{what} does not go with processes that share one model (FSDP), as {training.launcher} has "
                        f"it; take a launcher in which each process holds the model.")  # fmt: skip
    count = settings.get("num_processes", 1)
    if not isinstance(count, int) or count < 1:
        raise UserError(f"{ROOT / training.launcher}: `num_processes` should be a number above 0, got {count!r}.")
    for stage, section in (("sft", training.sft), ("dpo", training.dpo)):
        share(stage, section.batch_size, section.gradient_accumulation, count)
