"""What one run is made of: `params/<preset>.yaml` becomes `Params`.

In: a preset's name or the path of a YAML file, and optionally a seed that replaces the file's. Out: `Params`.
Every key that has no default in `sections` is required, unless the file extends another one; unknown, missing,
mistyped, out-of-range and contradictory values are a `UserError` that names file and key. The run is named after the
file. This module does not know what the stages do with the values.
"""

import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any

from aloe.contradictions import contradiction
from aloe.errors import UserError
from aloe.preset_data import over, spelled_out
from aloe.recipes import applied
from aloe.sections import (
    Benchmark,
    Count,
    Endpoint,
    EndpointPolicy,
    FurtherJudge,
    Personas,
    Planted,
    Positive,
    ReleasedPool,
    Role,
    Roles,
    Sandbox,
    Trees,
)
from aloe.strict_yaml import Range, build, read_mapping
from aloe.training_sections import NO_ARMS, Arms, Dpo, DpoArm, Mix, Sft, SftArm, Training
from aloe.world_sections import NO_EVIDENCE, Evidence

ROOT = Path(__file__).resolve().parent.parent
PRESETS = ROOT / "params"

__all__ = [
    "PRESETS", "ROOT", "Arms", "Benchmark", "Dpo", "DpoArm", "Endpoint", "EndpointPolicy", "Evidence", "FurtherJudge",
    "Mix", "Params", "Personas", "Planted", "ReleasedPool", "Role", "Roles", "Sandbox", "Sft", "SftArm", "Training",
    "Trees", "load_params", "presets",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Params:
    """One run. `name` is the file's name; `simulated` whether replies come from the sandbox; `prompts` is a folder.

    `journal` names the run whose journal is used (None: its own), so that runs that ask the same pay once.
    `models_from` names a finished run whose personas, dialogues and models are taken instead of made (`taking`).
    The run stops before it costs more than `budget_usd` or makes more than `budget_calls` calls, those of its journal
    counted.
    `allow_self_judging` lets a model judge replies of its own family.
    """

    name: str
    description: str
    simulated: bool
    seed: Annotated[int, Range(0, 2**31 - 1)]
    prompts: str
    endpoints: dict[str, Endpoint]
    roles: Roles
    sandbox: Sandbox
    personas: Personas
    trees: Trees
    training: Training
    benchmark: Benchmark
    arms: Arms = NO_ARMS
    evidence: Evidence = NO_EVIDENCE
    journal: str | None = None
    models_from: str | None = None
    budget_usd: Positive | None = None
    budget_calls: Count | None = None
    allow_self_judging: bool = False


def presets() -> list[str]:
    """The names of the presets that are shipped."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_params(preset: str, seed: int | None = None) -> Params:
    """Read and check a preset.

    Args:
        preset: a name from `params/`, or the path of a YAML file of your own.
        seed: replaces the file's `seed`.

    Raises:
        UserError: there is no such preset, or a key of it is wrong (file and key are named).
    """
    path = _locate(preset)
    data = _read(path, ())
    if seed is not None:
        data["seed"] = seed
    return _build(data, path)


def _read(path: Path, below: tuple[Path, ...]) -> dict[str, Any]:
    """The keys of a preset file: its own over those of the file that it extends, section by section."""
    own = read_mapping(path)
    if "name" in own:
        raise UserError(f"{path}: unknown key `name`; a run is named after its file, so remove the line.")
    if path in below:
        raise UserError(f"{path}: `extends` leads back to this file.")
    parent = own.pop("extends", None)
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise UserError(f"{path}: `extends` should be a preset's name or the path of a file.")
    above = _locate(parent)
    data = _read(above, (*below, path))
    _build(data, above)
    return over(data, own)


def _build(data: dict[str, Any], path: Path) -> Params:
    params = _resolved(build(Params, {"name": path.stem, **spelled_out(data, path)}, path))
    problem = contradiction(params)
    if problem:
        raise UserError(f"{path}: {problem}")
    return params


def _resolved(params: Params) -> Params:
    """The same with the values that a recipe puts in place of those of `dpo`."""
    training, dpo = params.training, params.arms.dpo
    training = dataclasses.replace(training, dpo=applied(training.recipe, training.dpo))
    if dpo:
        dpo = {name: dataclasses.replace(arm, dpo=applied(arm.recipe, arm.dpo)) for name, arm in dpo.items()}
    return dataclasses.replace(params, training=training, arms=dataclasses.replace(params.arms, dpo=dpo))


def _locate(preset: str) -> Path:
    if not preset.endswith((".yaml", ".yml")):
        if preset in presets():
            return PRESETS / f"{preset}.yaml"
        raise UserError(f"There is no preset {preset!r} in {PRESETS}; there are {', '.join(presets())}.")
    path = next((p.resolve() for p in (Path(preset), ROOT / preset) if p.is_file()), None)
    if path is None:
        raise UserError(f"The preset file {preset} does not exist; the shipped presets are {', '.join(presets())}.")
    if path.parent != PRESETS and path.stem in presets():
        raise UserError(f"{path}: a run is named after its file, and {path.stem!r} is a shipped preset; rename yours.")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", path.stem):
        raise UserError(f"{path}: a run is named after its file; use letters, digits, '.', '_' and '-' only.")
    return path
