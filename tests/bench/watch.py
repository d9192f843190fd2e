"""What a trainer took: seconds of each step, what its model was given, and the reference's pass before the first step.

In: a model and a device, before the trainer is made; the trainer. Out: seconds, tokens, lengths of documents. Hooks on
the model see what every trainer gives it, whoever wrote the trainer. Nothing here knows what is trained.
"""

import itertools
import statistics
import time
from typing import Any


def clock(device: str) -> float:
    """Seconds, once everything asked of the device is done."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Watch:
    """Times the steps of a trainer and counts what its model is given. Waits for the device once a step."""

    def __init__(self, model: Any, device: str) -> None:
        self.device, self.constructed = device, False
        self.seconds: list[float] = []
        self.given: list[tuple[Any, ...]] = []
        self.references: list[float] = []
        model.register_forward_pre_hook(self._before, with_kwargs=True)
        model.register_forward_hook(self._after)

    def _before(self, model: Any, args: Any, kwargs: dict[str, Any]) -> None:
        import torch

        if torch.is_grad_enabled():
            self.given.append(tuple(kwargs.get(key) for key in ("input_ids", "attention_mask", "position_ids")))
        elif not self.constructed:
            self.begun = clock(self.device)

    def _after(self, model: Any, args: Any, output: Any) -> None:
        import torch

        if not torch.is_grad_enabled() and not self.constructed:
            self.references.append(clock(self.device) - self.begun)

    def reference(self) -> float:
        """Seconds that the reference's pass of a step took where it was made before the first step; else 0."""
        return statistics.median(self.references[:-1]) if self.references else 0.0

    def counts(self) -> tuple[int, int]:
        """Tokens of all steps without padding, and the sum of the squared lengths of their documents."""
        lengths: list[int] = []
        for ids, mask, positions in self.given:
            if mask is not None and mask.dim() == 2:
                lengths += mask.sum(1).tolist()
            elif positions is not None:
                starts = (positions.flatten() == 0).nonzero().flatten().tolist()
                lengths += [b - a for a, b in itertools.pairwise([*starts, positions.numel()])]
            else:
                lengths += [ids.shape[1]] * len(ids)
        return sum(lengths), sum(length**2 for length in lengths)

    def callback(self) -> Any:
        """What a trainer calls at each step."""
        from transformers import TrainerCallback

        watch = self

        class Timing(TrainerCallback):
            def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                self.begun = clock(watch.device)

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                watch.seconds.append(clock(watch.device) - self.begun)

        return Timing()
