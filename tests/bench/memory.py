"""Peak memory of growing many dialogues beside that of growing few: it should hardly differ.

In: two numbers of dialogues. Out: a table on stdout and in `outputs/bench/memory.md`. Each number runs in a process of
its own against the simulated model in that process, with ten turns and 16 requests in flight. `make bench` runs it.
"""

import argparse
import dataclasses
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from aloe.chat import open_chat
from aloe.dialogues import grow_trees
from aloe.params import ROOT, load_params
from aloe.records import Persona, write_jsonl
from aloe.runs import OUTPUTS, Run
from aloe.texts import load_texts
from aloe.writing import write_text


def main() -> int:
    """Measure both numbers, print the table, write it; with `--grow`, be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--grow", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        grow(options.grow, options.turns)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return 0
    megabytes = {n: measured(n, options.turns) for n in (options.few, options.many)}
    rows = [f"| {n:,} | {size:,.0f} | {size / megabytes[options.few]:.2f} |" for n, size in megabytes.items()]
    lines = [f"Dialogues of {options.turns} turns, simulated model in the same process.", "",
             f"| dialogues | peak MB | to {options.few:,} |", "|---|---|---|", *rows]  # fmt: skip
    text = "\n".join(lines) + "\n"
    print(text)
    write_text(OUTPUTS / "bench" / "memory.md", text)
    return 0


def measured(n: int, turns: int) -> float:
    """Peak resident memory in MB (Linux counts it in KiB) of a process that grows `n` dialogues."""
    command = [sys.executable, __file__, "--grow", str(n), "--turns", str(turns)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout) / 1024


def grow(n: int, turns: int) -> None:
    """Grow dialogues against the simulated model in this process."""
    params = load_params("sandbox")
    trees = dataclasses.replace(params.trees, n_turns=turns)
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
        run = Run("bench", params, Path(folder))
        with open_chat(run) as chat:
            write_jsonl(run.trees, grow_trees(chat, some_personas(n), trees, params.seed))


def some_personas(n: int) -> list[Persona]:
    """Pairs of seed texts, each under as many names as it takes, so that no two ask for the same."""
    files = load_params("sandbox").personas
    profiles = load_texts(ROOT / files.seed_profiles, 1)
    personalities = load_texts(ROOT / files.seed_personalities, 1)
    personas = []
    for i in range(n):
        profile, personality = profiles[i % len(profiles)], personalities[i // len(profiles) % len(personalities)]
        text = f"{profile.text} I am number {i}."
        personas.append(Persona(f"train-p{i}-t{i}", f"train-p{i}", f"train-t{i}", text, personality.text))
    return personas


if __name__ == "__main__":
    sys.exit(main())
