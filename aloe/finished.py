"""Is a run finished, and do its numbers belong to the weights that stand there?

In: a run and a policy. Out: what was noted and measured, for those who pass it on; or a sentence that says what is
missing. Looked at are the manifest, hashes, and whether the preset still says what the run was made with. This module
computes nothing and changes nothing.
"""

from typing import Any, NamedTuple

from aloe.errors import UserError
from aloe.headline import finished_metrics
from aloe.provenance import fingerprint
from aloe.runs import Run
from aloe.stages import STAGES, recipe


class Finished(NamedTuple):
    """`metrics.json` and `manifest.json`, the record of the stage that trained the policy, and hash of its weights."""

    metrics: dict[str, Any]
    manifest: dict[str, Any]
    record: dict[str, Any]
    digest: str


def finished(run: Run, policy: str) -> Finished:
    """What is known of a trained policy of a finished run.

    Raises:
        UserError: a stage is not done, the preset has changed since, the policy was not trained in this run, or
            weights, conversations or numbers are not those of the benchmark.
    """
    again = f"run `{run.command()}` first"
    metrics, manifest = finished_metrics(run), run.read_manifest()
    records = manifest.get("stages", {})
    for stage in STAGES:
        if stage.name not in records:
            raise UserError(f"{run.root}: stage {stage.name} is not done; {again}.")
        changed = [key for key, value in recipe(stage, run).items()
                   if key.startswith("params ") and records[stage.name]["recipe"].get(key) != value]  # fmt: skip
        if changed:
            raise UserError(f"{run.root} was made with other values of `{changed[0].removeprefix('params ')}` than the "
                            f"preset has now; put them back, or {again}.")  # fmt: skip
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
