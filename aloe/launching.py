"""Trainings in several processes: started from a notebook, which shows them; or done before it, and taken up.

In: a job, which is the training of one policy. Out: its summary, as if it had been done in this process. `aloe.train`,
which every process runs, leaves a record of what a training followed from and of the policy that it wrote; one that
still holds is not trained again. This module does not know how a training is done.
"""

import codecs
import contextlib
import dataclasses
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from aloe import stages
from aloe.errors import UserError
from aloe.params import ROOT, presets
from aloe.processes import cores
from aloe.provenance import fingerprint
from aloe.recipes import TrainingStage
from aloe.records import Reply
from aloe.runs import Run
from aloe.strict_yaml import read_mapping
from aloe.writing import write_text

MODULE = "aloe.train"  # what every process runs
JOB, SAID, BARS, NOISE = "job.pickle", "said", "bars", "noise"  # what a notebook and its processes hand to each other
LOOK = 0.3  # seconds between two looks at what they have said
PATIENCE = 30.0  # seconds that processes have to end when they are told to
LAST_LINES = 15


class Job(NamedTuple):
    """The training of the policy `name`; `which` replies it learns from is of SFT alone."""

    run: Run
    stage: TrainingStage
    name: str
    which: Reply = "preferred"


def jobs(run: Run, stage: TrainingStage) -> list[Job]:
    """The trainings of a stage, in the order of its notebook."""
    own = [Job(run, "sft", "sft_preferred"), Job(run, "sft", "sft_rejected", "rejected"), Job(run, "dpo", "dpo")]
    return [*(job for job in own if job.stage == stage), *arms(run, stage)]


def arms(run: Run, stage: TrainingStage) -> list[Job]:
    """Those of the stage's arms, each with its own section in place of the preset's; none for a preset without arms."""
    found = []
    for name, arm in (getattr(run.params.arms, stage) or {}).items():
        training = dataclasses.replace(run.params.training, **vars(arm))
        own = dataclasses.replace(run, params=dataclasses.replace(run.params, training=training))
        found.append(Job(own, stage, name))
    return found


def note(job: Job, summary: dict[str, Any], processes: int) -> None:
    """Leave the record of a training that is done: for the notebook that started it, or for one that comes later."""
    record = {"follows_from": _follows_from(job), "policy": fingerprint(job.run.model(job.name)),
              "processes": processes, "summary": summary}  # fmt: skip
    write_text(job.run.trained(job.name), json.dumps(record, indent=1, allow_nan=False) + "\n")


def taken_up(job: Job) -> dict[str, Any] | None:
    """The summary of a training that several processes have done before; None if it is still to be done.

    A record that holds no longer is removed, and a printed line says why.
    """
    path, policy = job.run.trained(job.name), job.run.model(job.name)
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    now, then = _follows_from(job), record["follows_from"]
    changed = sorted(part for part in {*now, *then} if now.get(part) != then.get(part))
    if not changed and policy.is_dir() and fingerprint(policy) == record["policy"]:
        processes = f"{record['processes']} process{'' if record['processes'] == 1 else 'es'}"
        print(f"{job.name}: was trained in {processes} before, and is taken up.", flush=True)
        return dict(record["summary"])
    why = f"changed: {', '.join(changed[:3])}" if changed else f"{policy} is not what it wrote"
    print(f"{job.name}: was trained before, but is trained again ({why}).", flush=True)
    path.unlink()
    return None


def launch(job: Job, launcher: str) -> dict[str, Any]:
    """Train in the processes that a configuration of Accelerate describes, and show what the first of them says.

    They end with this process, however it ends.

    Args:
        job: what to train.
        launcher: the file, relative to the repository.

    Raises:
        UserError: what the first process that failed said; or the file cannot be read, or is for several machines.
        RuntimeError: a process ended with a fault of this project, or was killed; its last lines.
    """
    settings = read_mapping(ROOT / launcher)
    if settings.get("num_machines", 1) > 1:
        raise UserError(f"{job.name} is to be trained on {settings['num_machines']} machines ({launcher}), and this "
                        f"one can start its own processes only. Run `{by_hand(job, launcher)}` on each of them, then "
                        f"this again: what was trained is taken up.")  # fmt: skip
    job.run.trained(job.name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="aloe-") as folder:
        place = Path(folder)
        (place / JOB).write_bytes(pickle.dumps(job))
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(ROOT / launcher)]
        command += ["--main_process_port", "0", "--module", MODULE, "--handed", str(place)]
        code = _follow(command, _environment(settings.get("num_processes", 1)), place)
        if code:
            raise _explained(place, job, code)
    return dict(json.loads(job.run.trained(job.name).read_text(encoding="utf-8"))["summary"])


def by_hand(job: Job, launcher: str) -> str:
    """The command that trains a job's whole stage on one machine of several; words in capitals are to be filled in."""
    params = job.run.params
    preset = params.name
    if preset not in presets():
        preset = f"{preset}.yaml" if (ROOT / f"{preset}.yaml").is_file() else f"FOLDER/{preset}.yaml"
    seed = "" if job.run.name == params.name else f" --seed {params.seed}"
    return (f".venv/bin/accelerate launch --config_file {launcher} --machine_rank RANK --main_process_ip ADDRESS "
            f"-m aloe.train {job.stage} --preset {preset}{seed}")  # fmt: skip


def _follow(command: list[str], environment: dict[str, str], place: Path) -> int:
    """Run a command to its end, showing what its first process writes; its exit code."""
    with contextlib.ExitStack() as stack:
        said, noise = (stack.enter_context((place / name).open("wb")) for name in (SAID, NOISE))
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=said, stderr=noise,
                                   start_new_session=True)  # fmt: skip
        shown = [_Shown(place / SAID, "stdout"), _Shown(place / BARS, "stderr")]
        try:
            while (code := process.poll()) is None:
                time.sleep(LOOK)
                for text in shown:
                    text.show()
        finally:
            _end(process)
            for text in shown:
                text.show()
    return code


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Let go of what was started, which has ended, unless this process was told to stop."""
    assert process.stdin
    process.stdin.close()  # its processes end when they read that
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Shown:
    """A file that grows, and what of it was not shown yet; `stream` is the name of one of `sys`, as it is just then."""

    def __init__(self, path: Path, stream: str) -> None:
        self.path, self.stream, self.shown = path, stream, 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def show(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.shown)
            new = file.read()
        self.shown += len(new)
        if new:
            stream = getattr(sys, self.stream)
            stream.write(self.decoder.decode(new))
            stream.flush()


def _environment(processes: int) -> dict[str, str]:
    """What the processes find: this project, and their share of the processor unless somebody has decided about it."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    threads = {"OMP_NUM_THREADS": str(max(1, cores() // max(1, processes)))}
    return {**threads, **os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _explained(place: Path, job: Job, code: int) -> Exception:
    """What ended the processes, as one sentence where one of them has said it."""
    told = sorted(place.glob("error-*"), key=lambda path: int(path.name.partition("-")[2]))
    if told:
        return UserError(told[0].read_text(encoding="utf-8"))
    noise = (place / NOISE).read_text(encoding="utf-8", errors="replace")
    # The first one in time: a process that fails, or is killed, takes the others along.
    faults = sorted(place.glob("fault-*"), key=lambda path: path.stat().st_mtime_ns)
    if "Signal 9 (SIGKILL)" in noise:
        why, text = "one of them was killed, most often because memory ran out", noise
    else:
        why, text = "one of them failed", faults[0].read_text(encoding="utf-8") if faults else noise
    last = "\n".join(text.strip().splitlines()[-LAST_LINES:])
    return RuntimeError(
        f"The training of {job.name} in several processes ended with exit code {code}: {why}. Last lines:\n{last}"
    )


def _follows_from(job: Job) -> dict[str, str]:
    """What a training follows from, part by part: values, code and input files, as for its stage; libraries not."""
    stage = next(stage for stage in stages.STAGES if stage.name.endswith(f"_{job.stage}"))
    parts = stages.recipe(stage, job.run)
    files = {path.name: fingerprint(path) for path in stages.inputs(stage, job.run) if path.exists()}
    skipped = {"code", f"params arms.{job.stage}"}  # the notebook's text, and the other trainings of the stage
    return {"policy": f"{job.name}, {job.which}"} | files | {k: v for k, v in parts.items() if k not in skipped}
