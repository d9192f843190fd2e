"""A run that takes the personas, dialogues and models of another one instead of making its own.

In: a run whose preset names another (`models_from`), and who says whether a stage is up to date. Out: what the stages
before the benchmark left there, linked into this run (copied where the disk has no links), with their records, so that
they count as done. Where this preset has further arms, the models are taken and the arms are left to the notebook.
Nothing is taken that this preset would have made otherwise. This module computes nothing itself.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aloe.errors import UserError
from aloe.launching import jobs, note
from aloe.recipes import TrainingStage
from aloe.runs import Run, command_of, open_run
from aloe.stages import STAGES, Stage
from aloe.writing import explained_disk_errors, write_text

TAKEN = STAGES[:5]


def source_of(run: Run) -> Run:
    """The run that is taken from: its folder with *this* run's parameters, by which its stages are then judged.

    A run with a seed given takes from the other run with the same seed.
    """
    suffix = run.name.removeprefix(run.params.name)
    name = f"{run.params.models_from}{suffix}"
    seed = run.params.seed if suffix else None
    return Run(name, run.params, run.root.with_name(name), command_of(str(run.params.models_from), seed))


def unfinished_source(run: Run) -> Run | None:
    """The simulated run that a simulated one takes from, if that lacks a stage: it can be run first, for time alone.

    None where nothing is taken, all is there, or a real model might be asked and paid.
    """
    if not run.params.models_from or not run.params.simulated:
        return None
    named = source_of(run)
    own = open_run(run.params.models_from, run.params.seed if named.name != run.params.models_from else None,
                   run.root.parent)  # fmt: skip
    done = own.read_manifest().get("stages", {}) if own.manifest.is_file() else {}
    return own if own.params.simulated and not {stage.name for stage in TAKEN} <= set(done) else None


def take(run: Run, why_to_run: Callable[[Stage, Run], str | None], refuse_damage: Callable[[Run], None]) -> None:
    """Bring what stands in for the stages before the benchmark up to date with the run that is taken from.

    Raises:
        UserError: the other run is not there, is in use, is damaged, or has a stage that is not up to date for the
            parameters of this run; the stage and the reason are named, and nothing is changed.
    """
    source = source_of(run)
    if not source.manifest.is_file():
        raise UserError(f"{source.root} has no models to take (`models_from`); run `{source.command()}` first.")
    with source.run_lock():
        for stage in TAKEN:
            if (reason := why_to_run(stage, source)) and reason != _only_arms(stage):
                raise UserError(f"{source.root}: {stage.name} is not what {run.params.name} takes (`models_from`): "
                                f"{reason}. Run `{source.command()}`; if it stays so, the two presets differ in what "
                                f"comes before the benchmark, so set `models_from` to null.")  # fmt: skip
        theirs, ours = (each.read_manifest().get("stages", {}) for each in (source, run))
        part = {stage for stage in TAKEN if why_to_run(stage, source)}  # the arms of this run are still to be trained
        new = [stage for stage in TAKEN if stage not in part
               and not _is_here(run, stage, ours.get(stage.name), theirs[stage.name])]  # fmt: skip
        if new or part:
            refuse_damage(source)
        for stage in new:
            _take_stage(run, source, stage, theirs[stage.name])
        begun = [stage for stage in TAKEN if stage in part and why_to_run(stage, run)]
        for stage in begun:
            _take_policies(run, source, stage, theirs[stage.name])
    if new:
        print(f"Taken from {source.root}: {', '.join(stage.name for stage in new)}", flush=True)
    if begun:
        print(f"Taken from {source.root}: all but the arms of {', '.join(stage.name for stage in begun)}", flush=True)


def taken_stages(run: Run) -> set[str]:
    """The stages that this run has from another one, by what both manifests say; none where nothing is taken."""
    if not run.params.models_from or not (source := source_of(run)).manifest.is_file():
        return set()
    ours, theirs = (each.read_manifest().get("stages", {}) for each in (run, source))
    return {stage.name for stage in TAKEN if stage.name in ours and ours[stage.name] == theirs.get(stage.name)}


def _is_here(run: Run, stage: Stage, own: dict[str, Any] | None, record: dict[str, Any]) -> bool:
    """Was this very result taken before, and is it still there?"""
    names = [*record["outputs"], f"notebooks/{stage.notebook(run).name}"]
    return own == record and all((run.root / name).exists() for name in names)


def _take_stage(run: Run, source: Run, stage: Stage, record: dict[str, Any]) -> None:
    for name in (*record["outputs"], f"notebooks/{stage.notebook(run).name}"):
        _link(source.root / name, run.root / name)
    for key, value in record.get("metrics", {}).items():
        section, _, rest = key.partition(".")
        run.update_metrics({section: {rest: value} if rest else value})
    manifest = run.read_manifest()
    manifest.setdefault("stages", {})[stage.name] = record
    write_text(run.manifest, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _only_arms(stage: Stage) -> str:
    """The reason to run a training stage that another run has done as this one would, but for this one's arms."""
    return f"changed: params arms.{stage.name.rpartition('_')[2]}"


def _take_policies(run: Run, source: Run, stage: Stage, record: dict[str, Any]) -> None:
    """Link what a training stage left, and note its policies as trained: its notebook then trains the arms alone."""
    manifest = run.read_manifest()
    if manifest.get("stages", {}).pop(stage.name, None):  # else what is linked here would count as damage to it
        write_text(run.manifest, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    for name in record["outputs"]:
        _link(source.root / name, run.root / name)
    metrics = source.read_metrics().get("training", {})
    kind: TrainingStage = "sft" if stage.name.endswith("_sft") else "dpo"
    for job in jobs(run, kind):
        if job.name not in run.params.arms.reference():
            note(job, metrics[job.name], metrics[job.name]["settings"]["processes"])


def _link(path: Path, target: Path) -> None:
    """The same file, or a folder of the same files, at another place; what stood there goes."""
    with explained_disk_errors(target):
        if path.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(path, target, copy_function=_link_file)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        _link_file(str(path), str(target))


def _link_file(path: str, target: str) -> None:
    try:
        os.link(path, target)
    except OSError:  # another disk, or one that knows no links
        shutil.copy2(path, target)
