"""How fast one endpoint may be asked: limits of the preset, and what the server says of its own.

In: requests and tokens per minute (None: no limit), and the headers of every answer. Out: `enter` returns when the next
request may be sent. A server that is nearly used up (`x-ratelimit-*`) is asked no faster than it refills, one that asks
for a pause (`Retry-After`) gets it from everybody. This module does not know what is asked, or what a fault is.
"""

import asyncio
import email.utils
import logging
import math
import random
import re
import time
from collections.abc import Mapping
from typing import Any

from aiolimiter import AsyncLimiter

LONGEST_PAUSE = 3600.0  # seconds; a server that asks for more is asked again by a person, not by a waiting program
ANNOUNCED_PAUSE = 30.0  # seconds; a longer one is told, so that nobody takes it for a hang
_LONGEST_INTERVAL = 60.0  # seconds between two requests to a server that is nearly used up
_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
log = logging.getLogger(__name__)


class Pace:
    """The pace of one endpoint. Belongs to the event loop in which it is first used."""

    def __init__(self, name: str, slots: int, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Nothing has been asked yet.

        Args:
            name: the endpoint's name, for messages.
            slots: requests in flight at most.
            requests_per_minute, tokens_per_minute: limits; None for none.
        """
        self._name, self._slots = name, slots
        self._requests = None if requests_per_minute is None else _limiter(requests_per_minute)
        self._tokens = None if tokens_per_minute is None else _limiter(tokens_per_minute)
        self._owed = 0.0  # tokens that answers took beyond what was taken for them beforehand
        self._interval = 0.0  # seconds between two requests, as long as the server says that it is nearly used up
        self._next = -math.inf  # when the next request may be sent
        self._closed = self._told = -math.inf  # until when nobody may send; until when that was announced

    async def enter(self, tokens: int) -> None:
        """Wait until a request of about this many prompt tokens may be sent."""
        if self._requests is not None:
            await self._requests.acquire()
        if self._tokens is not None:
            wanted = max(0.0, tokens + self._owed)
            self._owed = min(0.0, tokens + self._owed)
            while wanted > 0:  # a bucket takes no more at once than it holds
                part = min(wanted, self._tokens.max_rate)
                await self._tokens.acquire(part)
                wanted -= part
        while True:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._interval
            if turn <= now:
                return
            wait = turn - now
            await asyncio.sleep(wait + random.uniform(0.0, min(1.0, wait / 20)))  # not everybody at the same instant
            if time.monotonic() >= self._closed:  # else another pause has come meanwhile
                return

    def used(self, tokens: int, answered: int | None) -> None:
        """Note what an answer took in all, where `tokens` were taken for it beforehand; None: the server did not say.

        The difference is made up for by the requests that follow.
        """
        if answered is not None:
            self._owed += answered - tokens

    def heed(self, headers: Mapping[str, str], tokens: int) -> None:
        """Adapt to the headers of an answer: a bucket that is nearly empty sets the time between two requests.

        Args:
            headers: with `x-ratelimit-limit-`, `-remaining-` and `-reset-` `requests` or `tokens`, or without.
            tokens: what a request takes, prompt and reply.
        """
        by_requests = _interval(headers, "requests", 1, self._slots)
        self._interval = max(by_requests, _interval(headers, "tokens", max(1, tokens), self._slots))
        waiting = time.monotonic() + self._slots * self._interval
        self._next = max(self._closed, min(self._next, waiting))

    def hold(self, seconds: float) -> None:
        """Let nobody send for so long, and say so if it is long."""
        until = time.monotonic() + seconds
        self._closed = max(self._closed, until)
        self._next = max(self._next, until)
        if seconds >= ANNOUNCED_PAUSE and until > self._told + 1:
            self._told = until
            clock = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
            log.warning("Endpoint %r asks to wait %.0f s; going on at %s. Ctrl-C loses nothing.", self._name, seconds,
                        clock)  # fmt: skip


def pause_asked(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, from `retry-after-ms` or `Retry-After`; None if it does not say.

    >>> pause_asked({"retry-after": "300"}), pause_asked({"retry-after-ms": "20"}), pause_asked({"retry-after": "soon"})
    (300.0, 0.02, None)
    """
    for header, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        text = headers.get(header)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            date = email.utils.parsedate_tz(text)
            seconds = -1.0 if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def duration(text: str) -> float | None:
    """Seconds in a time such as "6m0s", "20ms" or "1.5" (seconds); None where it is none.

    >>> duration("6m0s"), duration("20ms"), duration("1.5"), duration("tomorrow")
    (360.0, 0.02, 1.5, None)
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h|d)", text)
    return sum(float(n) * _UNITS[u] for n, u in parts) if parts and "".join(map("".join, parts)) == text else None


def backoff(attempt: int, longest: float) -> float:
    """Seconds to wait after a failed attempt, counted from 0: a quarter of a second, doubled each time, with jitter."""
    return min(longest, 0.25 * 2.0 ** min(attempt, 30)) * random.uniform(0.75, 1.0)


def _limiter(per_minute: int) -> AsyncLimiter:
    """A bucket of one second's worth, refilled so that no minute sees more than `per_minute`."""
    at_once = max(1.0, per_minute / 60)
    refilled = per_minute - at_once if per_minute > 60 else per_minute
    return AsyncLimiter(at_once, at_once * 60 / refilled)


def _interval(headers: Mapping[str, str], what: str, each: int, slots: int) -> float:
    """Seconds in which a server's bucket regains what one request takes; 0 while all slots still find enough in it."""
    values: list[Any] = [headers.get(f"x-ratelimit-{part}-{what}") for part in ("limit", "remaining", "reset")]
    if None in values:
        return 0.0
    limit, remaining, reset = duration(values[0]), duration(values[1]), duration(values[2])
    if limit is None or remaining is None or reset is None or remaining >= each * slots or remaining >= limit:
        return 0.0
    return min(_LONGEST_INTERVAL, each * reset / (limit - remaining))
