"""Worlds without a training: is nothing found where judges ignore the persona, and something where they do not?

In: a run whose preset repeats worlds (`evidence.null_worlds`). Out: a row per effect and seed. In a world one person of
every held-out profile talks with the simulated responder (`baselines`, strategy `hinted`: notes from the conversation
alone, then the reply), judges score every reply for its persona and for a stranger's, and the same people hold
dialogues with two replies; all by the study's own code, with a seed of simulator and judges of its own. A row is kept
as soon as it is there, so an interrupted run goes on. What the rows say, is for `evidence`.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from aloe.baselines import asked_policy
from aloe.benchmark import converse
from aloe.cases import join_all, named_texts
from aloe.chat import Chat, open_chat
from aloe.controls import minus_control
from aloe.dialogues import grow_trees
from aloe.embedding import EMBEDDERS
from aloe.intervals import Array, p_value, slope_weights
from aloe.judging import judge, score_frame
from aloe.label_audit import verdict_table
from aloe.params import ROOT, EndpointPolicy, Params
from aloe.policies import Entrant
from aloe.processes import cores
from aloe.provenance import fingerprint, simulated_model
from aloe.records import Persona
from aloe.runs import Run
from aloe.writing import write_text

POLICY = "hinted"
"""The responder that talks in a world; its dialogues with two replies set it against the plain one."""


class World(NamedTuple):
    """A world: its effect and seed, three answers, the p-value of each (missing where nothing varies), and AVG.

    `dal` and `dal_slope` in levels and levels a turn; `hinted_preferred` is the share of turns whose hinted reply was
    preferred minus that of the plain one, ties counting as none. Without an effect each should be 0.
    """

    effect: float
    seed: int
    dal: float
    dal_slope: float
    hinted_preferred: float
    p_dal: float | None
    p_dal_slope: float | None
    p_hinted_preferred: float | None
    al: float


def run_worlds(run: Run) -> pd.DataFrame:
    """Make the worlds of a run's preset that are not there yet, several at a time, and write `null_worlds.csv`.

    Returns: the columns of `World`, by effect and seed; no row where the preset repeats no world.
    """
    section = run.params.evidence.null_worlds
    if section is None:
        return pd.DataFrame(columns=list(World._fields))
    own = {"tree_turns": section.tree_turns, "n_turns": run.params.benchmark.n_turns}
    part = parts_of(run) / f"null-{key_of(run.params, own)}.csv"
    wanted = [(effect, seed) for seed in range(section.n_seeds) for effect in section.effects]
    rows = measure(run.params, section.tree_turns, wanted, part)
    write_text(run.null_worlds, rows.to_csv(index=False, lineterminator="\n"))
    return rows


def measure(params: Params, tree_turns: int, wanted: Sequence[tuple[float, int]], path: Path) -> pd.DataFrame:
    """The worlds (effect, seed) in `wanted`; those that the file lacks are made, and added to it as they come.

    As many processes as there are cores. Interrupted, those in the making are lost and the others kept.
    """
    rows = _read(path)
    done = {(row.effect, row.seed) for row in rows}
    left = [one for one in wanted if one not in done]
    if left:
        own = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        with ProcessPoolExecutor(min(cores(), len(left)), own, _end_with_parent) as pool:
            try:
                jobs = [pool.submit(world, params, tree_turns, *one) for one in left]
                for job in tqdm(as_completed(jobs), "worlds", total=len(jobs), file=sys.stderr, mininterval=0.5):
                    rows.append(job.result())
                    write_text(path, _frame(rows).to_csv(index=False, lineterminator="\n"))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    asked = set(wanted)
    return _frame([row for row in rows if (row.effect, row.seed) in asked])


def world(params: Params, tree_turns: int, effect: float, seed: int) -> World:
    """Make one world, of a preset's benchmark, roles, and all that it plants but the effect."""
    asked = EndpointPolicy(**vars(params.roles.hinted_responder), strategy="hinted")
    bench = dataclasses.replace(params.benchmark, endpoint_policies={POLICY: asked})
    own, people = dataclasses.replace(planted(params, effect, seed), benchmark=bench), some_cases(params, seed)
    trees = dataclasses.replace(
        params.trees, n_trees=len(people), n_turns=tree_turns, branch="random", epsilon=None, tie="drop", expand="one"
    )
    with open_chat(Run("world", own, Path()), aside=True) as chat:
        scores = _talk(chat, own, people)
        verdicts = verdict_table(grow_trees(chat, people, trees, seed))
    gaps = minus_control(scores).pivot_table(index="profile_id", columns="turn", values="level").to_numpy(dtype=float)
    signed = verdicts["outcome"].map({"hinted": 1.0, "plain": -1.0}).fillna(0.0)
    dal, slope = gaps.mean(axis=1), gaps @ slope_weights(gaps.shape[1])
    preferred = signed.groupby(verdicts["profile"]).mean().to_numpy()
    return World(
        effect, seed, float(dal.mean()), float(slope.mean()), float(preferred.mean()), _p(dal), _p(slope),
        _p(preferred), float(scores["level"].astype(float).mean()),
    )  # fmt: skip


def planted(params: Params, effect: float, seed: int) -> Params:
    """The parameters of a world: another effect and seed, nobody's journal, no budget."""
    sandbox = dataclasses.replace(params.sandbox, effect=effect)
    return dataclasses.replace(params, sandbox=sandbox, seed=seed, journal=None, models_from=None, budget_usd=None,
                               budget_calls=None)  # fmt: skip


def some_cases(params: Params, seed: int, per_profile: int = 1) -> list[Persona]:
    """Every held-out profile with `per_profile` of the held-out personalities, which move on with profile and seed.

    >>> from aloe.params import load_params
    >>> [case.id for case in some_cases(load_params("smoke"), 1)]
    ['bench-p01-t2', 'bench-p02-t1', 'bench-p03-t2', 'bench-p04-t1']
    """
    profiles, personalities = named_texts(params)
    everybody = {(case.profile_id, case.personality_id): case for case in join_all(profiles, personalities)}
    n = len(personalities)
    return [everybody[profile.id, personalities[(place + seed + more) % n].id]
            for place, profile in enumerate(profiles) for more in range(min(per_profile, n))]  # fmt: skip


def key_of(params: Params, own: dict[str, Any]) -> str:
    """What decides about worlds: the simulated model, what is planted, who asks and is asked, prompts, and `own`."""
    decides = [
        simulated_model(ROOT / "aloe" / "sandbox"), dataclasses.asdict(params.sandbox),
        dataclasses.asdict(params.roles), fingerprint(ROOT / params.prompts),
        [dataclasses.asdict(case) for case in join_all(*named_texts(params))], own,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]


def parts_of(run: Run) -> Path:
    """Where worlds are kept as they come; a hidden folder, since these are no results of a stage."""
    return run.transcripts.parent / ".worlds"


def _talk(chat: Chat, params: Params, people: Sequence[Persona]) -> pd.DataFrame:
    """The responder's dialogues with some people, judged for them and for strangers."""
    policy = asked_policy(chat, POLICY, "hinted", EMBEDDERS["ngrams"])  # which this strategy does not use
    entrant = Entrant(POLICY, "", lambda: policy, asked=True)
    held = converse(chat, entrant, policy, people, params.benchmark.n_turns)
    return score_frame(judge(chat, held, params.roles.alignment_judge, ("shuffled",)))


def _read(path: Path) -> list[World]:
    if not path.is_file():
        return []
    frame = pd.read_csv(path)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [World(**{str(name): value for name, value in row.items()}) for row in rows]


def _frame(rows: Sequence[World]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(World._fields)).sort_values(["effect", "seed"], ignore_index=True)


def _p(values: Array) -> float | None:
    """The p-value of a mean of 0, from one value per profile."""
    return p_value(values, np.arange(len(values)))


def _end_with_parent() -> None:
    """Let a worker end when the process that started it is gone, however that ended."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
