"""Do the audits find what was planted? Coverage of their 95% intervals over seeds; exits with 1 if a target is missed.

In: a number of seeds. Out: `outputs/bench/audits.csv` (setting, seed, audit, planted, value, low, high) and
`audits.md`. For each seed 40 personas are written and hold dialogues of 10 turns by the study's own code, with all
faults planted at once, in two settings, and with none. The better reply of each pair comes from the same judge without
faults. To be affordable, the simulated model does without its embeddings (99% of its time), so it prefers and
recognises by words alone; how the planted faults fall on its answers is the same. `--rules` prints
`aloe/data/rule_errors.yaml` instead, from seeds that the calibration does not use. What each number means: the
docstring of `aloe/audit_model.py`.
"""

import argparse
import asyncio
import csv
import dataclasses
import functools
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aloe.asking import instruct
from aloe.audit_model import RuleErrors
from aloe.dialogues import grow_trees
from aloe.label_audit import Reference, label_estimates
from aloe.params import ROOT, Trees, load_params
from aloe.preferences import history
from aloe.prompts import conversation, render
from aloe.records import DialogueTree, Message, Persona, Turn
from aloe.reference import known_of
from aloe.rule_errors import errors_in
from aloe.runs import OUTPUTS
from aloe.sandbox import judge, meaning, writer
from aloe.sandbox.model import Knobs, complete
from aloe.simulator_audit import user_estimates
from aloe.telling import disclosed, facts_of, paths, told_in, words_of
from aloe.texts import load_texts
from aloe.writing import write_text

N_TREES, N_TURNS = 40, 10
NONE = Knobs(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SETTINGS = {  # errors of the judge: the first five turns, and the others
    "first": Knobs(1.0, 0.0, 0.05, 0.05, 0.10, 0.03, 0.10, (*[0.01] * 5, 0.04)),
    "second": Knobs(1.0, 0.0, 0.10, 0.03, 0.20, 0.06, 0.15, (*[0.05] * 5, 0.02)),
    "none": NONE,
}
RULES = (Knobs(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.1), range(1000, 1008))
TARGET_COVERAGE, TARGET_HALF_WIDTH, TARGET_AT_ZERO = 0.89, 0.05, 0.02
OUT = OUTPUTS / "bench" / "audits.csv"
COLUMNS = ("setting", "seed", "audit", "planted", "value", "low", "high")


class Direct:
    """A chat that asks the simulated model without a protocol, one dialogue after the other."""

    def __init__(self, seed: int, knobs: Knobs) -> None:
        self.seed, self.knobs, self.unparseable = seed, knobs, Counter[str]()

    async def ask(self, role: str, messages: Sequence[Message], *, repeat: int = 0, judge: int = 0) -> str:
        """The reply of a role, as the served model gives it."""
        asked = [{"role": message.role, "content": message.content} for message in messages]
        return complete(asked, self.seed * 1_000_003 + self.seed, self.knobs)

    def model(self, role: str) -> str:
        """Who answers in a role."""
        return "simulated"

    def prompt(self, name: str, **fields: str) -> str:
        """A prompt of the study."""
        return render(name, **fields)

    def run(self, jobs: Sequence[Callable[[], Any]], label: str) -> list[Any]:
        """Run the jobs in order."""

        async def job_by_job() -> list[Any]:
            return [await job() for job in jobs]

        return asyncio.run(job_by_job())


def main() -> int:
    """Measure what is not in the file yet, write the table, compare with the targets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--rules", action="store_true", help="print what the rule of `telling` gets right")
    options = parser.parse_args()
    lighten()
    if options.rules:
        print("\n".join(f"{name}: {value:.4f}" for name, value in measured_rules()._asdict().items()))
        return 0
    measure(options.seeds)
    text, good = report(pd.read_csv(OUT))
    write_text(OUT.with_suffix(".md"), text)
    print(text)
    return 0 if good else 1


def lighten() -> None:
    """Take the embeddings out of the simulated model: everything is as far from everything else in meaning."""
    nothing = np.zeros(384, dtype=np.float32)
    meaning.vector = lambda text: nothing
    meaning.together = lambda texts: dict.fromkeys(texts, nothing)
    meaning.fixed = lambda texts: np.zeros((len(texts), 384), dtype=np.float32)  # type: ignore[assignment]
    judge.fit = functools.lru_cache(maxsize=20_000)(judge.fit)


def some_personas(seed: int) -> list[Persona]:
    """Personas that the simulated writer makes up, no two alike, from the shipped seeds."""
    files, rng = load_params("sandbox").personas, random.Random(f"audits-{seed}")
    texts = [
        [text.text for text in load_texts(ROOT / path, 1)] for path in (files.seed_profiles, files.seed_personalities)
    ]
    profiles = writer.write_profiles(rng.sample(texts[0], 5), N_TREES, rng)
    personalities = writer.write_personalities(rng.sample(texts[1], 5), N_TREES, rng)
    pairs = enumerate(zip(profiles, personalities, strict=True))
    return [Persona(f"train-p{i}-t{i}", f"train-p{i}", f"train-t{i}", a, b) for i, (a, b) in pairs]


def grown(seed: int, knobs: Knobs) -> tuple[list[DialogueTree], Reference]:
    """Trees with faults, and what the same model says of them without."""
    params = Trees(n_trees=N_TREES, n_dev_trees=1, n_turns=N_TURNS, branch="random", tie="drop")
    trees = grow_trees(Direct(seed, knobs), some_personas(seed), params, seed)  # type: ignore[arg-type]
    return trees, known_of(Direct(seed, NONE), trees)  # type: ignore[arg-type]


def planted(knobs: Knobs) -> dict[str, float]:
    """The value that each audit should find."""
    return {
        "position_bias": knobs.position_bias, "length_bias": knobs.length_bias,
        "judge_error_first_half": knobs.error_at(1), "judge_error_second_half": knobs.error_at(N_TURNS),
        "leak": knobs.leak, "missed_inference": knobs.missed_inference, "early_disclosure": knobs.early_disclosure,
    }  # fmt: skip


def measure(n_seeds: int) -> None:
    """Append the estimates of every setting and seed that the file lacks."""
    done = set()
    if OUT.is_file():
        with OUT.open(encoding="utf-8") as lines:
            done = {(row["setting"], int(row["seed"])) for row in csv.DictReader(lines)}
    else:
        write_text(OUT, ",".join(COLUMNS) + "\n")
    errors = errors_in(simulated=True)
    for seed in range(n_seeds):
        for setting, knobs in SETTINGS.items():
            if (setting, seed) not in done:
                rows = "".join(f"{setting},{seed},{row}\n" for row in estimates(seed, knobs, errors))
                with OUT.open("a", encoding="utf-8") as file:
                    file.write(rows)
                print(setting, seed, file=sys.stderr, flush=True)


def estimates(seed: int, knobs: Knobs, errors: RuleErrors) -> list[str]:
    """The rows of one seed: audit, planted, value, low, high. Nothing of the knobs reaches the audits."""
    trees, known = grown(seed, knobs)
    found = label_estimates(trees, errors, 0.95, known) | user_estimates(trees, errors, 0.95)
    truth = planted(knobs)
    if knobs is NONE:  # what comes of these has no rate of its own, but has to be nothing where nothing is planted
        truth |= {"untold_in_reply": 0.0, "contradictions": 0.0, "like_assistant": 0.0}
    return [
        ",".join(
            [name, f"{value:g}", *("" if number is None else f"{number:.5f}" for number in found[name] or [None] * 3)]
        )
        for name, value in truth.items()
    ]


def measured_rules() -> RuleErrors:
    """The rule's errors, over the seeds of `RULES`: beside what the faultless inducer says, and message by message.

    Each message is asked for twice more, by a user who never tells one fact more and by one who always does, all else
    being equal; so what is counted does not depend on how often chance made the user tell one more.
    """
    knobs, seeds = RULES
    counts: Counter[tuple[bool, bool]] = Counter()
    seconds: list[bool] = []
    for seed in seeds:
        trees, known = grown(seed, knobs)
        for tree in trees:
            told = disclosed(tree)
            counts.update(
                (fact.text in known[turn.id].profile, i in told[turn.id].told)
                for turn in tree.turns for i, fact in enumerate(facts_of(tree.persona.profile))
            )  # fmt: skip
            seconds += seen_seconds(seed, tree)
    return RuleErrors(
        counts[True, True] / (counts[True, True] + counts[True, False]),
        counts[False, False] / (counts[False, True] + counts[False, False]),
        sum(seconds) / len(seconds),
    )


def seen_seconds(seed: int, tree: DialogueTree) -> list[bool]:
    """Of the messages that tell a fact anyway while two are untold: does the rule see two once one more is told?"""
    facts, told = facts_of(tree.persona.profile), disclosed(tree)
    users = [Direct(seed, dataclasses.replace(NONE, early_disclosure=rate)) for rate in (0.0, 1.0)]
    found = []
    for turn_id, path in paths(tree).items():
        before = told[turn_id].before
        if len(facts) - len(before) >= 2:
            alone, more = (
                len(told_in(facts, words_of(said_next(user, tree.persona, path[:-1]))) - before) for user in users
            )
            found += [more >= 2] * (alone >= 1)
    return found


def said_next(user: Direct, persona: Persona, path: Sequence[Turn]) -> str:
    """What a simulated user says after these turns."""
    prompt = render("user", profile=persona.profile, personality=persona.personality,
                    conversation=conversation(history(path)))  # fmt: skip
    return asyncio.run(user.ask("user", instruct(prompt)))


def report(rows: pd.DataFrame) -> tuple[str, bool]:
    """The Markdown table and whether every target is met."""
    head = ("setting", "audit", "planted", "mean estimate", "covered", "median half-width", "target met")
    lines = [
        f"{N_TREES} trees of {N_TURNS} turns a seed, 95% intervals, all faults of a setting planted at once. Targets: "
        f"{TARGET_COVERAGE:.0%} of intervals cover, median half-width at most {TARGET_HALF_WIDTH}; where nothing "
        f"is planted the mean estimate is below {TARGET_AT_ZERO}. Seeds {rows['seed'].min()} to {rows['seed'].max()}.",
        "",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    good = True
    for (setting, audit), own in rows.groupby(["setting", "audit"], sort=False):
        truth, n = float(own["planted"].iloc[0]), len(own)
        covered = int(((own["low"] <= truth) & (truth <= own["high"])).sum())
        half, mean = float(((own["high"] - own["low"]) / 2).median()), float(own["value"].mean())
        met = covered >= TARGET_COVERAGE * n and half <= TARGET_HALF_WIDTH
        if setting == "none":
            met = abs(mean) < TARGET_AT_ZERO
        good &= met
        numbers = f"{truth:g} | {mean:.4f} | {covered} of {n} | {half:.3f}"
        lines.append(f"| {setting} | {audit} | {numbers} | {'yes' if met else 'no'} |")
    return "\n".join(lines) + "\n", good


if __name__ == "__main__":
    sys.exit(main())
