"""A dry run: every stage of a preset at toy width, so that what is wrong shows before the first dollar.

In: a preset. Out: a run of its own, `outputs/<preset>-dry`, made by the same notebooks from a preset that extends the
given one: few personas, two turns, two epochs, the simulated model in every role, a random toy of the base model's
architecture. Then a list of what was not checked. No network is asked, no key is read, and neither files nor journal of
the real run are touched. This module does not know what a stage computes.
"""

import importlib.util
import os
import shutil
import string
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from aloe.base_models import context_of
from aloe.checkpoints import choose_backend, has_cuda
from aloe.errors import UserError
from aloe.execution import NotebookFailed
from aloe.families import roles
from aloe.params import ROOT, Dpo, Params, Sft, load_params
from aloe.pipeline import run_all
from aloe.preset_files import check_launcher
from aloe.prompts import FOLDER, prompt_file
from aloe.runs import OUTPUTS, Run, open_run
from aloe.scales import SCALES
from aloe.stages import STAGES
from aloe.toy import FILES, Toy, save_toy
from aloe.world_sections import Evidence

# Twelve dialogues rather than two: ties are dropped and the branch is drawn, and every kind of reply must occur.
SIZES: dict[str, dict[str, Any]] = {
    "personas": {
        "max_calls": 1, "n_profiles": 6, "n_personalities": 4, "personalities_per_profile": 2, "dev_profiles": 2,
        "dev_personalities": 2,
    },
    "trees": {"n_trees": 8, "n_dev_trees": 4, "n_turns": 2},
    "benchmark": {"n_profiles": 2, "n_personalities": 2, "n_turns": 2, "max_new_tokens": 16, "n_null": 100},
}  # fmt: skip
_TURNS = SIZES["trees"]["n_turns"]
MIXED = 0.25  # of the sequences at least, if there are general conversations: a small share of so few would be none


def dry_run(preset: str, seed: int | None) -> None:
    """Make a dry run of a preset and print what it did not check.

    Raises:
        UserError: the preset is wrong, the architecture of its base model is not known here, or a stage found something
            that the user can mend; the stage is named.
        NotebookFailed: a stage stopped with another error.
    """
    os.environ["HF_HUB_OFFLINE"] = "1"  # for the kernels too: a hub is not asked even by accident
    real = load_params(preset, seed)
    left = unchecked(real, has_cuda())
    folder = OUTPUTS / f"{real.name}-dry"
    _empty(folder)
    path = folder / f"{folder.name}.yaml"  # first: by it the folder is known as that of a dry run
    path.write_text(yaml.safe_dump(dry_preset(preset, real, folder / "toy", has_cuda()), sort_keys=False), "utf-8")
    toy = save_toy(real.training.base_model, folder / "toy", real.training.trust_remote_code, real.seed)
    run = open_run(str(path))
    try:
        run_all(run, str(path), None)
    except (UserError, NotebookFailed) as error:
        stage = next((s.name for s in STAGES if s.name not in run.read_manifest().get("stages", {})), "the report")
        raise type(error)(f"The dry run of {real.name} stopped in {stage}: {error}") from None
    print(_summary(run, real, toy, left))


def dry_preset(preset: str, real: Params, toy: Path, on_gpu: bool) -> dict[str, Any]:
    """The preset of the dry run, as a file that extends the real one and names what is different."""
    training = real.training
    simulated = {"base_url": "sandbox:", "api_key_env": None, "requests_per_minute": None, "tokens_per_minute": None}
    return {
        "extends": str(Path(preset).resolve()) if Path(preset).is_file() else preset,
        "description": f"Dry run of {real.name}, every stage at toy width",
        "simulated": True,
        "seed": real.seed,
        "journal": None,
        "models_from": None,
        "budget_usd": None,
        "budget_calls": None,
        "prompts": "aloe/prompts",  # the simulated model knows a role by these
        "endpoints": dict.fromkeys(real.endpoints, simulated),
        **SIZES,
        "benchmark": {**SIZES["benchmark"], **_small_settings(real)},
        "personas": {**SIZES["personas"], "from_released": None},
        "trees": {**SIZES["trees"], "from_released": None, "expand_depth": min(real.trees.expand_depth, _TURNS)},
        "training": {
            "base_model": str(toy),
            "backend": training.backend if on_gpu else "auto",
            "load_in_4bit": training.load_in_4bit and on_gpu,
            "launcher": None,
            "report_to": "none" if training.report_to == "wandb" else training.report_to,
            "sft": _small_sft(training.sft),
            "dpo": _small_dpo(training.dpo),
        },
        "arms": {
            "sft": {name: {"sft": _small_sft(arm.sft)} for name, arm in (real.arms.sft or {}).items()} or None,
            "dpo": {name: {"dpo": _small_dpo(arm.dpo)} for name, arm in (real.arms.dpo or {}).items()} or None,
        },
        "evidence": _small_evidence(real.evidence),
    }


def unchecked(params: Params, on_gpu: bool) -> list[str]:
    """What a dry run on this machine cannot see, one line each; it fails here where it could not even begin.

    Raises:
        UserError: a prompt of one's own lacks a field or has one too many, the reporter is not installed, or the
            launcher does not do.
    """
    training, found = params.training, []
    for name, endpoint in params.endpoints.items():
        used = sorted({role.model for role in roles(params).values() if role.endpoint == name})
        if endpoint.in_process or not used:
            continue
        key = endpoint.api_key_env
        there = "is set" if key and os.environ.get(key, "").strip() else "is NOT set in this environment"
        found.append(f"endpoint {name} ({endpoint.base_url}): was not asked for {', '.join(used)}"
                     f"{f'; its key {key} {there}' if key else ''}")  # fmt: skip
    if (ROOT / params.prompts).resolve() != FOLDER:
        refuse_fields(ROOT / params.prompts, _unused_prompts(params))
        found.append(f"prompts in {params.prompts}: their fields are right; the simulated model was asked with the "
                     f"project's own")  # fmt: skip
    if params.personas.from_released or params.trees.from_released or params.benchmark.from_released:
        found.append("your copy of the release: it was not read; the dialogues were simulated")
    if params.models_from:
        found.append(f"the models of {params.models_from}: they were not taken; toys were trained")
    if training.report_to == "wandb":
        if importlib.util.find_spec("wandb") is None:
            raise UserError("`training.report_to` is wandb, which is not installed; install it or set it to none.")
        found.append("wandb: nothing was sent")
    if training.launcher:
        check_launcher(training)
        found.append(f"several processes ({training.launcher}): trained in one")
    if not on_gpu:
        if training.load_in_4bit:
            found.append("4-bit weights: there is no CUDA device; trained in 32-bit instead")
        if training.backend == "unsloth" or (training.backend == "auto" and not _small(params)):
            found.append("Unsloth, the GPU's memory and its speed: there is no CUDA device; `make plan` estimates")
    elif training.backend != "transformers" and choose_backend(training.backend) != "unsloth":
        found.append("Unsloth: it is not installed")
    return found


def _unused_prompts(params: Params) -> list[str]:
    """The prompts of judges that this preset does not ask with."""
    bench = params.benchmark
    asked = {SCALES[judge.scale].prompt for judge in (bench.judges or {}).values()}
    further = {scale.prompt for scale in SCALES.values()} - asked - {SCALES["levels"].prompt}
    return sorted(further | (set() if "blind" in (bench.controls or ()) else {"blind_judge"}))


def _small_settings(real: Params) -> dict[str, Any]:
    """A change of the user needs a turn before it and two after; the released benchmark is the user's own copy."""
    shift = {"n_turns": 3, "shift": {"turn": 2}} if real.benchmark.shift else {}
    return {"from_released": None, **shift}


def _small_evidence(evidence: Evidence) -> dict[str, Any]:
    """One world of each kind and effect."""
    sizes = {"n_trees": 8, "n_dev_trees": 4, "n_pairs": 0, "n_dev_pairs": 4, "n_simulators": 1, "n_judges": 1}
    return {
        "null_worlds": {"n_seeds": 1, "tree_turns": 1} if evidence.null_worlds else None,
        "trainings": {"n_seeds": 1, "cases_per_profile": 1, **sizes} if evidence.trainings else None,
    }


def _small_sft(sft: Sft) -> dict[str, Any]:
    mix = {"mix": {"share": max(sft.mix.share, MIXED)}} if sft.mix else {}
    return {"epochs": 2.0, **mix}


def _small_dpo(dpo: Dpo) -> dict[str, Any]:
    pairs = min(dpo.n_pairs, SIZES["trees"]["n_trees"] * _TURNS)
    return {"epochs": 2.0, "n_pairs": pairs, "n_dev_pairs": min(dpo.n_dev_pairs, 4)}


def refuse_fields(folder: Path, unused: Collection[str] = ()) -> None:
    """Raise a `UserError` if a prompt in `folder` is missing or has other fields than the project's own.

    Those that this run does not ask with (`unused`) need not be there.
    """
    for own in (path for path in sorted(FOLDER.glob("*.txt")) if path.stem not in unused):
        path = prompt_file(own.stem, folder)
        wanted, found = _fields(own), _fields(path)
        if wanted != found:
            raise UserError(f"{path} has the fields {', '.join(sorted(found)) or 'none'}, but they should be "
                            f"{', '.join(sorted(wanted)) or 'none'}.")  # fmt: skip


def _fields(path: Path) -> set[str]:
    try:
        parts = list(string.Formatter().parse(path.read_text(encoding="utf-8")))
    except ValueError as error:  # a lone brace, or not UTF-8
        raise UserError(f"{path}: {error}; write {{{{ and }}}} for braces that are no field.") from None
    return {field for _, field, _, _ in parts if field is not None}


def _small(params: Params) -> bool:
    """Is the base model a folder of this project, made for a CPU?"""
    return (ROOT / params.training.base_model).is_dir()


def _empty(folder: Path) -> None:
    """Make the folder anew; what was not left by a dry run is never removed.

    Raises:
        UserError: it holds something else.
    """
    if folder.is_dir() and any(folder.iterdir()) and not (folder / f"{folder.name}.yaml").is_file():
        raise UserError(f"{folder} is where the dry run goes, but it holds something else; move it away.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _summary(run: Run, real: Params, toy: Toy, left: list[str]) -> str:
    """What ran and what was not checked, for the terminal."""
    model, context = real.training.base_model, context_of(real.training.base_model)
    config = "its own configuration" if toy.own_config else "its architecture as known by its name"
    tokenizer = "its own tokenizer and chat template" if toy.own_tokenizer else "its chat format as written down here"
    room = f", room for {context:,} tokens" if context else ""
    lines = [f"weights of {model}, and your access to them"]
    if not toy.own_tokenizer:
        lines.append(f"tokenizer and chat template of {model}, which are not on this disk; once they are, a dry run "
                     f"takes them: hf download {model} {FILES}")  # fmt: skip
    return "\n".join([
        f"\nDry run of {real.name}: every stage ran, at toy width; no number above means anything.",
        f"Model: a random {toy.architecture} from {config} and {tokenizer}{room}.",
        f"Left in {run.root}; the run itself, its journal and its key were not touched.",
        "Not checked:", *(f"- {line}" for line in (*lines, *left)),
    ])  # fmt: skip
