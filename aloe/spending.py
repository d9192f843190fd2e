"""What a run has spent, and the caps that it may not pass.

In: the caps of a preset (USD, calls; None: none), what its journal holds, and every answer. Out: leave to send the next
request, or a `UserError` that says how to go on; the cost so far. A request is let through only if the most that it can
cost still fits beside all that are under way. This module does not know endpoints or what is asked.
"""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from aloe.errors import UserError
from aloe.journal import Total
from aloe.prices import usd

_BYTES_PER_TOKEN = 2  # fewer than any tokenizer of a chat model packs into one, on average: an upper bound of the price
_TOKENS_PER_MESSAGE = 8  # role and marks around a message
GO_ON = "Everything had so far is kept, and nothing is asked or paid twice"


@dataclasses.dataclass
class Usage:
    """What a chat has asked since it was opened.

    `calls` were answered by an endpoint, empty answers included; `cached_calls` by the journal. `usd` is None where a
    price is not known, and 0.0 for the simulated model. `seconds` is the time spent in `run`.
    """

    calls: int = 0
    cached_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0


class Spending:
    """The calls and the USD of a run: those in its journal when it is opened, and those since."""

    def __init__(self, usd_cap: float | None, calls_cap: int | None, kept: Sequence[Total]) -> None:
        """Begin with what the journal holds.

        Args:
            usd_cap, calls_cap: what the run may cost in all; None for no cap.
            kept: the journal's totals.
        """
        self.usage = Usage()
        self.calls = sum(total.calls for total in kept)
        self.usd: float | None = 0.0
        self._usd_cap, self._calls_cap = usd_cap, calls_cap
        self._unpriced = ""  # a model whose cost could not be told
        self._under_way, self._at_most = 0, 0.0  # calls that are not settled yet, and the most that they can cost
        self._settled = asyncio.Event()
        for total in kept:
            counted = None if total.uncounted else total.prompt_tokens
            self._pay(usd(total.endpoint, total.model, counted, total.completion_tokens), total.model)

    def meter(self, base_url: str, request: Mapping[str, Any]) -> "Meter":
        """What counts the attempts at one request."""
        return Meter(self, base_url, request)

    async def take(self, most: float | None) -> None:
        """Wait until one more call that costs at most `most` USD fits under the caps.

        Raises:
            UserError: it does not fit, and nothing is under way that could turn out cheaper; or there is a cap in USD
                and the cost so far cannot be told.
        """
        while (problem := self._problem(most)) is not None:
            if self._under_way == 0:
                raise UserError(problem)
            self._settled.clear()
            await self._settled.wait()
        self._under_way += 1
        self._at_most += most or 0.0

    def settle(self, most: float | None) -> None:
        """A call has ended, answered or not."""
        self._under_way -= 1
        self._at_most = self._at_most - (most or 0.0) if self._under_way else 0.0
        self._settled.set()

    def answered(self, base_url: str, model: str, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """Count an answer, usable or empty; a number of tokens is None where the server did not give it."""
        cost, usage = usd(base_url, model, prompt_tokens, completion_tokens), self.usage
        usage.calls += 1
        usage.prompt_tokens += prompt_tokens or 0
        usage.completion_tokens += completion_tokens or 0
        usage.usd = None if usage.usd is None or cost is None else usage.usd + cost
        self.calls += 1
        self._pay(cost, model)

    def lost(self, most: float | None, model: str) -> None:
        """Count an answer that cannot be read, at the most that it can have cost; None: not known."""
        self.usage.calls += 1
        self.usage.usd = None if self.usage.usd is None or most is None else self.usage.usd + most
        self.calls += 1
        self._pay(most, model)

    def shown(self, before: float | None, share: float) -> str:
        """What a progress bar shows: USD spent in this run, and the forecast for when the bar is full.

        Args:
            before: `usd` when the bar was begun.
            share: how full the bar is, 0 to 1.
        """
        if self.usd is None or before is None:
            return "cost unknown"
        forecast = f", about {before + (self.usd - before) / share:.2f} at the end" if share and self.usd else ""
        return f"{self.usd:.2f} USD{forecast}"

    def _pay(self, cost: float | None, model: str) -> None:
        self._unpriced = self._unpriced or (model if cost is None else "")
        self.usd = None if self.usd is None or cost is None else self.usd + cost

    def _problem(self, most: float | None) -> str | None:
        if self._calls_cap is not None and self.calls + self._under_way >= self._calls_cap:
            return (
                f"The budget of {self._calls_cap:,} calls is used up: {self.calls:,} are made. {GO_ON}: raise "
                f"`budget_calls` in the preset and run again to go on from here."
            )
        if self._usd_cap is not None and self.usd is None:
            return (
                f"What model {self._unpriced!r} costs cannot be told (its price or the number of tokens is not known), "
                f"so `budget_usd` cannot be kept to: set it to null and take `budget_calls`. {GO_ON}."
            )
        spent, more = self.usd or 0.0, most or 0.0
        if self._usd_cap is not None and spent + self._at_most + more > self._usd_cap:
            return (
                f"The budget of {self._usd_cap:.2f} USD does not allow the next call: {spent:.4f} USD are spent, and "
                f"it may cost up to {more:.4f}. {GO_ON}: raise `budget_usd` in the preset and run again to go on from "
                f"here."
            )
        return None


class Meter:
    """Counts the attempts at one request; use it in an `async with` around each."""

    def __init__(self, spending: Spending, base_url: str, request: Mapping[str, Any]) -> None:
        self._spending, self._base_url, self._model = spending, base_url, request["model"]
        self._most = usd(base_url, self._model, most_tokens(request), request["max_tokens"])

    def answered(self, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """The attempt was answered and has to be paid."""
        self._spending.answered(self._base_url, self._model, prompt_tokens, completion_tokens)

    def lost(self) -> None:
        """The attempt was answered, but what came cannot be read: counted as the most that it can have cost."""
        self._spending.lost(self._most, self._model)

    async def __aenter__(self) -> "Meter":
        await self._spending.take(self._most)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._spending.settle(self._most)


def most_tokens(request: Mapping[str, Any]) -> int:
    """More tokens than the messages of a request have: a bound for its price.

    >>> most_tokens({"messages": [{"role": "user", "content": "Hello there."}]})
    14
    """
    return sum(
        len(message["content"].encode()) // _BYTES_PER_TOKEN + _TOKENS_PER_MESSAGE for message in request["messages"]
    )
