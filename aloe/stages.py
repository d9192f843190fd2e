"""The seven stages as data, and what decides whether one is up to date.

A stage is a notebook, the sections of the preset that it reads, the files that it reads, and the files that it leaves.
In: a run. Out: the *recipe* of a stage: hashes of its notebook's code, its parameters, and the sources of the modules
of `aloe` that the notebook imports, directly or not. Comments, docstrings and layout of code do not count, nor do
modules that only carry values, write files or draw. This module runs nothing.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from aloe.notebook_code import code_cells, imported_modules, module_path, sha, source_hash
from aloe.params import ROOT
from aloe.provenance import fingerprint
from aloe.recipes import TrainingStage, switches
from aloe.runs import Run
from aloe.scales import SCALES
from aloe.strategies import prompts_of

NOTEBOOKS = ROOT / "notebooks"
RELEASED = NOTEBOOKS / "released"
# Modules that carry values and bytes, start processes, or draw: an edit there changes no result and retrains no model.
PLUMBING = frozenset(
    "base_models benchmark_contradictions clients contradictions errors families folders journal launching locks"
    " notebook_code pace params preset_data prices provenance resuming room runs show spending stages strict_yaml talk"
    " tree_figure tree_svg calibration_figure quiet sections training_sections world_sections pool_figures"
    " training_log watching audit_figures evidence_figures writing".split()
)
# Modules that decide in these stages only, whoever else imports them: elsewhere they are plumbing too. The switches of
# a preset are compared as values; the two stages of training also show the words on them, and cut at their lengths.
ONLY_IN = {
    "figures": {"07_aloe_analysis"},
    "control_figure": {"07_aloe_analysis"},
    "judge_figure": {"07_aloe_analysis"},
    "probe_figure": {"07_aloe_analysis"},
    "figure_style": {"07_aloe_analysis"},
    "findings": {"07_aloe_analysis"},
    "strategies": {"06_aloe_benchmark"},
    "tables": {"07_aloe_analysis"},
    "recipes": {"04_sft", "05_dpo"},
}


@dataclasses.dataclass(frozen=True)
class Stage:
    """One notebook. Paths in `reads` are keys of the preset that hold one (`params:...`), prompts of its folder
    (`prompt:...`), those of the endpoint policies' strategies and of further judges' scales (`prompts:...`), parts of
    the repository (`repo:...`), the models of arms (`arms:...`), what the worlds beside a run left (`worlds:...`), or
    outputs of earlier stages (`probed:...`, `judged:...`: what is there where policies are probed, or where there are
    further judges);
    `writes` and `metrics` are what must be there when it is done, `perhaps` keys that it writes for some presets.
    """

    name: str
    params: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    metrics: tuple[str, ...] = ()
    perhaps: tuple[str, ...] = ()

    def optional_metrics(self, run: Run) -> tuple[str, ...]:
        """Keys of `metrics.json` that are this stage's where they are there: `perhaps`, and the trainings of arms."""
        arms = {"04_sft": run.params.arms.sft, "05_dpo": run.params.arms.dpo}.get(self.name)
        return (*self.perhaps, *(f"training.{name}" for name in arms or ()))

    def notebook(self, run: Run) -> Path:
        """The notebook's source: that which reads instead of asking, where a run starts from a copy of the release."""
        personas, trees = run.params.personas.from_released, run.params.trees.from_released
        reads = {"02_persona_expansion": personas or trees, "03_dialogue_trees": trees}.get(self.name)
        return (RELEASED if reads else NOTEBOOKS) / f"{self.name}.ipynb"


_SEEDS = ("params:personas.seed_profiles", "params:personas.seed_personalities")
_BENCHMARK = ("params:personas.benchmark_profiles", "params:personas.benchmark_personalities")
_SETTINGS = ("params:benchmark.slots", "params:benchmark.from_released.profiles",
             "params:benchmark.from_released.personalities")  # fmt: skip
_RELEASED = ("params:personas.from_released.profiles", "params:personas.from_released.personalities",
             "params:trees.from_released")  # fmt: skip
_POLICY = tuple(f"training.{key}" for key in (
    "backend", "base_model", "method", "lora_rank", "lora_alpha", "dtype", "load_in_4bit", "trust_remote_code",
    "max_length"))  # fmt: skip


def _recipe(stage: TrainingStage) -> tuple[str, ...]:
    """The switches that decide about a training, and its arms."""
    return (*(f"training.recipe.{name}" for name in switches(stage)), f"arms.{stage}")


_DIALOGUE_ROLES = ("user", "inducer", "hinted_responder", "plain_responder", "preference_judge")
_DIALOGUE_PROMPTS = tuple(f"prompt:{role}" for role in _DIALOGUE_ROLES)

STAGES = (
    Stage("01_persona_seeds", ("seed", "personas"), (*_SEEDS, *_BENCHMARK, "repo:aloe/data/near_duplicates.jsonl"),
          ("personas/calibration.json",)),
    Stage(
        "02_persona_expansion",
        ("seed", "personas", "trees.from_released", "roles.persona_writer", "sandbox"),
        (*_SEEDS, *_BENCHMARK, *_RELEASED, "prompt:persona_profiles", "prompt:persona_personalities",
         "personas/calibration.json", "repo:aloe/data/attributes.yaml", "repo:aloe/data/unsafe.txt"),
        ("personas/profiles.jsonl", "personas/personalities.jsonl", "personas/personas.jsonl"),
        ("personas", "unparseable.persona_writer"),
    ),
    Stage(
        "03_dialogue_trees",
        ("seed", "trees", *(f"roles.{role}" for role in _DIALOGUE_ROLES), "sandbox"),
        ("personas/personas.jsonl", "params:trees.from_released", *_DIALOGUE_PROMPTS,
         "repo:aloe/data/marked_messages.jsonl", "repo:aloe/data/rule_errors.yaml"),
        ("trees/trees.jsonl",),
        ("trees", "unparseable.inducer", "unparseable.preference_judge"),
    ),
    Stage(
        "04_sft",
        ("seed", *_POLICY, "training.sft", *_recipe("sft")),
        ("trees/trees.jsonl", "params:training.base_model", "params:training.sft.mix.path"),
        ("models/base", "models/sft_preferred", "models/sft_rejected"),
        ("training.sft_preferred", "training.sft_rejected"),
    ),
    Stage(
        "05_dpo",
        ("seed", *_POLICY, "training.dpo", *_recipe("dpo")),
        ("trees/trees.jsonl", "models/base", "models/sft_preferred"),
        ("models/dpo",),
        ("training.dpo",),
    ),
    Stage(
        "06_aloe_benchmark",
        ("seed", *_POLICY, "benchmark", "benchmark.judges", "roles.user", "roles.alignment_judge", "sandbox",
         "evidence"),
        (*_BENCHMARK, *_SETTINGS, "models/base", "models/sft_preferred", "models/sft_rejected", "models/dpo",
         "arms:sft", "arms:dpo", *(f"prompt:{name}" for name in ("user", "told", "alignment_judge", "plain_responder")),
         "prompt:blind_judge", "prompt:probe", "prompts:strategies", "prompts:judges",
         "probed:aloe/data/trait_families.yaml"),
        ("benchmark/transcripts.jsonl", "benchmark/scores.parquet"),
        ("cost", "unparseable.alignment_judge"),
        ("fallbacks", "unparseable.probe"),
    ),
    Stage(
        "07_aloe_analysis",
        ("name", "simulated", "seed", "benchmark", "arms", "evidence"),
        (*_BENCHMARK, *_SETTINGS, "trees/trees.jsonl", "benchmark/transcripts.jsonl", "benchmark/scores.parquet",
         "worlds:null_worlds", "worlds:trainings", "probed:benchmark/probe.jsonl",
         "probed:benchmark/knowledge.parquet", "judged:benchmark/further_verdicts.parquet"),
        ("figures/al_curves.svg", "figures/al_curves.png"),
        ("benchmark",),
    ),
)  # fmt: skip


def recipe(stage: Stage, run: Run) -> dict[str, str]:
    """What the stage's result follows from besides its input files: one hash per part, `code`, `params ...`, `aloe...`.

    Two recipes are compared part by part, so that a reader is told which part changed.
    """
    parts = {"code": sha(json.dumps(code_cells(stage.notebook(run))))}
    parts |= {f"params {key}": sha(json.dumps(_value(run, key), sort_keys=True)) for key in stage.params}
    skipped = PLUMBING | {name for name, stages in ONLY_IN.items() if stage.name not in stages}
    evidence = run.params.evidence
    worlds = {"aloe.worlds": evidence.null_worlds, "aloe.trained_worlds": evidence.trainings}
    unused = {name for name, section in worlds.items() if section is None}
    for name in sorted(imported_modules(code_cells(stage.notebook(run)), run.params.simulated, unused)):
        if name.removeprefix("aloe.") not in skipped:
            parts[name] = source_hash(module_path(name))
    if run.params.simulated and any(name.startswith("aloe.sandbox") for name in parts):
        parts["aloe/sandbox/world"] = fingerprint(ROOT / "aloe" / "sandbox" / "world")
    return parts


def inputs(stage: Stage, run: Run) -> list[Path]:
    """The files and folders that the stage reads; a base model that is the id of a hub has none."""
    paths = []
    for entry in stage.reads:
        kind, _, rest = entry.rpartition(":")
        if kind == "params":
            value = _value(run, rest)
            path = ROOT / str(value)
            if value is not None and (path.exists() or rest != "training.base_model"):
                paths.append(path)
        elif kind == "arms":
            paths += [run.model(name) for name in getattr(run.params.arms, rest) or {}]
        elif kind == "worlds":
            worlds = {"null_worlds": run.null_worlds, "trainings": run.trained_worlds}
            paths += [worlds[rest]] if getattr(run.params.evidence, rest) else []
        elif kind == "probed":
            place = (ROOT if rest.startswith("aloe/") else run.root) / rest
            paths += [place] if run.params.benchmark.probe else []
        elif kind == "prompts":
            paths += [ROOT / run.params.prompts / f"{name}.txt" for name in sorted(_further_prompts(run, rest))]
        elif kind == "judged":
            paths += [run.root / rest] if run.params.benchmark.judges else []
        elif kind == "prompt":
            wanted = {"blind_judge": "blind" in (run.params.benchmark.controls or ()),
                      "probe": bool(run.params.benchmark.probe)}  # fmt: skip
            if wanted.get(rest, True):  # else it need not be there
                paths.append(ROOT / run.params.prompts / f"{rest}.txt")
        else:
            paths.append((ROOT if kind == "repo" else run.root) / rest)
    return paths


def _further_prompts(run: Run, what: str) -> set[str]:
    """The prompts of what a preset adds: `strategies` of policies behind an endpoint, scales of further `judges`."""
    bench = run.params.benchmark
    if what == "judges":
        return {SCALES[judge.scale].prompt for judge in (bench.judges or {}).values()}
    return {name for policy in (bench.endpoint_policies or {}).values() for name in prompts_of(policy.strategy)}


def _value(run: Run, key: str) -> Any:
    """A value of the preset by its dotted key; a role comes with the address of its endpoint."""
    value: Any = run.params
    for part in key.split("."):
        value = None if value is None else getattr(value, part)
    if key.startswith("roles."):
        roles = value if isinstance(value, tuple) else (value,)
        return [[run.params.endpoints[role.endpoint].base_url, role.decides()] for role in roles]
    if key == "benchmark.judges":
        asked = {name: run.params.endpoints[judge.endpoint] for name, judge in (value or {}).items()}
        return {name: [end.base_url, end.planted.given() if end.planted else {}] for name, end in asked.items()}
    if isinstance(value, dict):
        return {name: dataclasses.asdict(item) for name, item in value.items()}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
