"""Try settings of SFT or DPO on development personas, which no training and no benchmark case shares a text with.

In: a finished run, a stage, settings as in its preset: `tuning.py dpo batch_size=8 learning_rate=2e-4`. Out: the mean
level of the model on those personas and its slope over turns 4 to 10, added to `outputs/bench/tuning.csv` and printed
beside the trials before it. The run's dialogues are trained on; nothing of the run is changed. Nobody else calls this.
"""

import argparse
import csv
import dataclasses
import functools
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from aloe import benchmark, judging, training
from aloe.chat import open_chat
from aloe.generation import open_policy
from aloe.metrics import summarise
from aloe.policies import Entrant
from aloe.records import Persona, read_jsonl
from aloe.runs import OUTPUTS, Run, open_run, split_of
from aloe.writing import write_text

COLUMNS = ("preset", "seed", "cases", "stage", "settings", "level", "interval", "slope 4 to 10", "interval of slope")


def main() -> int:
    """Train once, let the model talk, add a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=("sft", "dpo"))
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="what differs from the preset")
    parser.add_argument("--preset", default="sandbox")
    parser.add_argument("--run-seed", type=int)
    parser.add_argument("--cases", type=int, default=40, help="development personas to talk with")
    options = parser.parse_args()
    run = open_run(options.preset, options.run_seed)
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
        row = trial(run, options.stage, options.settings, options.cases, Path(folder))
    place = OUTPUTS / "bench" / "tuning.csv"
    rows = list(csv.reader(place.read_text(encoding="utf-8").splitlines()))[1:] if place.is_file() else []
    rows.append([*map(str, row)])
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_text(place, table.to_csv(index=False, lineterminator="\n"))
    print(table.to_string(index=False))
    return 0


def trial(run: Run, stage: str, settings: list[str], n_cases: int, folder: Path) -> tuple[Any, ...]:
    """Train a copy of the run's model with changed settings in `folder`, and score it: a row of `COLUMNS`."""
    changes = {key: json.loads(value) for key, _, value in (text.partition("=") for text in settings)}
    section = dataclasses.replace(getattr(run.params.training, stage), **changes)
    params = dataclasses.replace(run.params, training=dataclasses.replace(run.params.training, **{stage: section}))
    copy = Run("trial", params, folder)
    shutil.copytree(run.trees.parent, copy.trees.parent)
    if stage == "sft":
        training.train_sft(copy, "preferred")
        model = copy.model("sft_preferred")
    else:
        shutil.copytree(run.model("sft_preferred"), copy.model("sft_preferred"))
        training.train_dpo(copy)
        model = copy.model("dpo")
    personas = [p for p in read_jsonl(Persona, run.personas) if split_of(p.id) == "dev"]
    personas = random.Random(f"{run.params.seed}-tuning").sample(personas, n_cases)
    entrant = Entrant("trial", "", functools.partial(open_policy, model, params.benchmark, params.seed))
    with open_chat(copy) as chat:
        held = benchmark.converse(chat, entrant, entrant.open(), personas, params.benchmark.n_turns)
        scores = judging.score_frame(judging.judge(chat, held, params.roles.alignment_judge))
    found = summarise(scores, params.benchmark.confidence, 100, params.seed)
    numbers = []
    for name in ("al_mean", "slope_4_10"):
        low, high = found[f"{name}_ci"]
        numbers += [f"{found[name]:.3f}", f"{low:.3f} to {high:.3f}"]
    return (run.params.name, run.params.seed, n_cases, stage, " ".join(settings) or "as in the preset", *numbers)


if __name__ == "__main__":
    sys.exit(main())
