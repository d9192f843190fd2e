"""Is anything lost or paid twice when growing trees is killed again and again? Exits with 1 if so.

In: a number of kills, of trees, a latency. Out: a table on stdout and in `outputs/bench/kills.md`. Trees are grown over
loopback by processes of their own: undisturbed at several numbers of requests in flight, then with SIGKILLs at random
moments. Each needs the same `trees.jsonl`, and the server's count says what was answered twice. `make bench` runs it.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from asking import served
from memory import some_personas

from aloe.chat import open_chat
from aloe.dialogues import grow_trees
from aloe.params import ROOT, Endpoint, load_params
from aloe.records import write_jsonl
from aloe.runs import OUTPUTS, Run
from aloe.writing import write_text

WIDTHS = (8, 1, 32)  # requests in flight of the undisturbed runs; the first is that of the killed one
ALLOWED = 0.05  # calls answered in vain, as a share of the undisturbed count; and one per kill and request in flight


def main() -> int:
    """Grow undisturbed, then killed; print and write the table; with `--grow`, be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds that every answer takes at least")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--grow", nargs=3, metavar=("FOLDER", "URL", "WIDTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.grow:
        grow(Path(options.grow[0]), options.grow[1], int(options.grow[2]), options.trees)
        return 0
    head = ("run", "in flight", "kills", "calls answered", "to undisturbed", "trees.jsonl")
    lines = [f"{options.trees} trees of 10 turns over loopback, {options.latency:g} s per answer.", ""]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    runs: list[tuple[int, str]] = []
    n_kills = 0
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
        for number, width in enumerate((*WIDTHS, WIDTHS[0])):
            place = Path(folder, str(number))
            with served(options.latency) as url:
                command = [
                    sys.executable,
                    __file__,
                    "--trees",
                    str(options.trees),
                    "--grow",
                    str(place),
                    url,
                    str(width),
                ]
                if number == len(WIDTHS):
                    n_kills = killed(command, url, options.kills, runs[0][0], random.Random(options.seed))
                subprocess.run(command, cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
                answered = calls(url, "answered")
            runs.append((answered, hashlib.sha256((place / "trees" / "trees.jsonl").read_bytes()).hexdigest()))
            lines.append(f"| {'killed' if n_kills else 'undisturbed'} | {width} | {n_kills} | {answered:,} "
                         f"| {answered - runs[0][0]:+,} | {runs[-1][1][:12]} |")  # fmt: skip
            print(lines[-1], file=sys.stderr)
    extra, most = runs[-1][0] - runs[0][0], min(ALLOWED * runs[0][0], WIDTHS[0] * n_kills)
    fine = n_kills == options.kills and len({digest for _, digest in runs}) == 1 and extra <= most
    lines += [
        "",
        f"Same trees in every run, and at most {most:.0f} calls answered in vain: {'yes' if fine else '**no**'}.",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    write_text(OUTPUTS / "bench" / "kills.md", text)
    return 0 if fine else 1


def killed(command: list[str], url: str, n: int, total: int, rng: random.Random) -> int:
    """Start a command `n` times and kill it: one time in four while it is starting, else while it is asking.

    Args:
        command: what to run; it goes on where it was killed.
        url: of the server that it asks.
        n: how often.
        total: calls of an undisturbed run; a kill comes at most a share of `n` of them after the start, so that there
            is something left to kill the last time.
        rng: draws the moments.

    Returns: how many were killed; those missing had ended before.
    """
    count = 0
    for _ in range(n):
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            if rng.random() < 0.25:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(rng.uniform(0, 3))
            else:
                enough = calls(url, "received") + 1 + rng.uniform(0, total / n - 2)
                while process.poll() is None and calls(url, "received") < enough:
                    time.sleep(0.01)
            if process.poll() is None:
                process.kill()
                count += 1
    return count


def calls(url: str, kind: str) -> int:
    """How many calls the server has "received" or "answered" whole."""
    with urllib.request.urlopen(f"{url.removesuffix('/v1')}/stats") as answer:
        return int(json.loads(answer.read())[kind])


def grow(folder: Path, url: str, width: int, n: int) -> None:
    """Grow `n` trees with personas made of the seed texts, asking one server for every role."""
    params = load_params("sandbox")
    endpoint = Endpoint(url, None, width, timeout_s=60.0, max_retries=12)
    run = Run("bench", dataclasses.replace(params, endpoints={"simulated": endpoint}), folder)
    with open_chat(run) as chat:
        write_jsonl(run.trees, grow_trees(chat, some_personas(n), params.trees, params.seed))


if __name__ == "__main__":
    sys.exit(main())
