"""Ask a role a question: the journal first, then the role's endpoint.

In: a run, the name of a role, messages. Out: the reply as text, kept in the journal before anybody uses it. All
requests run on one event loop in a thread of its own (so it works inside Jupyter), at most `max_in_flight` at a time
per endpoint. Only model, messages, temperature, max_tokens and seed are sent. This module does not know what a prompt
says, or what a reply should look like.
"""

import asyncio
import concurrent.futures
import dataclasses
import hashlib
import json
import sys
import threading
import time
import types
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx2
from tqdm import tqdm

from aloe.clients import AskError, Client, Reply
from aloe.journal import IN_MEMORY, Entry, Journal
from aloe.params import ROOT, Endpoint, Params, Role
from aloe.prompts import render
from aloe.provenance import simulated_model
from aloe.records import Message
from aloe.runs import Run
from aloe.spending import Spending, Usage

__all__ = ["AskError", "Chat", "Usage", "open_chat"]
T = TypeVar("T")
_REPEAT_STEP = 1_000_003  # request seed = run seed + this * repeat
_STARTED_PER_SLOT = 4  # jobs under way per request slot: enough to keep the slots full, few enough for memory


class Chat:
    """The roles of one run, ready to be asked. Close it, or use it in a `with`."""

    def __init__(self, params: Params, journal: Journal, transports: Mapping[str, httpx2.AsyncBaseTransport],
                 identities: Mapping[str, str], silent: bool = False) -> None:  # fmt: skip
        """Start the event loop; nothing is sent yet. `open_chat` is the way to get a `Chat`."""
        self._spending = Spending(params.budget_usd, params.budget_calls, journal.summary())
        self.usage: Usage = self._spending.usage
        self.unparseable: Counter[str] = Counter()  # answers by role that were not of the form, nor was their repair
        self._params, self._journal, self._transports, self._identities = params, journal, transports, identities
        self._silent = silent  # no bars
        self._clients: dict[str, Client] = {}
        self._slots = {name: asyncio.Semaphore(e.max_in_flight) for name, e in params.endpoints.items()}
        self._asking: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chat", daemon=True)
        self._thread.start()

    async def ask(self, role: str, messages: Sequence[Message], *, repeat: int = 0, judge: int = 0) -> str:
        """The reply of a role; the same request is never sent twice.

        Args:
            role: a role of the preset, such as `user`, one of its `endpoint_policies`, or `judges.<name>`.
            messages: what is sent, system message first.
            repeat: tells apart requests that are otherwise the same.
            judge: which of the `alignment_judge` models, counted from 0.

        Raises:
            UserError: the endpoint refuses the key or the model, or is down; or the budget is used up.
            AskError: no reply could be had.
        """
        spec = self._role(role, judge)
        request = {
            "model": spec.model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "temperature": spec.temperature,
            "max_tokens": spec.max_tokens,
            "seed": (self._params.seed if spec.seed is None else spec.seed) + _REPEAT_STEP * repeat,
        }
        identity = self._identities[spec.endpoint]
        key = hashlib.sha256(json.dumps([identity, request, repeat], ensure_ascii=False).encode()).hexdigest()
        async with self._asking.setdefault(key, asyncio.Lock()):  # the same request at the same time is asked once
            entry = self._journal.get(key)
            if entry is not None:
                self.usage.cached_calls += 1
                return entry.reply
            client = self._client(spec.endpoint)
            async with self._slots[spec.endpoint]:
                begun = time.perf_counter()
                base_url = client.endpoint.base_url
                reply = await client.ask(request, self._spending.meter(base_url, request))
                seconds = time.perf_counter() - begun
            return self._journal.put(key, _entry(role, base_url, spec.model, reply, seconds)).reply

    def model(self, role: str) -> str:
        """The name of the model that answers in a role."""
        return self._role(role, 0).model

    def prompt(self, name: str, **fields: str) -> str:
        """A prompt of the preset's folder with its fields filled in (`prompts.render`)."""
        return render(name, ROOT / self._params.prompts, **fields)

    def run(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], label: str) -> list[T]:
        """Run jobs that ask, several at a time, and return their results in the order of the jobs.

        Call it from any thread but not from inside a job. A progress bar with the remaining time, the USD spent in the
        run and those expected at the end of the bar goes to stderr.
        Ctrl-C, or the first job that raises, cancels the others; replies that came in are in the journal.
        """
        results: list[Any] = [None] * len(jobs)
        done = 0

        async def work(queue: "enumerate[Callable[[], Coroutine[Any, Any, T]]]") -> None:
            nonlocal done
            for index, job in queue:
                results[index] = await job()
                done += 1

        async def all_jobs() -> None:
            queue = enumerate(jobs)  # shared: each worker takes the next job when it has finished one
            slots = max(endpoint.max_in_flight for endpoint in self._params.endpoints.values())
            async with asyncio.TaskGroup() as group:
                for _ in range(min(slots * _STARTED_PER_SLOT, len(jobs))):
                    group.create_task(work(queue))

        begun, before = time.perf_counter(), self._spending.usd
        failure: BaseException | None = None
        try:
            with tqdm(total=len(jobs), desc=label, file=sys.stderr, mininterval=0.5, dynamic_ncols=True,
                      disable=self._silent) as bar:  # fmt: skip
                self._wait(all_jobs(), lambda: self._show(bar, done, before))
        except BaseExceptionGroup as group:
            failure = _first(group)
        finally:
            self.usage.seconds += time.perf_counter() - begun
        if failure is not None:  # raised out here: IPython tells papermill nothing of an error with a group behind it
            raise failure
        if done < len(jobs):
            raise RuntimeError(f"{len(jobs) - done} of {len(jobs)} jobs of {label!r} were cancelled")
        return results

    def journal_cost(self) -> dict[str, float | None]:
        """Calls in the journal when it was opened and since, and the USD that they cost; None for an unknown price."""
        return {"journal_calls": self._spending.calls, "journal_usd": self._spending.usd}

    def close(self) -> None:
        """Close connections, event loop and journal."""
        if self._loop.is_closed():
            return
        for client in self._clients.values():
            self._wait(client.close(), lambda: None)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, work: Coroutine[Any, Any, None], tick: Callable[[], object]) -> None:
        """Wait for work on the event loop, ticking meanwhile; if interrupted, cancel it and wait for its end."""
        ended = threading.Event()

        async def with_end() -> None:
            try:
                await work
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(with_end(), self._loop)
        try:
            while not future.done():
                concurrent.futures.wait([future], timeout=0.25)
                tick()
            tick()  # what ended before the first look counts too
        except BaseException:
            future.cancel()
            ended.wait(10)
            raise
        future.result()

    def _show(self, bar: "tqdm[Any]", done: int, before: float | None) -> None:
        bar.set_postfix_str(self._spending.shown(before, done / bar.total if bar.total else 1.0), refresh=False)
        bar.update(done - bar.n)

    def _client(self, name: str) -> Client:
        if name not in self._clients:
            self._clients[name] = Client(name, self._params.endpoints[name], self._transports.get(name))
        return self._clients[name]

    def _role(self, role: str, judge: int) -> Role:
        bench = self._params.benchmark
        named: dict[str, Role] = {**(bench.endpoint_policies or {})}
        named |= {f"judges.{name}": further for name, further in (bench.judges or {}).items()}
        spec = named[role] if role in named else getattr(self._params.roles, role)
        return spec if isinstance(spec, Role) else spec[judge]


def open_chat(run: Run, transport: httpx2.AsyncBaseTransport | None = None, aside: bool = False) -> Chat:
    """The roles of a run, with its journal.

    Args:
        run: the run.
        transport: how every request travels; None for the network, and for the simulated model in this process.
        aside: for one of many small worlds: replies are kept in memory only, and no bar is shown.

    Raises:
        UserError: the journal cannot be used.
    """
    transports: dict[str, httpx2.AsyncBaseTransport] = {}
    identities = {}
    for name, endpoint in run.params.endpoints.items():
        identities[name] = endpoint.base_url
        if transport is not None:
            transports[name] = transport
        elif endpoint.in_process:
            transports[name], identities[name] = _mount(run.params, endpoint)
    return Chat(run.params, Journal(IN_MEMORY if aside else run.journal), transports, identities, silent=aside)


def _mount(params: Params, endpoint: Endpoint) -> tuple[httpx2.AsyncBaseTransport, str]:
    """The simulated model in this process, and what identifies it: its parameters, and its code as its version.

    An endpoint that plants something of its own holds another model than one that does not.
    """
    from aloe.sandbox import app

    version = simulated_model(Path(app.__file__).parent)
    shared, own = dataclasses.asdict(params.sandbox), endpoint.planted.given() if endpoint.planted else {}
    knobs = types.SimpleNamespace(**(shared | own))
    identity = f"sandbox:{version}:{json.dumps(shared)}" + (f":{json.dumps(own)}" if own else "")
    return httpx2.ASGITransport(app=app.build_app(knobs, params.seed)), identity


def _entry(role: str, base_url: str, model: str, reply: Reply, seconds: float) -> Entry:
    return Entry(
        role, base_url, model, reply.text, reply.finish_reason, reply.prompt_tokens, reply.completion_tokens, seconds
    )


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group; the jobs that were cancelled because of it say nothing new."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
