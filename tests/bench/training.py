"""Training beside the straightforward way, on this machine's processor: ratios of tokens, time and memory.

In: sizes. Out: a table on stdout and in `outputs/bench/training.md`, the measurements behind it in `training.csv`.
SFT: one sequence or tree per dialogue beside one per prefix, on the shipped base model, over learning rates. DPO
with LoRA: this project's trainer beside the library's defaults, on a random model of about 100M parameters. Every
measurement is a process of its own, and arms take turns. `make bench-training` runs it; no test does.
"""

import argparse
import csv
import io
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_arms import DPO_ARMS, PREFIX, SFT_CELLS, measure, prepare

from aloe.params import ROOT
from aloe.runs import OUTPUTS
from aloe.writing import write_text

QUICK = {"dialogues": 4, "dev": 2, "turns": 3, "rates": [1e-3], "pairs": 4, "rounds": 1, "width": 64}
SFT_LIMITS = {"tokens": 1 / 4, "seconds": 1 / 3, "loss": 0.01}
DPO_LIMITS = {"megabytes": 0.75, "seconds": 0.9}


def main() -> int:
    """Measure, print the tables, write them; with `--measure`, be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest sizes, to see that it runs")
    parser.add_argument("--only", choices=("sft", "dpo"))
    parser.add_argument("--dialogues", type=int, default=100, help="to train on in SFT")
    parser.add_argument("--dev", type=int, default=20, help="dialogues held out")
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-4, 1e-3, 2e-3, 4e-3], help="of SFT")
    parser.add_argument("--pairs", type=int, default=32, help="to train on in DPO")
    parser.add_argument("--rounds", type=int, default=3, help="of DPO")
    parser.add_argument("--width", type=int, default=768, help="of the model in DPO; 768 makes about 110M parameters")
    parser.add_argument("--measure", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(json.loads(options.measure[0]), Path(options.measure[1]))))
        return 0
    if options.quick:
        vars(options).update(QUICK)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
        prepare(Path(folder), options.dialogues, options.dev, options.turns, options.width)
        for number, rate in enumerate(options.rates if options.only != "dpo" else []):
            rows += [
                in_a_process(folder, branch=branch, arm=arm, round=number, rate=rate)
                for branch, arm in dict.fromkeys((branch, arm) for branch, arms in SFT_CELLS for arm in arms)
            ]  # fmt: skip
        for number in range(options.rounds if options.only != "sft" else 0):
            rows += [in_a_process(folder, arm=arm, round=number, pairs=options.pairs) for arm in DPO_ARMS]
    text = "\n".join([*sft_table(rows, options), *dpo_table(rows, options)])
    print(text)
    write_text(OUTPUTS / "bench" / "training.md", text)
    write_text(OUTPUTS / "bench" / "training.csv", as_csv(rows))
    return 0


def in_a_process(folder: str, **what: Any) -> dict[str, Any]:
    """One measurement."""
    command = [sys.executable, __file__, "--measure", json.dumps(what), folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{what} failed:\n{done.stderr[-4000:]}")
    row = {**what, **json.loads(done.stdout.splitlines()[-1])}
    print(row, file=sys.stderr)
    return row


def sft_table(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> list[str]:
    """Ratios are this project's (the first arm's) to the arm of the row: medians over the grid; losses are the best."""
    if options.only == "dpo":
        return []
    lines = [
        f"SFT on the shipped base model: {options.dialogues} dialogues of {options.turns} turns, the same ones a step; "
        f"learning rates {', '.join(f'{rate:g}' for rate in options.rates)}; held-out loss per token of "
        f"{options.dev} dialogues' preferred replies, at each arm's best rate. Dialogues go on with the *preferred* "
        "reply, so that both arms learn the same replies, or with a *random* one, as the study's do: there a preferred "
        "reply that was not taken stands in no history. A *tree* (`training.sft.off_branch`) learns it too, behind its "
        "dialogue; the sandbox's presets leave it to DPO. The first arm of each group is ours.", "",
        "| dialogues | arm | replies learned | tokens read | s | tokens/s | held-out loss | best rate | tokens, ours "
        "to it | time, ours to it | CPU time, ours to it | loss, ours less its |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    verdicts = []
    for branch, arms in SFT_CELLS:
        by_arm = {arm: [row for row in rows if (row.get("branch"), row["arm"]) == (branch, arm)] for arm in arms}
        own = by_arm[arms[0]]
        for arm, found in by_arm.items():
            tokens, seconds, busy, loss = against(own, found)
            best = min(found, key=lambda row: row["loss"])
            edge = " (at the edge)" if best["rate"] in (min(options.rates), max(options.rates)) else ""
            rate = statistics.median(row["tokens"] / row["seconds"] for row in found)
            lines.append(f"| {branch} | {arm} | {found[0]['replies']:,} | {found[0]['tokens']:,} "
                         f"| {statistics.median(row['seconds'] for row in found):.1f} | {rate:,.0f} "
                         f"| {best['loss']:.4f} | {best['rate']:g}{edge} | {tokens:.3f} | {seconds:.3f} | {busy:.3f} "
                         f"| {loss:+.4f} |")  # fmt: skip
        tokens, seconds, _, loss = against(own, by_arm[arms[1]])
        fine = tokens <= SFT_LIMITS["tokens"] and seconds <= SFT_LIMITS["seconds"] and loss <= SFT_LIMITS["loss"]
        verdicts.append(f"{arms[0]} ({branch}) {'yes' if fine else '**no**'}")
    return [*lines, "", f"Beside {PREFIX}: tokens at most 0.25, time at most 0.333, loss at most 0.01 nat above: "
            f"{', '.join(verdicts)}.", ""]  # fmt: skip


def against(own: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> tuple[float, float, float, float]:
    """Tokens, seconds and CPU seconds of one arm to another's, round by round, and the difference of the best losses.

    Other programs slow the clock and hardly the CPU time, which says nothing of what waits or stands idle.
    """
    tokens, seconds, busy = (
        statistics.median(a[key] / b[key] for a, b in zip(own, other, strict=True))
        for key in ("tokens", "seconds", "cpu")
    )
    return tokens, seconds, busy, min(row["loss"] for row in own) - min(row["loss"] for row in other)


def dpo_table(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> list[str]:
    """Ratios are this project's (the first arm's) to the arm of the row: medians over the rounds."""
    by_arm = {arm: [row for row in rows if row["arm"] == arm] for arm in DPO_ARMS}
    own = by_arm[DPO_ARMS[0]]
    if not own:
        return []

    def ratio(found: Sequence[dict[str, Any]], key: str) -> float:
        return statistics.median(a[key] / b[key] for a, b in zip(own, found, strict=True))

    lines = [
        f"DPO with LoRA on a random Llama of {own[0]['parameters'] / 1e6:.0f}M parameters: {options.pairs} pairs of "
        f"{options.turns}-turn dialogues, {own[0]['micro_batch']} at a time, longest {own[0]['longest']:,} tokens; "
        f"medians of {options.rounds} interleaved rounds; time from the trainer's construction to its end.", "",
        "| arm | s | peak MB | loss | time, ours to it | CPU time, ours to it | peak memory, ours to it |",
        "|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for arm, found in by_arm.items():
        seconds, size = (statistics.median(row[key] for row in found) for key in ("seconds", "megabytes"))
        lines.append(f"| {arm} | {seconds:.1f} | {size:,.0f} | {found[0]['loss']:.4f} "
                     f"| {ratio(found, 'seconds'):.3f} | {ratio(found, 'cpu'):.3f} "
                     f"| {ratio(found, 'megabytes'):.3f} |")  # fmt: skip
    other = by_arm[DPO_ARMS[1]]
    fine = all(ratio(other, key) <= limit for key, limit in DPO_LIMITS.items())
    return [*lines, "", f"Beside {DPO_ARMS[1]}: peak memory at most 0.75, time at most 0.9: "
            f"{'yes' if fine else '**no**'}.", ""]  # fmt: skip


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """All measurements, one a row; empty where an arm does not have a value."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
