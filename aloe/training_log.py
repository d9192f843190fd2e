"""What is seen of a training: one bar with the remaining time while it runs, one tidy table when it is done.

In: the log entries of a TRL trainer. Out: a bar on stderr (readable in a terminal and in an executed notebook) and a
CSV with one row per logged step and held-out evaluation. This module does not know what is trained.
"""

import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from aloe.writing import explained_disk_errors, write_text

if TYPE_CHECKING:
    from transformers import TrainerCallback

# TRL's name of a value, and its column in the table.
COLUMNS = {
    "num_tokens": "tokens",
    "loss": "loss",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
    "mean_token_accuracy": "token_accuracy",
    "rewards/chosen": "rewards/chosen",
    "rewards/rejected": "rewards/rejected",
    "rewards/accuracies": "rewards/accuracies",
    "rewards/margins": "rewards/margins",
    "logps/chosen": "logps/chosen",
    "logps/rejected": "logps/rejected",
}


def bar(total: int, label: str, done: int = 0) -> "tqdm[Any]":
    """A bar that redraws at most once a second, so that an executed notebook does not fill with it."""
    return tqdm(total=total, desc=label, initial=done, file=sys.stderr, mininterval=1.0, dynamic_ncols=True)


def progress(label: str) -> "TrainerCallback":
    """A trainer's callback that shows a bar with remaining time, loss and tokens per second."""
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.bar, self.started = bar(state.max_steps, label, state.global_step), time.monotonic()
            self.before = max((entry.get("num_tokens", 0) for entry in state.log_history), default=0)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                said = f"loss {float(logs['loss']):.3f}"
                if "num_tokens" in logs:  # some trainers do not count them
                    speed = (logs["num_tokens"] - self.before) / max(time.monotonic() - self.started, 1e-9)
                    said += f", {speed:,.0f} tokens/s"
                self.bar.set_postfix_str(said, refresh=False)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.bar.update(state.global_step - self.bar.n)

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.bar.close()

    return Progress()


def tensorboard(folder: Path, step: int) -> "TrainerCallback":
    """A trainer's callback that writes what is logged for TensorBoard, on top of what is there up to `step`."""
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations import TensorBoardCallback

    if not step:
        shutil.rmtree(folder, ignore_errors=True)  # a training begun anew: two curves in one would be read as one
    with explained_disk_errors(folder):
        return TensorBoardCallback(SummaryWriter(str(folder), purge_step=step + 1 if step else None))


def write_log(path: Path, history: Iterable[Mapping[str, Any]], held_out: Sequence[Mapping[str, Any]]) -> None:
    """Write the table: `step, split, tokens, loss, ...`, one row per log entry, in the order of steps.

    Args:
        path: the CSV.
        history: a trainer's log; entries without a loss (its closing summary) are left out.
        held_out: rows of the development split, `{"step": ..., "loss": ..., ...}` by the table's names.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = [
        {
            "step": entry["step"],
            "split": "train",
            **{ours: entry[name] for name, ours in COLUMNS.items() if name in entry},
        }
        for entry in history
        if "loss" in entry
    ]
    rows += [{"split": "dev", **row} for row in held_out]
    frame = pd.DataFrame(rows, columns=_columns(rows)).sort_values("step", kind="stable")
    write_text(path, frame.to_csv(index=False, lineterminator="\n", float_format="%.6g"))


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    named = ["step", "split", *COLUMNS.values()]
    return [
        *(n for n in named if any(n in row for row in rows)),
        *sorted({k for row in rows for k in row} - set(named)),
    ]
