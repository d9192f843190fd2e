"""How fast the benchmark is: batched turns beside replies one by one, and what scoring spends its time on.

In: a model folder (default: the sandbox's small base model). Out: a table on stdout and in
`outputs/bench/benchmark.md`, the rounds behind it in `benchmark.csv`. Arms take turns within a round, so that what else
the machine does falls on all; a row is the median over the rounds, a ratio the median of the rounds' ratios. `make
bench` runs it; no test does.
"""

import argparse
import cProfile
import csv
import dataclasses
import functools
import io
import pstats
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, NamedTuple

from aloe.asking import instruct
from aloe.benchmark import converse, load_cases
from aloe.chat import open_chat
from aloe.generation import LocalPolicy
from aloe.judging import judge
from aloe.params import ROOT, Params, load_params
from aloe.policies import Entrant
from aloe.prompts import conversation
from aloe.records import Message, Transcript
from aloe.runs import OUTPUTS, Run
from aloe.sandbox import app
from aloe.sandbox.model import Knobs, complete
from aloe.writing import write_text

TURNS = (1, 10)
AIMS = {1: 8.0, 10: 2.5}  # times one by one, at least
ONE_BY_ONE = "one by one"
AGAIN = "all at once, what was read before is kept"
SANDBOX = "the simulated model, with all that it calls"
ASKED_AT_ONCE = (
    "The model alone answers one request after the other; the project asks for several at a time, in threads, which is "
    "why it scores more a second of the clock. What it adds to the model's own work is in the column by CPU."
)
JOURNAL = "the journal"
CLIENT = "the OpenAI client and its packages"
PROJECT = "this project's own code"
REMEMBERED = 500  # entries at least of the simulated model's caches of texts; those of its tables are smaller
Dialogue = Sequence[Message]


class Timed(NamedTuple):
    """One arm in one round: replies (or scores) a second of the clock, and a second of this process's CPU."""

    what: str
    arm: str
    number: int
    asked: int
    rate: float
    per_cpu: float


class Part(NamedTuple):
    """A share of a profile's time."""

    where: str
    share: float


def main() -> int:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=ROOT / "aloe" / "sandbox" / "base_model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cases", type=int, default=100, help="conversations in a turn")
    parser.add_argument("--alone", type=int, default=20, help="how many of them are answered one by one")
    parser.add_argument("--scored", type=int, default=20, help="dialogues whose replies are scored")
    parser.add_argument("--batches", type=int, nargs="*", default=[5, 10, 25, 50], help="further batch sizes to try")
    options = parser.parse_args()
    params = load_params("sandbox")
    rounds: list[Timed] = []
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
        held = dialogues(params, options.model, options.cases, Path(folder))
        arms = {size: policy(params, options.model, size) for size in (1, *options.batches, options.cases)}
        for number in range(options.rounds):
            for turn in TURNS:
                rounds += reply_round(arms, held, turn, number, options.alone)
            rounds += score_round(params, held[: options.scored], number, Path(folder))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        parts = profile_scoring(params, held[: options.scored], Path(folder))
    text = "\n".join([reply_table(rounds, options), score_table(rounds, parts)])
    print(text)
    write_text(OUTPUTS / "bench" / "benchmark.md", text)
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([Timed._fields, *rounds])
    write_text(OUTPUTS / "bench" / "benchmark.csv", buffer.getvalue())
    return 0


def policy(params: Params, model: Path, batch_size: int) -> LocalPolicy:
    """The model, sampled as the preset says, in batches of a size."""
    sizes = params.benchmark
    return LocalPolicy(model, sizes.max_new_tokens, sizes.temperature, batch_size, params.seed)


def dialogues(params: Params, model: Path, n_cases: int, folder: Path) -> list[Transcript]:
    """What the model and the simulated users say to each other; every arm then answers the same histories."""
    run = Run("bench", params, folder / "dialogues")
    with open_chat(run) as chat:
        entrant = Entrant("model", "bench", lambda: policy(params, model, n_cases))
        return converse(chat, entrant, entrant.open(), load_cases(run)[:n_cases], max(TURNS))


def reply_round(
    arms: dict[int, LocalPolicy], held: Sequence[Transcript], turn: int, number: int, alone: int
) -> list[Timed]:
    """All arms at one turn: a sample one by one, all in batches of each size, and all with what was read before."""

    def prompts(k: int) -> list[Dialogue]:
        return [transcript.messages[: 2 * k - 1] for transcript in held]

    sample = prompts(turn)[:: max(1, len(held) // alone)][:alone]
    rows, what = [], f"turn {turn}"
    for size, arm in arms.items():
        asked = sample if size == 1 else prompts(turn)
        arm._read = None  # else it would know these prompts from the last round
        name = ONE_BY_ONE if size == 1 else f"batches of {size}"
        rows.append(timed(what, name, number, len(asked), functools.partial(arm.reply, asked)))
    if turn > 1:  # as in a run, where the turn before has just been answered
        whole = arms[len(held)]
        whole._read = None
        whole.reply(prompts(turn - 1))
        rows.append(timed(what, AGAIN, number, len(held), functools.partial(whole.reply, prompts(turn))))
    return rows


def score_round(params: Params, held: Sequence[Transcript], number: int, folder: Path) -> list[Timed]:
    """Scoring through the project (prompts, journal, client, parsing), and the simulated model asked directly.

    Each arm meets texts that are new to the simulated model, as those of a benchmark are.
    """
    requests = judge_requests(params, held, folder / f"asked-{number}")
    planted = [field.name for field in dataclasses.fields(Knobs) if hasattr(params.sandbox, field.name)]
    knobs = Knobs(**{name: getattr(params.sandbox, name) for name in planted})

    def alone() -> None:
        for request in requests:
            complete(request, params.seed, knobs)

    alone()  # loads its models and tables
    rows = []
    for arm, work in (("the simulated model alone", alone),
                      ("through the project", lambda: scored(params, held, folder / f"scored-{number}"))):  # fmt: skip
        forget()
        rows.append(timed("scoring", arm, number, len(requests), work))
    return rows


def forget() -> None:
    """Take from the simulated model what it remembers of texts; its tables and models stay."""
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith("aloe.sandbox") else ():
            if hasattr(value, "cache_parameters") and (value.cache_parameters()["maxsize"] or 0) >= REMEMBERED:
                value.cache_clear()


def judge_requests(params: Params, held: Sequence[Transcript], folder: Path) -> list[list[dict[str, str]]]:
    """The messages of every request of scoring, in order."""
    with open_chat(Run("bench", params, folder)) as chat:
        found = []
        for transcript in held:
            for turn in range(1, len(transcript.messages) // 2 + 1):
                who, reply = transcript.persona_at(turn), transcript.messages[2 * turn - 1].content
                shown = conversation(transcript.messages[: 2 * turn - 1])
                prompt = chat.prompt("alignment_judge", profile=who.profile, personality=who.personality,
                                     conversation=shown, reply=reply)  # fmt: skip
                found.append([{"role": m.role, "content": m.content} for m in instruct(prompt)])
    return found


def scored(params: Params, held: Sequence[Transcript], folder: Path) -> None:
    """Score every reply with an empty journal."""
    with open_chat(Run("bench", params, folder)) as chat:
        judge(chat, held, params.roles.alignment_judge)


def timed(what: str, arm: str, number: int, count: int, work: Callable[[], Any]) -> Timed:
    """Do it, by the clock and by this process's CPU."""
    begun, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    return Timed(what, arm, number, count, round(count / seconds, 3), round(count / cpu_seconds, 3))


def profile_scoring(params: Params, held: Sequence[Transcript], folder: Path) -> list[Part]:
    """Where scoring spends its time, as a profiler of the thread that asks sees it.

    The simulated model answers in that thread here and not in threads of its own, which the profiler would not see.
    Waiting is left out. A profiler makes many small calls dearer than few large ones.
    """
    forget()
    workers, app._WORKERS = app._WORKERS, _Here()  # type: ignore[assignment]
    profiler = cProfile.Profile()
    try:
        with open_chat(Run("bench", params, folder / "profiled")) as chat:
            chat._loop.call_soon_threadsafe(profiler.enable)
            judge(chat, held, params.roles.alignment_judge)
            chat._loop.call_soon_threadsafe(profiler.disable)
    finally:
        app._WORKERS = workers
    return shares(pstats.Stats(profiler).stats)  # type: ignore[attr-defined]


class _Here(Executor):
    """Threads that are none: what is submitted is done at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def shares(stats: Mapping[tuple[str, int, str], tuple[int, int, float, float, Any]]) -> list[Part]:
    """A profile's seconds by place, as shares of all but waiting: what `complete` takes with all that it calls; the
    journal's reading and writing likewise; own time of the client's packages, and of this project; the rest.
    """
    found = dict.fromkeys((SANDBOX, JOURNAL, CLIENT, PROJECT), 0.0)
    total = 0.0
    for (file, _, name), (_, _, own, whole, _) in stats.items():
        if "'select.epoll'" in name or "'select.kqueue'" in name:
            continue
        total += own
        path = Path(file)
        if path.name == "model.py" and path.parent.name == "sandbox" and name == "complete":
            found[SANDBOX] += whole
        elif path.name == "journal.py" and path.parent.name == "aloe" and name in ("get", "put"):
            found[JOURNAL] += whole
        elif {"openai", "httpx2", "httpcore2", "pydantic", "anyio", "asyncio"} & set(path.parts):
            found[CLIENT] += own
        elif path.parent.name == "aloe" and path.name != "journal.py":
            found[PROJECT] += own
    found["everything else (built-in functions, event loop)"] = total - sum(found.values())
    return [Part(where, seconds / total) for where, seconds in found.items()]


def reply_table(rounds: Sequence[Timed], options: argparse.Namespace) -> str:
    """The arms of both turns, each beside one by one, with the aims."""
    n = max(row.number for row in rounds) + 1
    lines = [
        f"Replies of `{options.model.name}` to {options.cases} conversations ({options.alone} of them one by one); "
        f"medians of {n} interleaved rounds. By CPU: the same for the CPU seconds of this process, which are disturbed "
        f"less by what else the machine does.",
        "", "| turn | arm | replies/s | to one by one | by CPU |", "|---|---|---:|---:|---:|",
    ]  # fmt: skip
    for turn in TURNS:
        what = f"turn {turn}"
        for arm in dict.fromkeys(row.arm for row in rounds if row.what == what):
            rate = statistics.median(row.rate for row in rounds if (row.what, row.arm) == (what, arm))
            beside = [ratio(rounds, what, arm, ONE_BY_ONE, key) for key in ("rate", "per_cpu")]
            lines.append(f"| {turn} | {arm} | {rate:.1f} | {beside[0]:.1f} | {beside[1]:.1f} |")
    lines.append("")
    for turn, (arm, value) in best(rounds).items():
        verdict = "reached" if value >= AIMS[turn] else "missed"
        lines.append(f"Turn {turn}: {arm} is fastest, {value:.1f} times one by one (aim: {AIMS[turn]:g}, {verdict}).  ")
    return "\n".join([*lines, ""])


def best(rounds: Sequence[Timed]) -> dict[int, tuple[str, float]]:
    """By turn the arm with the highest ratio to one by one, and that ratio."""
    found = {}
    for turn in TURNS:
        what = f"turn {turn}"
        arms = dict.fromkeys(row.arm for row in rounds if row.what == what and row.arm != ONE_BY_ONE)
        found[turn] = max(
            ((arm, ratio(rounds, what, arm, ONE_BY_ONE, "rate")) for arm in arms), key=lambda pair: pair[1]
        )
    return found


def score_table(rounds: Sequence[Timed], parts: Sequence[Part]) -> str:
    """Scoring beside the simulated model alone, and the profile."""
    alone, through = "the simulated model alone", "through the project"
    lines = ["Scoring, the simulated model in this process, without latency:", "",
             "| arm | scores/s | to the model alone | by CPU |", "|---|---:|---:|---:|"]  # fmt: skip
    for arm in (alone, through):
        rate = statistics.median(row.rate for row in rounds if row.arm == arm)
        beside = [ratio(rounds, "scoring", arm, alone, key) for key in ("rate", "per_cpu")]
        lines.append(f"| {arm} | {rate:.0f} | {beside[0]:.2f} | {beside[1]:.2f} |")
    lines += ["", ASKED_AT_ONCE, ""]
    lines += ["Where its time goes, by a profiler (waiting left out):", "", "| where | share |", "|---|---:|"]
    lines += [f"| {part.where} | {part.share:.0%} |" for part in parts]
    sandbox = next(part.share for part in parts if part.where == SANDBOX)
    bound = "is" if sandbox > 0.5 else "is NOT"
    return "\n".join([*lines, "", f"Scoring {bound} bounded by the simulated model: {sandbox:.0%} of the time.", ""])


def ratio(rounds: Sequence[Timed], what: str, arm: str, to: str, key: str) -> float:
    """The median over the rounds of one arm's rate to another's."""
    rates = {(row.arm, row.number): getattr(row, key) for row in rounds if row.what == what}
    numbers = sorted({row.number for row in rounds})
    return statistics.median(rates[arm, number] / rates[to, number] for number in numbers)


if __name__ == "__main__":
    sys.exit(main())
