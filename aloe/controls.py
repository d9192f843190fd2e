"""What a level is worth beyond the controls: against a stranger's persona, blind to any, and before anything is known.

In: judgements, or levels as arrays with one row per case. Out: plain entries of `metrics.json`, and frames. A reply
that suits anybody gets the same level from the judge whoever's persona it is shown, so dAL, the level minus that for a
stranger (`shuffling`), is 0 for style alone and above 0 for what suits this person. Intervals are clustered on
profiles, as for AL; those of dAL also know that everybody is judged twice (`stranger_intervals`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from aloe.intervals import Array, Codes, Estimate, mean_estimate, slope_weights
from aloe.pairing import stranger_ids
from aloe.stranger_intervals import Exchange, exchanged_estimate

SHUFFLED, BLIND = "level_shuffled", "level_blind"


class Controlled(NamedTuple):
    """Levels of the same replies for their own persona and in a control, on the cases that have both at every turn."""

    own: Array  # (n_cases, n_turns)
    control: Array  # (n_cases, n_turns)
    profiles: Codes  # (n_cases,)
    who: Exchange | None = None  # who talks and who the stranger is; None where nobody is, or it is not known

    def estimate(self, weights: Array, confidence: float) -> Estimate:
        """Own level minus the control's, the turns (n_turns,) weighted, with its interval."""
        if self.who is None:
            return mean_estimate((self.own - self.control) @ weights, self.profiles, confidence)
        return exchanged_estimate(self.own @ weights, self.control @ weights, self.who, confidence)


def minus_control(frame: pd.DataFrame, control: str = SHUFFLED) -> pd.DataFrame:
    """The same judgements with `level` minus a control's level as `level`: what `metrics` makes of them is about dAL.

    A row without one of the two has none; nor has any where the frame has no such column (files of earlier versions).

    >>> rows = pd.DataFrame({"level": [4, 3], "level_shuffled": [1, None]})
    >>> minus_control(rows)["level"].tolist()
    [3.0, nan]
    """
    own = pd.to_numeric(frame["level"]).astype(float)
    other = pd.to_numeric(frame[control]).astype(float) if control in frame else float("nan")
    return frame.assign(level=own - other)


def exchange(everybody: pd.DataFrame, cases: pd.DataFrame) -> Exchange | None:
    """Who talks and who is the stranger in some cases, as `pairing` pairs everybody who was judged.

    Args:
        everybody: a row (or more) per case of the benchmark, with `profile_id` and `personality_id`.
        cases: a row per case that counts, with the same columns, in the order of its levels.

    Returns: None where nobody is a stranger to everybody, as with a single personality.
    """
    names = ["profile_id", "personality_id"]
    others = stranger_ids(list(everybody[names].drop_duplicates().itertuples(index=False, name=None)))
    own = list(cases[names].itertuples(index=False, name=None))
    if not own or any(ids not in others for ids in own):
        return None
    strange = [others[ids] for ids in own]
    codes = [{name: code for code, name in enumerate(sorted(everybody[column].unique()))} for column in names]
    return Exchange(*(np.array([codes[place][ids[place]] for ids in people], dtype=np.intp)
                      for people in (own, strange) for place in (0, 1)))  # fmt: skip


def first_turn_entry(levels: Array, profiles: Codes, confidence: float) -> dict[str, Any]:
    """AL(1), when next to nothing is known of the user, beside the mean of AL(2..K).

    Shape: levels (n_cases, n_turns), n_turns >= 2.
    """
    return {
        **_named("al_first", mean_estimate(levels[:, 0], profiles, confidence)),
        **_named("al_after_first", mean_estimate(levels[:, 1:].mean(axis=1), profiles, confidence)),
    }


def shuffled_entry(found: Controlled | None, confidence: float) -> dict[str, Any]:
    """dAL(k) = AL(k) minus AL(k) for a stranger, its mean over the turns (`dal`) and its slope on k (`dal_ir`).

    In levels: 0 means that the replies suit this person no better than another, below 0 that they suit others better;
    at most 4, on a scale from 1 to 5. `dal_n_cases` may be fewer than the cases of AL: a case needs both levels from
    every judge at every turn. A profile that is easy to please raises dAL where it is the user's and lowers it where it
    is the stranger's, which evens out in the mean but not in the interval of profile means, which is too wide. Where it
    is known who the stranger is (`Controlled.who`), the interval allows for that; where users became somebody else on
    the way (`benchmark.shift`) persona and stranger change within a case, and the wide one is given.

    Args:
        found: None where there is no such control; then every value is None.
        confidence: of the intervals.
    """
    if found is None:
        names = ("dal", "dal_ci", "dal_by_turn", "dal_by_turn_ci", "dal_ir", "dal_ir_ci", "al_shuffled", "dal_n_cases")
        return dict.fromkeys(names)
    n_turns = found.own.shape[1]
    by_turn = [found.estimate(weights, confidence) for weights in np.eye(n_turns)]
    return {
        **_named("dal", found.estimate(np.full(n_turns, 1 / n_turns), confidence)),
        "dal_by_turn": [turn.value for turn in by_turn],
        "dal_by_turn_ci": [_interval(turn) for turn in by_turn],
        **_named("dal_ir", found.estimate(slope_weights(n_turns), confidence)),
        "al_shuffled": found.control.mean(axis=0).tolist(),
        "dal_n_cases": len(found.own),
    }


def blind_entry(found: Controlled | None, confidence: float) -> dict[str, Any]:
    """AL(k) as a judge sees it who is shown no persona: what the replies are worth to anybody. None without one."""
    if found is None:
        return dict.fromkeys(("al_blind", "al_blind_mean", "al_blind_mean_ci"))
    mean = mean_estimate(found.control.mean(axis=1), found.profiles, confidence)
    return {"al_blind": found.control.mean(axis=0).tolist(), **_named("al_blind_mean", mean)}


def control_curves(policies: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """AL(k), AL(k) for a stranger and dAL(k) of every policy that has them.

    Args:
        policies: `metrics.summarise` of each.

    Returns: columns `policy, turn, al, al_shuffled, dal, low, high` (of dAL); no row where there is no such control.
    """
    rows = [
        (policy, turn, al, shuffled, dal, *(ends or (None, None)))
        for policy, entry in policies.items() if entry.get("dal_by_turn")
        for turn, (al, shuffled, dal, ends) in enumerate(
            zip(entry["al"], entry["al_shuffled"], entry["dal_by_turn"], entry["dal_by_turn_ci"], strict=True), 1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["policy", "turn", "al", "al_shuffled", "dal", "low", "high"])


def _named(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_ci": _interval(estimate)}


def _interval(estimate: Estimate) -> list[float] | None:
    return None if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
