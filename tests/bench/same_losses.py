"""Do notebooks 04 and 05 end at the same losses on a GPU, through Unsloth, as on a CPU? Exits with 1 if not.

In: a finished run of a preset: its `trees/trees.jsonl` and its `metrics.json`. Out: a table on stdout and in
`same_losses.md` under `--out` (default outputs/bench/); the run is not changed. The trainings are the notebooks',
with the backend that is named. Nobody else calls this.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aloe import training
from aloe.params import load_params
from aloe.runs import OUTPUTS, Run
from aloe.writing import write_text

COUNTS = ("sequences", "pairs", "learned_tokens", "steps")
LOSSES = ("loss_before", "train_loss", "loss_after")
SAME = 0.02  # relative


def main() -> int:
    """Train, compare, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="sandbox")
    parser.add_argument("--run", type=Path, help="its folder (default: that of the preset under outputs/)")
    parser.add_argument("--backend", default="unsloth", choices=("unsloth", "transformers"))
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="of the weights, in place of the preset's")
    parser.add_argument("--out", type=Path, default=OUTPUTS / "bench")
    options = parser.parse_args()
    folder = options.run or OUTPUTS / options.preset
    there = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["training"]
    params = load_params(options.preset)
    section = dataclasses.replace(
        params.training, backend=options.backend, dtype=options.dtype or params.training.dtype, report_to="none"
    )
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as place:
        run = Run(options.preset, dataclasses.replace(params, training=section), Path(place))
        run.trees.parent.mkdir(parents=True)
        shutil.copy(folder / "trees" / "trees.jsonl", run.trees)
        here = {f"sft_{which}": training.train_sft(run, which) for which in ("preferred", "rejected")}
        here["dpo"] = training.train_dpo(run)
    text = table(there, here)
    print(text)
    write_text(options.out / "same_losses.md", text)
    return 0 if fine(there, here) else 1


def compared(there: dict[str, Any], here: dict[str, Any], keys: Sequence[str]) -> list[tuple[str, str, float, float]]:
    """Stage, key, and both values, of the keys that a stage has."""
    return [(s, key, there[s][key], found[key]) for s, found in here.items() for key in keys if key in found]


def fine(there: dict[str, Any], here: dict[str, Any]) -> bool:
    """Did both train on the same, and end within 2%?"""
    same = all(a == b for *_, a, b in compared(there, here, COUNTS))
    return same and all(abs(a - b) <= SAME * abs(a) for *_, a, b in compared(there, here, LOSSES))


def table(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Counts and losses of both, and what they ran with."""
    ran = {name: found["dpo"]["settings"] for name, found in (("there", there), ("here", here))}
    said = (f"{name}: {s['backend']}, {s['device']}, weights in {s['dtype']}" for name, s in ran.items())
    lines = [f"{'; '.join(said)}.", "", "| stage | what | there | here | here to there |", "|---|---|---|---|---|"]
    lines += [f"| {s} | {key} | {a:,} | {b:,} | |" for s, key, a, b in compared(there, here, COUNTS)]
    lines += [f"| {s} | {key} | {a:.4f} | {b:.4f} | {b / a:.4f} |" for s, key, a, b in compared(there, here, LOSSES)]
    return "\n".join([*lines, "", f"The same to 2%: {'yes' if fine(there, here) else '**no**'}."]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
