"""Training on one GPU: tokens per second, memory above the weights and utilisation, Unsloth's arms beside plain TRL.

In: nothing but this repository; models are random at the true shapes, no network is asked. Out: one row at a time, the
most important first, on stdout and in `training_gpu.csv` and `.md` under `--out` (default outputs/bench/). A row is a
process of its own with a limit in time; what fails is a row that says so, what is in the file is not measured again.

Where torch, transformers, peft and accelerate are installed and no package index is reached, the rest comes along as
wheels: `make gpu-wheels` here, then there, repeated until nothing is missing:
    python3 -m pip install -q --no-index --no-deps --upgrade --target /tmp/site .wheels/*.whl
    PYTHONPATH=$PWD:/tmp/site python3 tests/bench/training_gpu.py --seconds 540
To see that it runs, without a GPU: `--device cpu --sizes toy`.
"""

import argparse
import contextlib
import csv
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gpu_rows import ARMS, SHAPES, Row, ceiling, measure, save_model

from aloe.params import ROOT
from aloe.runs import OUTPUTS
from aloe.writing import write_text

FOUND = ("device", "tokens_per_second", "gib_above_weights", "gib_weights", "utilisation", "seconds_a_step", "steps",
         "tokens_a_step", "ceiling_tflops", "versions", "outcome")  # fmt: skip
COLUMNS = (*Row._fields, *FOUND)
LATE = "failed: not done after"
TASKS = {"sft": (8192, 2048), "dpo": (0,)}  # 0: as long as the study's pairs are


def main() -> int:
    """Measure what is not measured yet; with `--measure`, be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--sizes", nargs="+", choices=list(SHAPES), default=["8B", "3B", "1B"])
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--steps", type=int, default=8, help="of a row; the first two are not counted")
    parser.add_argument("--limit", type=float, default=200, help="seconds that a row may take, its model included")
    parser.add_argument("--seconds", type=float, default=1e9, help="no row is started after so many")
    parser.add_argument("--models", type=Path, default=Path(tempfile.gettempdir(), "aloe-bench-models"))
    parser.add_argument("--out", type=Path, default=OUTPUTS / "bench")
    parser.add_argument("--again", action="store_true", help="measure failed rows again")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        what = json.loads(options.measure)
        print(json.dumps(part(what, options)))
        return 0
    begun, wanted = time.monotonic(), rows_of(options)
    held = read(options.out, options.again) or read(OUTPUTS / "bench", options.again)
    if options.device == "cuda" and not torch.cuda.is_available():
        if not held:
            save(options.out, [], wanted, {})
        print("no CUDA device here, so nothing was measured; on a GPU box run the same command", file=sys.stderr)
        return 1
    peak = in_a_process({"part": "ceiling"}, options, options.limit)
    print(peak, flush=True)
    if peak["outcome"] != "ok":
        return 1
    for row in wanted:
        if any(same(row, other, peak.get("device")) for other in held):
            continue
        left = options.seconds - (time.monotonic() - begun)
        if left < options.limit / 2:
            break
        found = in_a_process({"part": "build", "size": row.size}, options, min(left, options.limit))
        left = options.seconds - (time.monotonic() - begun)
        if found["outcome"] == "ok":
            found = in_a_process({"part": "row", **row._asdict(), **peak}, options, min(left, options.limit))
        if found["outcome"].startswith(LATE) and left < options.limit:
            break  # it had less time than a row may take: to be measured by the next call, not a failure
        held.append({**row._asdict(), **peak, **found})
        print(line(held[-1]), flush=True)
        save(options.out, held, wanted, peak)
    save(options.out, held, wanted, peak)
    print((options.out / "training_gpu.md").read_text(encoding="utf-8"))
    return 0


def rows_of(options: argparse.Namespace) -> list[Row]:
    """What to measure, the most important first: large before small, long before short, DPO last."""
    tasks = [(task, length) for task in ("sft", "dpo") if task in options.tasks for length in TASKS[task]]
    if "toy" in options.sizes:
        tasks = [(task, min(length, 256)) for task, length in tasks]
    rows = [Row(size, task, length, arm) for size in options.sizes for task, length in tasks for arm in options.arms]
    return list(dict.fromkeys(rows))


def part(what: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """What a process of its own does: the matrix products' ceiling, a model on disk, or one row."""
    kind = what.pop("part")
    if kind == "ceiling":
        return {**ceiling(options.device), "outcome": "ok"}
    folder = options.models / what["size"]
    if kind == "build":
        save_model(SHAPES[what["size"]], folder, options.device)
        return {"outcome": "ok"}
    row = Row(**{key: what[key] for key in Row._fields})
    return {**measure(row, folder, options.device, options.steps, what["ceiling_tflops"]), "outcome": "ok"}


def in_a_process(what: dict[str, Any], options: argparse.Namespace, limit: float) -> dict[str, Any]:
    """Its result, or why there is none under `outcome`."""
    command = [sys.executable, __file__, "--measure", json.dumps(what), "--device", options.device,
               "--steps", str(options.steps), "--models", str(options.models)]  # fmt: skip
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as told:
        # A group of its own, and files instead of pipes: workers that compile kernels outlive the process they serve.
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=said, stderr=told, text=True, start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"},
        )  # fmt: skip
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            code = None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        out, trouble = (stream.read() for stream in (said, told) if not stream.seek(0))
    if code == 0:
        return dict(json.loads(out.splitlines()[-1]))
    print(trouble[-3000:], file=sys.stderr)
    if code is None:
        return {"outcome": f"{LATE} {limit:.0f} s"}
    last = next((text for text in reversed(trouble.splitlines()) if text and text[0] != " "), f"ended with {code}")
    reason = "out of memory" if "out of memory" in trouble.lower() else last.rpartition("UserError: ")[2][:200]
    return {"outcome": f"failed: {reason}"}


def same(row: Row, held: dict[str, Any], device: str | None) -> bool:
    """Is this row there already, measured on the same card?"""
    return held["device"] == device and all(str(held[key]) == str(value) for key, value in row._asdict().items())


def read(folder: Path, again: bool) -> list[dict[str, Any]]:
    """The rows of a file; without those that failed where they are to be tried again."""
    path = folder / "training_gpu.csv"
    if not path.is_file():
        return []
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    return [dict(row) for row in rows if not again or row["outcome"] == "ok"]


def save(folder: Path, held: Sequence[dict[str, Any]], wanted: Sequence[Row], peak: dict[str, Any]) -> None:
    """Both files anew; rows that were wanted and are not there stand in the table as "not measured"."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(held)
    write_text(folder / "training_gpu.csv", buffer.getvalue())
    missing = [row for row in wanted if not any(same(row, other, peak.get("device")) for other in held)]
    words = [word for before, word in itertools.pairwise(sys.argv) if {before, word}.isdisjoint(("--out", "--models"))]
    command = " ".join(["python tests/bench/training_gpu.py", *words])
    lines = [
        f"Random Llamas (bfloat16, vocabulary 128,256; toy: 2,048), LoRA of rank 64 on all linear layers. `{command}`",
        "",
        "SFT on dialogues as long as the study's, packed, every token learned; DPO with its reference's pass, on pairs "
        "as long as the study's. Utilisation: FLOPs that the model needs (4N and attention a token with LoRA, 6N in "
        "full, 2N more for a reference; nothing recomputed) to those of the card's fastest matrix product. Ratios are "
        "to plain TRL with LoRA in the same task.", "",
        "| size | task | length | arm | tokens/s | ratio | GiB above weights | ratio | GiB weights | utilisation |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(line(row, held) for row in held),
        *(line({**row._asdict(), "outcome": "not measured"}) for row in missing), "",
        *sorted({f"{row['device']}: {row['ceiling_tflops']} TFLOP/s; {row['versions']}" for row in held
                 if row.get("versions")}),
    ]  # fmt: skip
    write_text(folder / "training_gpu.md", "\n".join(lines) + "\n")


def line(row: dict[str, Any], held: Sequence[dict[str, Any]] = ()) -> str:
    """One row of the table."""
    start = f"| {row['size']} | {row['task']} | {int(row['length']) or 'as it is'} | {row['arm']} | "
    if row["outcome"] != "ok":
        return f"{start}{row['outcome']} | | | | | |"
    task = ("device", "size", "task", "length")
    plain = next((other for other in held if other["arm"] == next(iter(ARMS)) and other["outcome"] == "ok"
                  and all(str(other[key]) == str(row[key]) for key in task)), None)  # fmt: skip

    def ratio(key: str) -> str:
        return f"{float(row[key]) / float(plain[key]):.2f}" if plain else ""

    return (f"{start}{float(row['tokens_per_second']):,.0f} | {ratio('tokens_per_second')} "
            f"| {float(row['gib_above_weights']):.2f} | {ratio('gib_above_weights')} | {float(row['gib_weights']):.2f} "
            f"| {float(row['utilisation']):.1%} |")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
