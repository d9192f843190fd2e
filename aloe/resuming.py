"""A training that was interrupted goes on where it stopped and ends as if it had not been.

In: a TRL trainer before its first step. Out: the checkpoint to start from, if one is there that belongs to the same
data, settings, weights and libraries, and a callback that asks for checkpoints. The trainer itself writes and reads
them (weights, optimizer, random states, log); what it forgets, tokens and losses so far, is read from its log. This
module does not know what is trained.
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from zipfile import is_zipfile

from aloe.folders import whole_folder
from aloe.provenance import versions
from aloe.writing import write_text

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import TrainerCallback

T = TypeVar("T")

SHARE = 0.03  # of a training's time that checkpoints may take
KEY = "key.json"  # beside the checkpoints: whose they are
# Arguments of a trainer that change no result.
_NEUTRAL = frozenset("output_dir run_name report_to disable_tqdm project logging_dir".split())
_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "unsloth")


class Start(NamedTuple):
    """Where a training starts: steps, tokens and seconds that are behind it, and the sum of their losses."""

    checkpoint: str | None = None
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0


def take_up(trainer: Any, label: str) -> Start:
    """Find where an interrupted training of the same thing stopped; a printed line says so, or why it begins anew.

    What cannot be gone on from is removed: a checkpoint that was not written whole, or one of another training. Of
    several processes the first decides.
    """
    return _of_the_first(_look(trainer, label) if trainer.accelerator.is_main_process else Start())


def _look(trainer: Any, label: str) -> Start:
    folder, key = Path(trainer.args.output_dir), key_of(trainer)
    found = _last_whole(folder)
    changed = [name for name, value in key.items() if _read_key(folder).get(name) != value] if found else []
    if changed:
        print(f"{label}: an interrupted training was found, but its {' and '.join(changed)} were others; this one "
              f"begins anew.", flush=True)  # fmt: skip
        found = None
    for path in folder.glob("checkpoint-*"):
        if path != found:
            shutil.rmtree(path)
    write_text(folder / KEY, json.dumps(key, indent=1) + "\n")
    if found is None:
        return Start()
    history = _read_history(found)
    start = Start(
        str(found), history[-1]["step"], tokens_in(history), history[-1].get("seconds", 0.0), _losses(history)
    )
    print(f"{label}: goes on after step {start.step:,}, where an interrupted training stopped.", flush=True)
    return start


def checkpoints(minutes: float | None, start: Start) -> "TrainerCallback":
    """A callback that asks for a checkpoint when `minutes` have passed (None: never), at a step that is logged.

    There nothing is left over that only the process knows. A checkpoint that takes long comes less often, so that all
    of them take at most `SHARE` of the time; the last step gets none, the policy itself is written then.
    """
    from transformers import TrainerCallback

    class Checkpoints(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.began = self.asked = self.saved = time.monotonic()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if minutes is None or not control.should_log or state.global_step >= state.max_steps:
                return
            wait = max(60 * minutes, (self.saved - self.asked) / SHARE)
            control.should_save = _of_the_first(time.monotonic() - self.saved >= wait)
            if control.should_save:
                self.asked = time.monotonic()

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            state.log_history[-1]["seconds"] = start.seconds + time.monotonic() - self.began

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.saved = time.monotonic()

    return Checkpoints()


def forget(trainer: Any) -> None:
    """Remove what an interrupted training would have gone on from: its policy is written."""
    folder = Path(trainer.args.output_dir)
    if trainer.accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another one is still there
            folder.parent.rmdir()


def kept_rows(rows: Sequence[Mapping[str, Any]], config: Any) -> "Dataset":
    """Rows as a data set on disk beside the checkpoints: there, what a trainer computes of it outlives the process.

    DPO's log-probabilities under the reference are a quarter of its work; TRL finds them again by data and weights.
    """
    from datasets import Dataset, load_from_disk

    place = Path(config.output_dir) / f"rows-{hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]}"
    with config.main_process_first(local=False):
        if not place.is_dir():
            with whole_folder(place) as new:
                Dataset.from_list(list(rows)).save_to_disk(new)
        return load_from_disk(str(place))


def key_of(trainer: Any) -> dict[str, str]:
    """What the result of a training follows from, one hash per part: data, settings, starting weights, libraries."""
    from trl.trainer.utils import hash_module

    data, held = hashlib.sha256(), trainer.train_dataset
    columns = sorted(name for name in held.column_names if not name.startswith("ref_"))
    for batch in held.select_columns(columns).iter(1000):
        data.update(json.dumps(batch).encode())
    arguments = {name: value for name, value in trainer.args.to_dict().items()
                 if name not in _NEUTRAL and not name.startswith("save_")}  # fmt: skip
    adapters = {name: {k: v for k, v in config.to_dict().items() if k != "base_model_name_or_path"}
                for name, config in getattr(trainer.model, "peft_config", {}).items()}  # fmt: skip
    found = versions()
    return {
        "data": data.hexdigest(),
        "settings": _hash([arguments, adapters, trainer.args.world_size]),
        "weights": hash_module(trainer.model),
        "libraries": _hash({name: found[name] for name in _LIBRARIES}),
    }


def tokens_in(history: Sequence[Mapping[str, Any]]) -> int:
    """Tokens read, as a trainer's log has them; 0 if it has none."""
    return max((int(entry["num_tokens"]) for entry in history if "num_tokens" in entry), default=0)


def _losses(history: Sequence[Mapping[str, Any]]) -> float:
    """The sum of the steps' losses, from a log that holds means over the steps since the entry before.

    >>> _losses([{"step": 1, "loss": 4.0}, {"step": 3, "loss": 2.0}])
    8.0
    """
    rows = [entry for entry in history if "loss" in entry]
    before = [0, *(row["step"] for row in rows)]
    return float(sum(row["loss"] * (row["step"] - last) for row, last in zip(rows, before, strict=False)))


def _last_whole(folder: Path) -> Path | None:
    """The latest checkpoint that was written to its end: the trainer writes its state last."""
    for path in sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if _read_history(path) and _is_whole(path):
                return path
    return None


def _is_whole(checkpoint: Path) -> bool:
    """Is all there that a training goes on with, and no file cut short, as a machine that lost its power leaves it?"""
    from safetensors import SafetensorError, safe_open

    names = [path.name for path in checkpoint.iterdir()]
    if not all(any(name.startswith(part) for name in names) for part in ("optimizer", "scheduler", "rng_state")):
        return False
    try:
        for path in checkpoint.glob("*.safetensors"):
            with safe_open(path, "pt"):  # a header that does not cover its file is refused
                pass
    except SafetensorError:
        return False
    return all(is_zipfile(path) for pattern in ("*.pt", "*.pth") for path in checkpoint.glob(pattern))


def _read_history(checkpoint: Path) -> list[dict[str, Any]]:
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    history: list[dict[str, Any]] = state["log_history"]
    return history


def _read_key(folder: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        return dict(json.loads((folder / KEY).read_text(encoding="utf-8")))
    return {}


def _of_the_first(value: T) -> T:
    """What the first of several processes found: clocks differ, and all must go on from and write the same steps."""
    import torch.distributed as processes

    if processes.is_available() and processes.is_initialized():
        answer = [value]
        processes.broadcast_object_list(answer, src=0)
        return answer[0]
    return value


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda v: sorted(v) if isinstance(v, set) else str(v))
    return hashlib.sha256(text.encode()).hexdigest()
