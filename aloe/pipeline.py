"""Run the stages of a run that are not up to date, in order, then build the report.

A stage is up to date when its recipe and the hashes of its inputs are the recorded ones and its outputs are there. A
missing output makes its stage run again; later stages run only if what they read has changed. An output that is there
but is not what its stage wrote is never overwritten: a `UserError` names it and the remedy. This module does not know
what a stage computes, and imports nothing heavy unless there is something to do.
"""

import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aloe import stages
from aloe.ahead import look_ahead
from aloe.errors import NotEnough, UserError
from aloe.execution import execute, refresh_prose
from aloe.headline import note, publish, text_table
from aloe.notebook_code import prose, read_notebook
from aloe.params import ROOT
from aloe.preset_files import check_files
from aloe.provenance import fingerprint
from aloe.rendering import Stopped, build_report, report_is_current
from aloe.runs import Run
from aloe.stages import STAGES, Stage
from aloe.taking import source_of, take, taken_stages, unfinished_source
from aloe.writing import write_text

# What a stage leaves is found by looking; these are not results of a stage.
_NOT_RESULTS = ("journal", "notebooks", "report", "tensorboard", "export", "dataset", "manifest.json", "metrics.json")

# Keys of `metrics.json` that the file may have from another run which found the same, such as the published one.
_PASSING = frozenset({"cost", "seconds", "tokens_per_second"})


class _Hashes(dict[Path, str]):
    """Fingerprints, each computed once: a model is an output of one stage and an input of two."""

    def __missing__(self, path: Path) -> str:
        self[path] = fingerprint(path)
        return self[path]


def run_all(run: Run, preset: str, seed: int | None) -> None:
    """Bring every stage and the report up to date, and print the headline table.

    Args:
        run: the run, as `open_run(preset, seed)` gives it.
        preset, seed: the same once more, as the notebooks get them.

    Raises:
        NotEnough: a stage could do nothing with what the models replied; there is a report of what there is.
        UserError: a file that the preset names is wrong, its base model is not to be had, the run that it takes models
            from is not up to date, an output is damaged, or a stage found something else that the user can mend.
        NotebookFailed: a notebook stopped with another error.
    """
    check_files(run.params)
    if first := unfinished_source(run):
        print(f"{run.name} takes the models of {first.name}, which is not at its end here, so that is run first; "
              f"simulated, it costs nothing but time.\n", flush=True)  # fmt: skip
        run_all(first, str(run.params.models_from), seed)
        print(f"\nNow {run.name}:", flush=True)
    run.root.mkdir(parents=True, exist_ok=True)
    with run.run_lock():
        if run.params.models_from:
            take(run, lambda stage, source: why_to_run(stage, source, _Hashes()), refuse_damage)
        refuse_damage(run)
        restore_metrics(run)
        if any(why_to_run(stage, run, _Hashes()) for stage in STAGES[:3]):  # those before the first training
            look_ahead(run.params)
        for number, stage in enumerate(STAGES, 1):
            reason = why_to_run(stage, run, _Hashes())
            print(f"[{number}/{len(STAGES)}] {stage.name}: {reason or 'up to date'}", flush=True)
            if reason:
                try:
                    run_stage(stage, run, preset, seed)
                except NotEnough as error:
                    raise _reported(error, stage, run) from None
            elif _record(run, stage)["prose"] != prose(stage.notebook(run)):
                refresh_prose(stage.notebook(run), run.notebooks / stage.notebook(run).name)
                _note(run, stage, {**_record(run, stage), "prose": prose(stage.notebook(run))})
        if not report_is_current(run):
            print("Building the report", flush=True)
            build_report(run)
        publish(run)
        print(f"\n{text_table(run)}\n{_expense(run)}\nReport: {run.report / 'index.html'}")


def redo_analysis(run: Run, preset: str, seed: int | None) -> None:
    """Run the last stage again from saved results: its figures and its part of `metrics.json`, no model, no key.

    Raises:
        UserError: the benchmark has not been run, or an output is damaged.
        NotebookFailed: the notebook stopped with another error.
    """
    *earlier, analysis = STAGES
    with run.run_lock():
        if not _record(run, earlier[-1]):
            raise UserError(f"{run.root}: the benchmark is not done; run `{run.command()}` first.")
        refuse_damage(run)
        restore_metrics(run)
        run_stage(analysis, run, preset, seed)
        publish(run)
        print(f"\n{text_table(run)}\nFigures: {run.figures}")
        if said := outdated(run):
            print(said)


def run_stage(stage: Stage, run: Run, preset: str, seed: int | None) -> None:
    """Execute one stage's notebook and record what it read, followed from, and left.

    From its start until it is done the stage counts as not done, so that an interruption is never taken for damage.
    """
    recipe, text = stages.recipe(stage, run), prose(stage.notebook(run))
    _note(run, stage, None)
    before, started = _files(run.root), time.monotonic()
    execute(stage.notebook(run), run.notebooks / stage.notebook(run).name, {"preset": preset, "seed": seed})
    declared = [run.root / name for name in stage.writes]
    folders = tuple(path for path in declared if path.is_dir())
    changed = [path for path, state in _files(run.root).items() if before.get(path) != state]
    found = [path for path in changed if not any(path.is_relative_to(folder) for folder in folders)]
    metrics = {key: _metric(run, key) for key in stage.metrics}
    missing = [str(path) for path in declared if not path.exists()]
    missing += [f"`{key}` in {run.metrics}" for key, value in metrics.items() if value is None]
    if missing:
        raise RuntimeError(f"{stage.name} ended without writing {', '.join(missing)}")
    metrics |= {key: value for key in stage.optional_metrics(run) if (value := _metric(run, key)) is not None}
    run.record_stage(
        stage.name, stages.inputs(stage, run), sorted({*declared, *found}), recipe=recipe, prose=text, metrics=metrics,
        seconds=round(time.monotonic() - started, 1), peak_memory_mb=_peak_memory(),
    )  # fmt: skip


def forget_stage(stage: Stage, run: Run) -> None:
    """Count a stage as not done, before its outputs are written by somebody else than its notebook."""
    _note(run, stage, None)


def why_to_run(stage: Stage, run: Run, hashes: Mapping[Path, str]) -> str | None:
    """The reason to run a stage, in a few words; None if it is up to date."""
    record = _record(run, stage)
    if not record:
        return "not done yet"
    missing = [name for name in record["outputs"] if not (run.root / name).exists()]
    missing += [] if (run.notebooks / stage.notebook(run).name).is_file() else [f"notebooks/{stage.notebook(run).name}"]
    if missing:
        return f"{missing[0]} is missing"
    recipe = stages.recipe(stage, run)
    changed = sorted(part for part in {*recipe, *record["recipe"]} if recipe.get(part) != record["recipe"].get(part))
    now = {_short(path, run): hashes[path] if path.exists() else None for path in stages.inputs(stage, run)}
    changed += sorted(name for name in {*now, *record["inputs"]} if now.get(name) != record["inputs"].get(name))
    return f"changed: {', '.join(changed[:3])}{' and more' if changed[3:] else ''}" if changed else None


def outdated(run: Run) -> str | None:
    """What to know of a run's numbers before reading them: stages to run (again); None if it is up to date."""
    if said := note(run.root):
        return said
    hashes = _Hashes()
    reasons = {stage.name: why_to_run(stage, run, hashes) for stage in STAGES}
    first = next((f"{name} ({reason})" for name, reason in reasons.items() if reason), None)
    if first is None:
        return None
    return (f"Note: {run.root} was made before something changed; to be run again, from {first}. Until "
            f"`{run.command()}` has done that, its numbers are the earlier ones.")  # fmt: skip


def refuse_damage(run: Run) -> None:
    """Raise a `UserError` if an output is there but differs from what its stage wrote. Nothing is touched."""
    for stage in STAGES:
        record = _record(run, stage)
        for name, digest in record.get("outputs", {}).items():
            path = run.root / name
            if path.exists() and fingerprint(path) != digest:
                raise UserError(
                    f"{path} is not what stage {stage.name} wrote: its content has changed since. Nothing was "
                    f"overwritten. Put the right file back, or remove it (rm -r '{path}') to have it made again."
                )
        if (executed := run.notebooks / f"{stage.name}.ipynb").is_file():
            read_notebook(executed)
        for key, value in record.get("metrics", {}).items():
            found = _metric(run, key)
            if found is not None and _lasting({key: found}) != _lasting({key: value}):
                raise UserError(
                    f"{run.metrics}: `{key}` is not what stage {stage.name} wrote. Nothing was overwritten. Put the "
                    f"right file back, or remove it (rm '{run.metrics}') to have it made again."
                )


def restore_metrics(run: Run) -> None:
    """Put sections that are gone from `metrics.json` back from the manifest, which holds them stage by stage."""
    for stage in STAGES:
        for key, value in _record(run, stage).get("metrics", {}).items():
            if _metric(run, key) is None:
                section, _, rest = key.partition(".")
                run.update_metrics({section: {rest: value} if rest else value})


def _reported(error: NotEnough, stage: Stage, run: Run) -> NotEnough:
    """The error with the place of a report of what there is; the report of a run that was once finished stays."""
    if run.read_manifest().get("stages", {}).get("report"):
        return error
    print("Building the report of what there is", flush=True)
    build_report(run, Stopped(stage.name, str(error)))
    return NotEnough(f"{error}\nReport: {run.report / 'index.html'}")


def _record(run: Run, stage: Stage) -> dict[str, Any]:
    record: dict[str, Any] = run.read_manifest().get("stages", {}).get(stage.name, {})
    return record


def _note(run: Run, stage: Stage, record: dict[str, Any] | None) -> None:
    """Replace a stage's record in the manifest, or remove it."""
    manifest = run.read_manifest()
    records = {**manifest.get("stages", {}), stage.name: record}
    manifest["stages"] = {name: value for name, value in records.items() if value is not None}
    write_text(run.manifest, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _peak_memory() -> int:
    """Resident memory, in MB, of the largest process that this one has started and seen end, until now."""
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return round(largest / (1e6 if sys.platform == "darwin" else 1e3))


def _expense(run: Run) -> str:
    """What the stages took, those apart that another run did (`models_from`), and the memory of the largest process."""
    theirs = taken_stages(run)
    records = {stage.name: record for stage in STAGES if (record := _record(run, stage))}
    spent = [sum(record.get("seconds", 0) for name, record in records.items() if (name in theirs) is taken)
             for taken in (False, True)]  # fmt: skip
    own, other = ("{} min {:02d} s".format(*divmod(round(seconds), 60)) for seconds in spent)
    before = f", and {other} in {source_of(run).name} before" if theirs else " in all"
    largest = max((record.get("peak_memory_mb", 0) for record in records.values()), default=0)
    return f"Stages: {own}{before}; largest process {largest / 1e3:.1f} GB."


def _metric(run: Run, key: str) -> Any:
    value: Any = run.read_metrics() if run.metrics.is_file() else {}
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _lasting(value: Any) -> Any:
    """A part of `metrics.json` without what differs between two runs that found the same: costs and times."""
    if isinstance(value, dict):
        return {key: _lasting(part) for key, part in value.items() if key not in _PASSING}
    return value


def _short(path: Path, run: Run) -> str:
    for base in (run.root, ROOT):
        if path.is_relative_to(base):
            return path.relative_to(base).as_posix()
    return path.name


def _files(root: Path) -> dict[Path, tuple[int, int]]:
    """Every result file under a run's folder with its time of change and its size in bytes."""
    found = {}
    for path in root.rglob("*"):
        parts = path.relative_to(root).parts
        if parts[0] not in _NOT_RESULTS and not any(part.startswith(".") for part in parts) and path.is_file():
            found[path] = (path.stat().st_mtime_ns, path.stat().st_size)
    return found
