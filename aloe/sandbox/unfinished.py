"""Where an interrupted pretraining stopped, so that it goes on there and ends with the same model.

In: model, optimizers and how far they are. Out: a file, replaced whole, and removed when it is no longer needed. Knows
neither recipe nor text: a key says whether what is found belongs to them.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Unfinished:
    """What an interrupted pretraining leaves: taken up again by the same recipe on the same text, else begun anew."""

    EVERY = 200  # steps, about a minute

    def __init__(self, file: Path, key: str) -> None:
        """`key`: says what is trained on what."""
        import torch

        self._file, self._key, self._started = file, key, time.monotonic()
        found = torch.load(file, weights_only=True) if file.is_file() else {}
        self._found: dict[str, Any] = found if found.get("key") == key else {}

    @property
    def minutes(self) -> float:
        """Spent so far, those before an interruption included."""
        return float(self._found.get("minutes", 0.0)) + (time.monotonic() - self._started) / 60

    def take_up(self, stage: int, model: Any, optimizers: Sequence[Any]) -> int | None:
        """Put model and optimizers where this stage stopped; the steps that it had done, None if it was over."""
        if not self._found or self._found["stage"] < stage:
            return 0
        model.load_state_dict(self._found["model"])
        if self._found["stage"] > stage:
            return None
        for optimizer, state in zip(optimizers, self._found["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        return int(self._found["step"])

    def keep(self, stage: int, step: int, model: Any, optimizers: Sequence[Any]) -> None:
        """Replace what is kept; a kill while it writes leaves the last one."""
        import torch

        states = {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
        new = self._file.with_suffix(".new")
        new.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"key": self._key, "stage": stage, "step": step, "minutes": self.minutes, **states}, new)
        new.replace(self._file)

    def forget(self) -> None:
        """Remove what is kept, once the model is written."""
        self._file.unlink(missing_ok=True)
