"""Is nothing found where nothing is? Worlds in which the judges ignore the persona, beside worlds in which they do not.

In: a number of seeds. Out: `outputs/bench/null_worlds.csv` (a row per effect and seed) and `null_worlds.md`; exits with
1 if a target is missed, and goes on where it stopped. In a world 20 held-out personas, one per profile, talk for ten
turns with the simulated responder (`baselines`, strategy `hinted`: notes from the conversation alone, then the reply),
judges score every reply for its persona and for a stranger's, and the same personas hold preference dialogues; all by
the study's own code, with the sandbox's settings but for `effect` and a seed of simulator and judges of its own. Three
questions are asked of a world: is dAL other than 0, is its slope, are hinted replies preferred other than half the
time? Each by a t test on profiles, the three corrected by Holm. No model is trained here.
"""

import argparse
import csv
import dataclasses
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np
import pandas as pd
from audits import Direct
from scipy import stats
from tqdm import tqdm

from aloe.baselines import asked_policy
from aloe.benchmark import converse
from aloe.cases import join_all
from aloe.controls import minus_control
from aloe.dialogues import grow_trees
from aloe.embedding import EMBEDDERS
from aloe.intervals import holm, slope_weights
from aloe.judging import judge, score_frame
from aloe.label_audit import verdict_table
from aloe.params import ROOT, Trees, load_params
from aloe.policies import Entrant
from aloe.records import Persona, write_text
from aloe.runs import OUTPUTS
from aloe.sandbox.model import Knobs
from aloe.texts import load_texts

N_TURNS, TREE_TURNS = 10, 5
EFFECTS = (0.0, 1.0)
ALPHA, MOST_FALSE, LEAST_TRUE = 0.05, 18 / 200, 180 / 200
QUESTIONS = ("dal", "dal_slope", "hinted_preferred")
COLUMNS = ("effect", "seed", *QUESTIONS, *(f"p_{name}" for name in QUESTIONS), "al")
OUT = OUTPUTS / "bench" / "null_worlds.csv"


def main() -> int:
    """Measure what the file lacks, write the table, compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args()
    measure(options.seeds, options.workers)
    text, good = report(pd.read_csv(OUT))
    write_text(OUT.with_suffix(".md"), text)
    print(text)
    return 0 if good else 1


def measure(n_seeds: int, workers: int) -> None:
    """Append the rows of every effect and seed that the file lacks, as they come."""
    done = set()
    if OUT.is_file():
        with OUT.open(encoding="utf-8") as lines:
            done = {(float(row["effect"]), int(row["seed"])) for row in csv.DictReader(lines)}
    else:
        write_text(OUT, ",".join(COLUMNS) + "\n")
    wanted = [(effect, seed) for seed in range(n_seeds) for effect in EFFECTS if (effect, seed) not in done]
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(world, *one) for one in wanted]
        for job in tqdm(as_completed(jobs), "worlds", total=len(jobs), disable=None):
            with OUT.open("a", encoding="utf-8") as file:
                file.write(",".join(f"{value:.6g}" for value in job.result()) + "\n")
    rows = pd.read_csv(OUT).sort_values(["effect", "seed"])
    write_text(OUT, rows.to_csv(index=False, float_format="%.6g"))


def world(effect: float, seed: int) -> tuple[float, ...]:
    """One world: its row, in the order of `COLUMNS`."""
    params = load_params("sandbox")
    planted = {field.name: getattr(params.sandbox, field.name) for field in dataclasses.fields(Knobs)}
    chat, people = Direct(seed, Knobs(**{**planted, "effect": effect})), some_cases(seed)
    policy = asked_policy(chat, "hinted", "hinted", EMBEDDERS["ngrams"])  # type: ignore[arg-type]
    entrant = Entrant("hinted", "", lambda: policy, asked=True)
    held = converse(chat, entrant, policy, people, N_TURNS)  # type: ignore[arg-type]
    scores = score_frame(judge(chat, held, params.roles.alignment_judge, ("shuffled",)))  # type: ignore[arg-type]
    gaps = minus_control(scores).pivot(index="profile_id", columns="turn", values="level").to_numpy(dtype=float)
    trees = Trees(n_trees=len(people), n_dev_trees=1, n_turns=TREE_TURNS, branch="random", tie="drop")
    verdicts = verdict_table(grow_trees(chat, people, trees, seed))  # type: ignore[arg-type]
    signed = verdicts["outcome"].map({"hinted": 1.0, "plain": -1.0}).fillna(0.0)
    answers = (gaps.mean(axis=1), gaps @ slope_weights(N_TURNS), signed.groupby(verdicts["profile"]).mean().to_numpy())
    tests = [stats.ttest_1samp(values, 0.0).pvalue for values in answers]
    return (effect, seed, *(float(np.mean(values)) for values in answers), *map(float, tests),
            float(scores["level"].astype(float).mean()))  # fmt: skip


def some_cases(seed: int) -> list[Persona]:
    """Every held-out profile with one of the held-out personalities, which moves on with the seed."""
    files = load_params("sandbox").personas
    profiles, personalities = (load_texts(ROOT / path, 1) for path in
                               (files.benchmark_profiles, files.benchmark_personalities))  # fmt: skip
    everybody = {(case.profile_id, case.personality_id): case for case in join_all(profiles, personalities)}
    return [
        everybody[profile.id, personalities[(place + seed) % len(personalities)].id]
        for place, profile in enumerate(profiles)
    ]


def report(rows: pd.DataFrame) -> tuple[str, bool]:
    """The Markdown table, and whether every target is met."""
    lines = [
        f"Worlds of {len(some_cases(0))} held-out personas (one per profile), {N_TURNS} turns with the simulated "
        f"responder as policy, and preference dialogues of {TREE_TURNS} turns; simulator and judges with a seed of "
        f"their own in each. Tests: t on profiles, three a world, corrected by Holm at {ALPHA:g}. Targets: at most "
        f"{MOST_FALSE:.0%} of worlds without an effect call any of the three significant, at least {LEAST_TRUE:.0%} of "
        "those with one.", "",
        "| effect | worlds | AVG | dAL | slope of dAL | hinted less plain preferred | dAL found | slope found | "
        "preference found | any found | target met |",
        "|---|" + "---:|" * 9 + "---|",
    ]  # fmt: skip
    good = True
    for effect, own in rows.groupby("effect"):
        found = np.array(list(significant(own)))
        any_found = float(found.any(axis=1).mean())
        met = any_found <= MOST_FALSE if effect == 0 else any_found >= LEAST_TRUE
        good = good and met
        means = own[["al", *QUESTIONS]].mean()
        lines.append(
            f"| {effect:g} | {len(own)} | " + " | ".join(f"{value:.3f}" for value in means) + " | "
            + " | ".join(f"{int(column.sum())}" for column in found.T)
            + f" | {int(found.any(axis=1).sum())} | {'yes' if met else '**no**'} |"
        )  # fmt: skip
    return "\n".join(lines) + "\n", good


def significant(rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Per world, which of the three are significant after Holm; a test that nothing varies in finds nothing."""
    for values in rows[[f"p_{name}" for name in QUESTIONS]].fillna(1.0).to_numpy():
        yield np.array([p is not None and p < ALPHA for p in holm(values.tolist())])


if __name__ == "__main__":
    sys.exit(main())
