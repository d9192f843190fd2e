"""What repeated worlds say: how often something is found where nothing is, and what moves when a seed does.

In: rows of `worlds` and `trained_worlds`. Out: plain entries for `metrics.json`, and frames for figures. A world calls
something significant if one of its three tests is, after Holm's correction. What counts as too often or too seldom was
fixed before any world was made. This module knows no file and asks nobody.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from aloe.intervals import Array, holm, share_estimate
from aloe.metrics import summarise
from aloe.variance import variance_split

ALPHA = 0.05
MOST_FALSE = 18 / 200
"""Of worlds without an effect that may call something significant. Were it 5% of them in the long run, more than 18 of
200 would come by chance with probability 0.006 (binomial)."""
LEAST_TRUE = 180 / 200
"""Of worlds with the whole effect that must."""
QUESTIONS = {"dal": "dAL", "dal_slope": "slope of dAL", "hinted_preferred": "hinted replies preferred"}
SOURCES = {"seed": "seed", "simulator": "simulator", "judge": "judge"}
N_NULL = 100  # curves behind null bands, which nobody reads here


def significant(rows: pd.DataFrame) -> Array:
    """Which of the three answers each world calls significant, after Holm's correction within the world.

    A test in which nothing varies finds nothing. Shape: (n_worlds, 3), booleans, in the order of `QUESTIONS`.
    """
    tests = rows[[f"p_{name}" for name in QUESTIONS]].astype(float).to_numpy()
    adjusted = [holm([None if np.isnan(p) else p for p in own]) for own in tests]
    found = [[p is not None and p < ALPHA for p in own] for own in adjusted]
    return np.array(found, dtype=bool).reshape(len(rows), len(QUESTIONS))


def world_entries(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """One entry per effect: worlds, means, how many found what, and whether the limit is kept.

    Args:
        rows: columns of `worlds.World`.

    Returns: `effect`, `worlds`, the means `al` and `QUESTIONS`, `found` (worlds by question, and `any`),
        `found_alone` (by question, before Holm's correction), `share` of
        worlds with any, with its `share_ci` (Wilson, 95%), `limit` and `met` (None for other effects than 0 and 1).
        Empty for no world.
    """
    entries = []
    for effect, own in rows.groupby("effect") if len(rows) else ():
        which = significant(own)
        alone = {name: int((own[f"p_{name}"].astype(float) < ALPHA).sum()) for name in QUESTIONS}
        n_found, n = int(which.any(axis=1).sum()), len(own)
        share = share_estimate(n_found / n, n, 0.95)
        limit = {0.0: MOST_FALSE, 1.0: LEAST_TRUE}.get(float(effect))
        met = None if limit is None else bool(share.value <= limit if effect == 0 else share.value >= limit)
        found = dict(zip(QUESTIONS, map(int, which.sum(axis=0)), strict=True))
        entries.append({
            "effect": float(effect), "worlds": n,
            **{name: float(own[name].mean()) for name in ("al", *QUESTIONS)}, "found": {**found, "any": n_found},
            "found_alone": alone,
            "share": share.value, "share_ci": [share.low, share.high], "limit": limit, "met": met,
        })  # fmt: skip
    return entries


def training_entries(scores: pd.DataFrame, confidence: float) -> list[dict[str, Any]]:
    """One entry per effect and seed of training: AVG and dAL of that model, simulators and judges averaged.

    Args:
        scores: rows of `trained_worlds`; empty gives no entry.

    Returns: `effect`, `seed`, `n_cases`, `al_mean`, `dal`, `dal_ir`, each with `_ci` (clustered on profiles).
    """
    entries = []
    for (effect, seed), own in scores.groupby(["effect", "seed"]) if len(scores) else ():
        keys = ["policy", "case", "profile_id", "personality_id", "turn"]
        levels = own.astype({"level": float, "level_shuffled": float})
        means = levels.groupby(keys, as_index=False)[["level", "level_shuffled"]].mean().assign(judge="all")
        found = summarise(means, confidence, N_NULL, 0)
        wanted = ("al_mean", "al_mean_ci", "dal", "dal_ci", "dal_ir", "dal_ir_ci", "n_cases")
        entries.append({"effect": float(effect), "seed": int(seed), **{name: found[name] for name in wanted}})
    return entries


def variance_entries(scores: pd.DataFrame, effect: float = 1.0) -> dict[str, list[dict[str, Any]]]:
    """Where the variance of AVG and of dAL comes from, of models trained in worlds with an effect.

    A row of the split is the mean over the turns of a case, with one training seed, simulator and judge.

    Returns: by quantity (`al_mean`, `dal`), a list of `variance.variance_split`'s rows; a source of which there is one
        level only is left out. Empty where nothing was repeated.
    """
    own = scores[scores["effect"] == effect] if len(scores) else scores
    sources = [name for name in SOURCES if len(own) and own[name].nunique() > 1]
    if not sources or own["case"].nunique() < 2:
        return {}
    levels = own.astype({"level": float, "level_shuffled": float})
    levels = levels.assign(al_mean=levels["level"], dal=levels["level"] - levels["level_shuffled"])
    rows = levels.groupby([*sources, "case"], as_index=False)[["al_mean", "dal"]].mean()
    return {name: variance_split(rows, "case", sources, name).to_dict("records") for name in ("al_mean", "dal")}


def entry(worlds: pd.DataFrame, scores: pd.DataFrame, confidence: float) -> dict[str, Any]:
    """All of it, for `metrics.json`; empty for a run that repeats nothing."""
    parts = {
        "null_worlds": world_entries(worlds),
        "trainings": training_entries(scores, confidence),
        "variance": variance_entries(scores),
    }
    return {name: part for name, part in parts.items() if part}


def world_frame(entries: list[dict[str, Any]]) -> pd.DataFrame:
    """Shares of worlds that call something significant, for a figure.

    Returns: a row per effect and question (`any` last): effect, question, worlds, found, share, limit (of `any` only).
    """
    rows = [
        (own["effect"], name, own["worlds"], own["found"][name], own["found"][name] / own["worlds"],
         own["limit"] if name == "any" else None)
        for own in entries for name in (*QUESTIONS, "any")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["effect", "question", "worlds", "found", "share", "limit"])


def variance_frame(found: Mapping[str, list[dict[str, Any]]]) -> pd.DataFrame:
    """Components of variance, for a figure: a row per quantity and component, with all that `variance_split` says."""
    rows = [{"quantity": quantity, **row} for quantity, own in found.items() for row in own]
    columns = ["quantity", "component", "variance", "share", "n", "of_mean", "share_of_mean"]
    return pd.DataFrame(rows, columns=columns)
