"""Is a run finished, and do its numbers belong to the weights that stand there?

In: a run and a policy. Out: what was noted and measured, for those who pass it on; or a sentence that says what is
missing. Looked at are the manifest, hashes, and whether the preset still says what the run was made with. This module
computes nothing and changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aloe.errors import UserError
from aloe.headline import finished_metrics
from aloe.provenance import fingerprint
from aloe.runs import Run
from aloe.stages import STAGES, Stage, recipe


class Finished(NamedTuple):
    """`metrics.json` and `manifest.json`, the record of the stage that trained the policy, and hash of its weights."""

    metrics: dict[str, Any]
    manifest: dict[str, Any]
    record: dict[str, Any]
    digest: str


def done(run: Run, stages: Sequence[Stage], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest says of each stage, where these were all run with the values that the preset has now.

    Raises:
        UserError: one of the stages is not done, or the preset has changed since.
    """
    records: dict[str, Any] = manifest.get("stages", {})
    for stage in stages:
        if stage.name not in records:
            raise UserError(f"{run.root}: stage {stage.name} is not done; run `{run.command()}` first.")
        changed = [key for key, value in recipe(stage, run).items()
                   if key.startswith("params ") and records[stage.name]["recipe"].get(key) != value]  # fmt: skip
        if changed:
            raise UserError(f"{run.root} was made with other values of `{changed[0].removeprefix('params ')}` than the "
                            f"preset has now; put them back, or run `{run.command()}` first.")  # fmt: skip
    return records


def finished(run: Run, policy: str) -> Finished:
    """What is known of a trained policy of a finished run.

    Raises:
        UserError: a stage is not done, the preset has changed since, the policy was not trained in this run, or
            weights, conversations or numbers are not those of the benchmark.
    """
    again = f"run `{run.command()}` first"
    metrics, manifest = finished_metrics(run), run.read_manifest()
    records = done(run, STAGES, manifest)
    own = f"models/{policy}"
    known = [name for name in metrics.get("training", {}) if name in metrics["benchmark"]["policies"]]
    if policy not in known:
        raise UserError(f"{run.root} has trained no policy {policy!r} and put it on the benchmark; there are "
                        f"{', '.join(known) or 'none'}.")  # fmt: skip
    benchmark, analysis = records[STAGES[-2].name], records[STAGES[-1].name]
    digest = fingerprint(run.model(policy))
    for path, found, noted in (
        (run.model(policy), digest, benchmark["inputs"].get(own)),
        (run.transcripts, fingerprint(run.transcripts), analysis["inputs"].get("benchmark/transcripts.jsonl")),
        (run.metrics, metrics["benchmark"], analysis["metrics"].get("benchmark")),
    ):
        if found != noted:
            raise UserError(f"{path} is not what the last stages of the run were made from or wrote; {again}.")
    # The study's own policies are noted as folders, those of arms file by file.
    trained = (records[stage.name] for stage in STAGES
               if any(f"{name}/".startswith(f"{own}/") for name in records[stage.name]["outputs"]))  # fmt: skip
    return Finished(metrics, manifest, next(trained), digest)
