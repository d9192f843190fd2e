"""The near-duplicate filter beside one that embeds anew for every comparison, and its memory with a large pool.

In: nothing; the simulated writer fills a pool first, untimed. Out: a table on stdout, and `outputs/bench/personas.md`.
Both arms embed the same texts with the same embedder in one run, the pool included, and must decide alike. The ratio of
CPU seconds is given beside that of the clock, since other programs slow only the latter. The memory row runs in a
process of its own, on random unit rows: 100,000 real texts would take an hour to embed. `make bench` runs it.
"""

import argparse
import contextlib
import dataclasses
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aloe.chat import open_chat
from aloe.embedding import DIMENSION, embed
from aloe.near_duplicates import Pool
from aloe.params import ROOT, load_params
from aloe.personas import expand
from aloe.runs import OUTPUTS, Run
from aloe.texts import load_texts
from aloe.writing import write_text

POOL, OFFERED = 331, 20  # the published pool of profiles, and one reply of the writer
LARGE = 100_000
BATCH = 160  # what a round of the expansion offers
SHARE = 0.01  # the writer goes on until so few of its texts are new


class Timed(NamedTuple):
    """One arm: what it decided, how many texts it embedded, and seconds of the clock and of this process's CPU."""

    arm: str
    pool: int
    kept: list[bool]
    embedded: int
    seconds: float
    cpu: float


class Counting:
    """The embedder, and how many texts it was given."""

    def __init__(self) -> None:
        self.texts = 0

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.texts += len(texts)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            return embed(texts)


def main() -> int:
    """Measure, print the table, write it; with `--large`, be the process of the memory row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of the filter; the slow arm runs once")
    parser.add_argument("--large", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.large:
        print(*large(options.large))
        return 0
    written, threshold = some_profiles()
    small = part(written, POOL)
    twice = part(written, 2 * POOL)
    embed(["warm up"])
    ours, double = [], []
    for _ in range(options.rounds):
        ours.append(with_pool(*small, threshold))
        double.append(with_pool(*twice, threshold))
    slow = one_by_one(*small, threshold)
    assert all(timed.kept == slow.kept for timed in ours), "the two filters decide differently"
    text = table(slow, ours, double, measured_large())
    print(text)
    write_text(OUTPUTS / "bench" / "personas.md", text)
    return 0


def some_profiles() -> tuple[list[tuple[str, bool]], float]:
    """Profiles of the simulated writer in the order in which they came, each with what became of it; the threshold."""
    params = load_params("sandbox")
    # Saturation would stop the writer before there are enough of them.
    files = dataclasses.replace(params.personas, min_accept_share=SHARE)
    seeds = load_texts(ROOT / files.seed_profiles, files.shots)
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder, open_chat(Run("x", params, Path(folder))) as chat:
        grown = expand(chat, seeds, "profile", files, params.seed, [])
    return [(c.text, c.kept) for c in grown.candidates], files.threshold_profiles


def part(written: Sequence[tuple[str, bool]], size: int) -> tuple[list[str], list[str]]:
    """The first `size` texts that were kept, and the next ones that came, kept or not."""
    places = [place for place, (_, kept) in enumerate(written) if kept]
    if len(places) <= size:
        raise SystemExit(f"the writer filled a pool of {len(places)}, and more than {size} are needed")
    begin = places[size - 1] + 1
    pool = [written[place][0] for place in places[:size]]
    return pool, [text for text, _ in written[begin : begin + OFFERED]]


def with_pool(pool: Sequence[str], offered: Sequence[str], threshold: float) -> Timed:
    """The project's filter: fills a pool, which is embedded in it, then offers."""
    counting = Counting()
    begun, cpu = time.perf_counter(), time.process_time()
    filled = Pool(counting, threshold)
    entries = filled.add(pool)
    kept = [verdict.kept for verdict in filled.add(offered)]
    timed = Timed("the filter", len(pool), kept, counting.texts, time.perf_counter() - begun, time.process_time() - cpu)
    assert all(entry.kept for entry in entries)
    assert counting.texts == len(pool) + len(offered), "a text was embedded twice"
    return timed


def one_by_one(pool: Sequence[str], offered: Sequence[str], threshold: float) -> Timed:
    """The straightforward filter: both texts of every comparison are embedded for it, one after the other."""
    counting, entries, kept = Counting(), list(pool), []
    begun, cpu = time.perf_counter(), time.process_time()
    for number, candidate in enumerate(offered, 1):
        similarities = [float(counting([candidate])[0] @ counting([entry])[0]) for entry in entries]
        kept.append(max(similarities) <= threshold)
        if kept[-1]:
            entries.append(candidate)
        print(f"one by one: {number} of {len(offered)} candidates", file=sys.stderr)
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu
    return Timed("one by one", len(pool), kept, counting.texts, seconds, used)


def measured_large() -> tuple[float, float, float]:
    """Peak resident memory in MB of a process that fills a large pool, that before the pool, and seconds of CPU."""
    command = [sys.executable, __file__, "--large", str(LARGE)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    peak, before, cpu = map(float, done.stdout.split())
    return peak, before, cpu


def large(size: int) -> tuple[float, float, float]:
    """Fill a pool of `size` texts in batches; random rows in so many dimensions are never near one another."""

    def random_rows(texts: Sequence[str]) -> np.ndarray:
        rows = np.random.default_rng(int(texts[0].split()[-1]) if texts else 0).standard_normal(
            (len(texts), DIMENSION), dtype=np.float32
        )
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    before, cpu = peak(), time.process_time()
    pool = Pool(random_rows, 0.8)
    for start in range(0, size, BATCH):
        pool.add([f"A profile of about as many characters as one has. {'It goes on. ' * 30}{i}"
                  for i in range(start, min(start + BATCH, size))])  # fmt: skip
    assert len(pool) == size
    return peak(), before, time.process_time() - cpu


def peak() -> float:
    """This process's peak resident memory in MB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(slow: Timed, ours: Sequence[Timed], double: Sequence[Timed], memory: tuple[float, float, float]) -> str:
    """One row per arm, the best of its rounds, and what the ratios are."""
    own, twice = (min(rounds, key=lambda timed: timed.cpu) for rounds in (ours, double))
    by_clock = [min(rounds, key=lambda timed: timed.seconds).seconds for rounds in (ours, double)]
    kept = f"{sum(slow.kept)} of {len(slow.kept)}"
    lines = [
        f"{OFFERED} candidates offered to a pool, its embedding included; the filter's best of {len(ours)} rounds.", "",
        "| arm | pool | texts embedded | seconds of CPU | seconds | times as long (CPU) | times as long (clock) |",
        "|---|---|---|---|---|---|---|",
        f"| one by one | {slow.pool} | {slow.embedded:,} | {slow.cpu:.2f} | {slow.seconds:.2f} "
        f"| {slow.cpu / own.cpu:.1f} | {slow.seconds / by_clock[0]:.1f} |",
        f"| the filter | {own.pool} | {own.embedded} | {own.cpu:.2f} | {by_clock[0]:.2f} | 1 | 1 |",
        f"| the filter | {twice.pool} | {twice.embedded} | {twice.cpu:.2f} | {by_clock[1]:.2f} "
        f"| {twice.cpu / own.cpu:.2f} | {by_clock[1] / by_clock[0]:.2f} |", "",
        f"Decisions: identical for all {len(slow.kept)} candidates ({kept} kept).", "",
        f"A pool of {LARGE:,} entries in batches of {BATCH}, random unit rows of {DIMENSION}: peak "
        f"{memory[0]:,.0f} MB, of which {memory[1]:,.0f} MB before the first entry; {memory[2]:.0f} s of CPU.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
