"""How fast models are asked, beside the bare `openai` client on the same server: prints ratios, not seconds.

In: nothing; the served sandbox is started here, with a latency per answer. Out: a table on stdout and in
`outputs/bench/asking.md`, the rounds behind it in `asking.csv`. Arms take turns within a round, and a row is the median
over the rounds. CPU is that of this process: the server is another one. `make bench` runs it; no test does.
"""

import argparse
import asyncio
import contextlib
import csv
import dataclasses
import functools
import io
import itertools
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import openai

from aloe.chat import open_chat
from aloe.params import ROOT, Endpoint, load_params
from aloe.records import Message
from aloe.runs import OUTPUTS, Run
from aloe.writing import write_text

IN_FLIGHT = (1, 8, 32, 64, 128)
COMPARED = 32  # in flight where the bare client is measured too
WAVES = 8  # calls per slot and round; one by one as many in all as fill ten slots
FAULTS = "{429: 0.05, 500: 0.05, reset: 0.05, timeout: 0.05, truncated_body: 0.05, empty_content: 0.05, hang: 3.0}"
SYSTEM = "You are chatting with a user, as one chats with a friend. Sound like a human. At most three sentences."
_number = itertools.count()


class Timed(NamedTuple):
    """One arm in one round: how many calls, and what they took in seconds of the clock and of this process's CPU."""

    arm: str
    in_flight: int
    calls: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds


def main() -> int:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds that every answer takes at least")
    parser.add_argument("--most", type=int, default=max(IN_FLIGHT), help="leave out what is above, in flight")
    options = parser.parse_args()
    widths = [width for width in IN_FLIGHT if width <= options.most]
    rounds: list[Timed] = []
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
        faults = Path(folder, "faults.yaml")
        faults.write_text(FAULTS, encoding="utf-8")
        with served(options.latency) as url, served(options.latency, faults) as faulty:
            for number in range(options.rounds):
                place = Path(folder, str(number))
                rounds += [with_chat("chat", url, width, place) for width in widths]
                if COMPARED in widths:
                    rounds.append(asyncio.run(with_bare_client(url, COMPARED)))
                    rounds.append(with_chat("chat, 30% faults", faulty, COMPARED, place / "faulty"))
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            counts = json.loads(urllib.request.urlopen(f"{faulty.removesuffix('/v1')}/stats").read())
    text = table(rounds, options.latency)
    if COMPARED in widths:
        text += f"\nfaulty server: {counts['received']:,} calls received, {counts['answered']:,} answered whole\n"
    print(text)
    write_text(OUTPUTS / "bench" / "asking.md", text)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([Timed._fields, *rounds])
    write_text(OUTPUTS / "bench" / "asking.csv", buffer.getvalue())
    return 0


@contextlib.contextmanager
def served(latency: float, faults: Path | None = None) -> Iterator[str]:
    """The sandbox as a server of its own; gives its base_url."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "aloe.sandbox", "--port", str(port), "--latency", str(latency)]
    command += ["--faults", str(faults)] if faults else []
    quiet = subprocess.DEVNULL  # a planted reset is an error in the log of the server
    server = subprocess.Popen(command, cwd=ROOT, stdout=quiet, stderr=quiet)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


def with_chat(arm: str, url: str, in_flight: int, folder: Path) -> Timed:
    """Ask through the project: journal, retries, limits and counting included."""
    params = load_params("smoke")
    endpoint = Endpoint(url, None, in_flight, timeout_s=2.0 if "faults" in arm else 60.0, max_retries=12)
    run = Run("bench", dataclasses.replace(params, endpoints={"simulated": endpoint}), folder / str(in_flight))
    texts = questions(in_flight)
    with open_chat(run) as chat, contextlib.redirect_stderr(io.StringIO()):

        def ask(some: Sequence[str]) -> None:
            asked = [[Message("system", SYSTEM), Message("user", text)] for text in some]
            chat.run([functools.partial(chat.ask, "plain_responder", messages) for messages in asked], arm)

        ask(["Hello."])
        begun, cpu = time.perf_counter(), time.process_time()
        ask(texts)
        return Timed(arm, in_flight, len(texts), time.perf_counter() - begun, time.process_time() - cpu)


async def with_bare_client(url: str, in_flight: int) -> Timed:
    """Ask with the `openai` client alone: nothing is kept, looked up or counted."""
    role = load_params("smoke").roles.plain_responder
    client = openai.AsyncOpenAI(
        api_key="none", base_url=url, http_client=openai.DefaultAsyncHttpxClient(trust_env=False)
    )
    texts = iter(questions(in_flight))
    calls = 0

    async def ask(text: str) -> None:
        messages: Any = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
        answer = await client.chat.completions.create(
            model=role.model, messages=messages, temperature=role.temperature, max_tokens=role.max_tokens, seed=0
        )
        assert answer.choices[0].message.content

    async def slot() -> None:
        nonlocal calls
        for text in texts:  # shared: each slot takes the next one
            await ask(text)
            calls += 1

    await ask("Hello.")
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(slot() for _ in range(in_flight)))
    timed = Timed("bare client", in_flight, calls, time.perf_counter() - begun, time.process_time() - cpu)
    await client.close()
    return timed


def questions(in_flight: int) -> list[str]:
    """Messages that nobody has sent before."""
    return [f"I keep {next(_number)} goats, and they got into the flour." for _ in range(max(10, WAVES * in_flight))]


def table(rounds: Sequence[Timed], latency: float) -> str:
    """One row per arm: medians of its rate and of the ratios within each round."""
    by_arm: dict[tuple[str, int], list[Timed]] = {}
    for timed in rounds:
        by_arm.setdefault((timed.arm, timed.in_flight), []).append(timed)
    one, bare = by_arm[("chat", 1)], by_arm.get(("bare client", COMPARED), [])

    def median(values: Iterator[float]) -> float:
        return statistics.median(values)

    lines = [
        f"Asking a server that takes {latency:g} s per answer; medians of {len(one)} interleaved rounds.", "",
        "| arm | in flight | calls/s | to one by one | to n/latency | to the bare client | ms of CPU a call | to it |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for (arm, width), own in by_arm.items():
        row = [arm, str(width), f"{median(t.rate for t in own):.1f}"]
        row.append(f"{median(t.rate / first.rate for t, first in zip(own, one, strict=True)):.1f}")
        row.append(f"{median(t.rate * latency / width for t in own):.2f}")
        beside = bare if width == COMPARED else []
        row.append(f"{median(t.rate / b.rate for t, b in zip(own, beside, strict=True)):.2f}" if beside else "")
        row.append(f"{median(1000 * t.cpu / t.calls for t in own):.2f}")
        ratios = [(t.cpu / t.calls) / (b.cpu / b.calls) for t, b in zip(own, beside, strict=False)]
        row.append(f"{statistics.median(ratios):.2f}" if ratios else "")
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
