"""A small training in a process of its own that may kill itself, for tests: SIGKILL, at a given step, mid-run."""

import dataclasses
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from aloe.params import load_params
from aloe.runs import Run

LOGGED = 4  # rows of the table: a checkpoint comes every few steps only, so that a kill loses some
PRELOADED = [
    "trl",
    "transformers.integrations",
    "torch.utils.tensorboard",
    "aloe.training",
    "pandas",
    "peft",
    "datasets",
]
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)


def toy_run(root: Path, base: Path, sft: Any = (), dpo: Any = (), **changes: Any) -> Run:
    """A run whose model stands in `base`: two epochs, batches of two gathered to four, a checkpoint whenever it can."""
    params = load_params("smoke")
    both = {"epochs": 2.0, "batch_size": 2, "gradient_accumulation": 2}
    training = dataclasses.replace(
        params.training,
        sft=dataclasses.replace(params.training.sft, **{**both, "batch_size": 1, **dict(sft)}),
        dpo=dataclasses.replace(params.training.dpo, **{**both, "n_pairs": 0, "learning_rate": 1e-3, **dict(dpo)}),
        **{"base_model": str(base), "max_length": 400, "dtype": "float32", "save_minutes": 1e-9, **changes},
    )
    return Run(root.name, dataclasses.replace(params, training=training), root)


def train_in_a_process(run: Run, stage: str, kill_at: int | None = None) -> int | None:
    """Train `sft` or `dpo` in a fresh process, which kills itself at the end of step `kill_at`; its exit code."""
    process = _SERVER.Process(target=_train, args=(run, stage, kill_at))
    process.start()
    process.join()
    return process.exitcode


def _train(run: Run, stage: str, kill_at: int | None) -> None:
    from transformers import TrainerCallback

    from aloe import resuming, trainers, training

    class Killer(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    starts = []

    def noted(*arguments: Any) -> resuming.Start:
        starts.append(resuming.take_up(*arguments))
        return starts[-1]

    resuming.SHARE, trainers.LOGGED = 1e9, LOGGED  # as often as it is logged, whatever it costs
    trainers.progress, trainers.take_up = lambda label: Killer(), noted
    summary = training.train_sft(run, "preferred") if stage == "sft" else training.train_dpo(run)
    run.update_metrics({"training": {stage: summary}, "started_from": starts[0].step})
