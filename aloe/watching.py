"""Early warning: a training that has gone wrong stops, one that goes the wrong way is named while it runs.

In: the log of a TRL trainer, as it is written. Out: a `UserError` at the first loss or gradient that is no number, and
a printed line, once each, when the loss has risen or DPO's rewards go astray. The bounds are wide: a training that
learns stays inside them. This module changes nothing of the training.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aloe.errors import UserError

if TYPE_CHECKING:
    from transformers import TrainerCallback

FIRST, SOME, LAST = 2, 5, 10  # logged rows whose mean is the beginning, a time, the present
FROM = 1 / 3  # share of the steps after which the present is judged
RISEN = 1.5  # times the loss at its lowest, in the present
LOST = 0.5  # share by which log-probabilities of chosen replies may grow in size, against the reference
REWARDS = {"rewards/chosen", "rewards/accuracies", "logps/chosen"}
LOWER = "lower `training.{section}.learning_rate`"


def watch(section: str, beta: float | None = None) -> "TrainerCallback":
    """The callback.

    Args:
        section: of the preset: `sft` or `dpo`.
        beta: the factor of DPO's rewards, to have them in nats; None where rewards are not against a reference.
    """
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.told: set[str] = set()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if not logs or "loss" not in logs:  # the summary at the end
                return
            refuse_no_number(logs, section, state.global_step, state.max_steps)
            if state.global_step < FROM * state.max_steps or not state.is_world_process_zero:
                return
            for name, text in signs([row for row in state.log_history if "loss" in row], section, beta).items():
                if name not in self.told:
                    self.told.add(name)
                    print(f"Warning, step {state.global_step} of {state.max_steps} ({section}): {text}", flush=True)

    return Watch()


def refuse_no_number(logs: Mapping[str, float], section: str, step: int, n_steps: int) -> None:
    """Raise a `UserError` if the loss or the size of the gradient is not finite: the weights are lost then."""
    wrong = {name: logs[key] for name, key in (("loss", "loss"), ("size of the gradient", "grad_norm"))
             if key in logs and not math.isfinite(float(logs[key]))}  # fmt: skip
    for name, value in wrong.items():
        raise UserError(
            f"The {name} became {float(value)} at or shortly before step {step} of {n_steps}, so the weights are lost "
            f"and the training was stopped; {LOWER.format(section=section)}, raise its `warmup_ratio`, or set "
            f"`training.dtype` to float32."
        )


def signs(rows: Sequence[Mapping[str, float]], section: str, beta: float | None) -> dict[str, str]:
    """What is wrong in the last rows of a log, by name; nothing before there are enough of them.

    - `risen`: the loss is `RISEN` times what it was in its first rows or at its lowest since, and 0.1 more than that.
    - `accuracy`: fewer than half of the pairs have their chosen reply gain more than the rejected one; chance is 0.5.
    - `chosen`: chosen replies have lost more than `LOST` of what they had: a log-probability of -40 fell below -60.
      Margins may grow all the while, since rejected replies fall faster.
    """
    if len(rows) < SOME + LAST:
        return {}
    lower, found = LOWER.format(section=section), {}
    times = [rows[:FIRST], *(rows[i : i + SOME] for i in range(len(rows) - SOME))]
    least, last = min(_mean(time, "loss") for time in times), _mean(rows[-LAST:], "loss")
    if last > RISEN * least + 0.1:
        found["risen"] = f"the loss has risen from {least:.2f} to {last:.2f}; {lower}."
    if beta is None or not all(row.keys() >= REWARDS for row in rows[-LAST:]):  # not every trainer logs all of them
        return found
    accuracy = _mean(rows[-LAST:], "rewards/accuracies")
    if accuracy < 0.5:
        found["accuracy"] = (f"only {accuracy:.0%} of the pairs are ranked right, which is below chance; {lower}, or "
                             f"look at the pairs.")  # fmt: skip
    gain, now = _mean(rows[-LAST:], "rewards/chosen") / beta, _mean(rows[-LAST:], "logps/chosen")
    if gain < -LOST * abs(now - gain):
        found["chosen"] = (
            f"chosen replies became much less likely ({now - gain:.0f} to {now:.0f} nats each): rewards diverge; "
            f"{lower}, or raise `training.dpo.beta` or `training.dpo.sft_weight`."
        )
    return found


def _mean(rows: Sequence[Mapping[str, float]], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)
