"""Worlds with a training of their own: dialogues, SFT and DPO, then the benchmark with several simulators and judges.

In: a run whose preset repeats trainings (`evidence.trainings`), with its personas. Out: the scores of each small `dpo`,
which tell what a training finds where judges ignore the persona (effect 0), and how far results move with the seed of
data and training, of the simulated users and of the judge (`variance`). A world is kept as soon as it is done and a
training goes on where it stopped. What the scores say, is for `evidence`.
"""

import dataclasses
import functools
import io
import shutil
import sys
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from aloe.benchmark import converse
from aloe.chat import open_chat
from aloe.dialogues import choose_personas, grow_trees
from aloe.generation import open_policy
from aloe.judging import judge, score_frame
from aloe.params import Params
from aloe.policies import Entrant
from aloe.provenance import fingerprint
from aloe.records import Persona, read_jsonl, write_jsonl
from aloe.runs import Run
from aloe.training import train_dpo, train_sft
from aloe.training_sections import NO_ARMS
from aloe.world_sections import NO_EVIDENCE, Trainings
from aloe.worlds import key_of, parts_of, planted, some_cases
from aloe.writing import write_bytes


def run_trainings(run: Run) -> pd.DataFrame:
    """Make the trained worlds of a run's preset that are not there yet, and write `trained_worlds.parquet`.

    Returns: a row per reply and judge: effect, seed (of dialogues and training), simulator (of the users), and the
        columns of `records.Judgement`; no row where the preset repeats no training.
    """
    section, frames = run.params.evidence.trainings, []
    if section is None:
        return pd.DataFrame()
    wanted = [(effect, seed) for seed in range(section.n_seeds) for effect in section.effects]
    for effect, seed in tqdm(wanted, "trained worlds", file=sys.stderr):
        part = _part(run, section, effect, seed)
        if not part.is_file():
            write_bytes(part, _parquet(_trained_world(run, section, effect, seed)))
        frames.append(pd.read_parquet(part))
    found = pd.concat(frames, ignore_index=True)
    write_bytes(run.trained_worlds, _parquet(found))
    return found


def _trained_world(run: Run, section: Trainings, effect: float, seed: int) -> pd.DataFrame:
    """One world: its own dialogues with people of the run, its own `dpo`, and the scores of that."""
    own = _own_run(run, section, effect, seed)
    trained = own.model("dpo")
    if not trained.is_dir():
        _grow(run, own)
        if not own.model("sft_preferred").is_dir():
            train_sft(own, "preferred")
        train_dpo(own)
    scores = _scored(run, section, trained, effect, seed)
    shutil.rmtree(own.root)
    return scores.assign(effect=effect, seed=seed)


def _grow(run: Run, own: Run) -> None:
    """The world's dialogues, with training and development people of the run; a journal lets them go on."""
    if own.trees.is_file():
        return
    sizes, everybody = own.params.trees, list(read_jsonl(Persona, run.personas))
    wanted = {"train": sizes.n_trees, "dev": sizes.n_dev_trees}
    chosen = [choose_personas(everybody, n, split, own.params.seed) for split, n in wanted.items()]
    with open_chat(own) as chat:
        write_jsonl(own.trees, grow_trees(chat, [person for own in chosen for person in own], sizes, own.params.seed))


def _scored(run: Run, section: Trainings, model: Path, effect: float, seed: int) -> pd.DataFrame:
    """The benchmark of one model: the same people, simulators and judges whatever it was trained on."""
    people, frames = some_cases(run.params, 0, section.cases_per_profile), []
    for simulator in range(section.n_simulators):
        params = _with_seeds(planted(run.params, effect, run.params.seed), simulator, section.n_judges)
        bench = params.benchmark
        load = functools.partial(open_policy, model, bench, seed, params.training.trust_remote_code)
        entrant = Entrant("dpo", "", load)
        with open_chat(Run("world", params, Path()), aside=True) as chat:
            held = converse(chat, entrant, load(), people, bench.n_turns, bench.opening)
            scores = score_frame(judge(chat, held, params.roles.alignment_judge, ("shuffled",)))
        frames.append(scores.assign(simulator=simulator))
    return pd.concat(frames, ignore_index=True)


def _with_seeds(params: Params, simulator: int, n_judges: int) -> Params:
    """Users with a seed of their own, and so many judges who differ from the preset's first one in their seed only."""
    first = params.roles.alignment_judge[0]
    judges = tuple(dataclasses.replace(first, seed=number) for number in range(n_judges))
    user = dataclasses.replace(params.roles.user, seed=simulator)
    return dataclasses.replace(params, roles=dataclasses.replace(params.roles, user=user, alignment_judge=judges))


def _own_run(run: Run, section: Trainings, effect: float, seed: int) -> Run:
    """A run inside the run, of the sizes of the section; it is removed when its scores are there."""
    params, training = planted(run.params, effect, seed), run.params.training
    dpo = dataclasses.replace(training.dpo, n_pairs=section.n_pairs, n_dev_pairs=section.n_dev_pairs)
    own = dataclasses.replace(
        params, arms=NO_ARMS, evidence=NO_EVIDENCE,
        trees=dataclasses.replace(params.trees, n_trees=section.n_trees, n_dev_trees=section.n_dev_trees),
        training=dataclasses.replace(training, dpo=dpo, report_to="none", launcher=None),
    )  # fmt: skip
    part = _part(run, section, effect, seed)
    return Run(f"{run.name}: effect {effect:g}, seed {seed}", own, part.with_suffix(""))


def _part(run: Run, section: Trainings, effect: float, seed: int) -> Path:
    sizes = {name: value for name, value in dataclasses.asdict(section).items() if name not in ("n_seeds", "effects")}
    bench, params = run.params.benchmark, run.params
    own = {"sizes": sizes, "training": dataclasses.asdict(params.training), "trees": dataclasses.asdict(params.trees),
           "benchmark": [bench.n_turns, bench.max_new_tokens, bench.temperature, bench.batch_size, bench.opening],
           "personas": fingerprint(run.personas), "run": [params.seed, effect, seed]}  # fmt: skip
    return parts_of(run) / f"trained-{key_of(params, own)}.parquet"


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
