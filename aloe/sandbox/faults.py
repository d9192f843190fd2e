"""Planted faults of the served sandbox: what a network and a busy provider do to a caller.

In: rates from a YAML file. Out: at most one fault per attempt, drawn from the request and the number of the attempt,
so that a retry can succeed. `always: true` makes every call fail with status 500.
"""

import asyncio
import dataclasses
import json
import math
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml

Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclasses.dataclass(frozen=True)
class Faults:
    """Rates in [0, 1]; `hang` is the time in seconds that a planted timeout keeps the caller waiting."""

    rate_limit: float = 0.0
    server_error: float = 0.0
    reset: float = 0.0
    timeout: float = 0.0
    truncated: float = 0.0
    empty: float = 0.0
    always: bool = False
    hang: float = 30.0


_SPELLINGS = {"429": "rate_limit", "500": "server_error", "truncated_body": "truncated", "empty_content": "empty"}


def read_faults(path: Path) -> Faults:
    """Read a fault file; keys are the fields of `Faults`, or 429, 500, truncated_body, empty_content.

    Raises:
        ValueError: the file is not YAML or no mapping, or a key is unknown or not in its range.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}.") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a mapping of fault rates, got {type(data).__name__}.")
    named = {_SPELLINGS.get(str(key), str(key)): value for key, value in data.items()}
    known = {field.name for field in dataclasses.fields(Faults)}
    for key, value in named.items():
        if key not in known:
            raise ValueError(f"{path}: unknown fault {key!r}; known are {', '.join(sorted(known | set(_SPELLINGS)))}.")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if key == "always" and not isinstance(value, bool):
            raise ValueError(f"{path}: always should be true or false, got {value!r}.")
        if key == "hang" and not (number and 0 <= value < math.inf):
            raise ValueError(f"{path}: hang should be a time in seconds, got {value!r}.")
        if key not in {"always", "hang"} and not (number and 0 <= value <= 1):
            raise ValueError(f"{path}: rate {key} should lie between 0 and 1, got {value!r}.")
    return Faults(**named)


def draw_fault(faults: Faults, rng: random.Random) -> str | None:
    """The name of the fault of this attempt, or None."""
    if faults.always:
        return "server_error"
    names = ("rate_limit", "server_error", "reset", "timeout", "truncated", "empty")
    rates = [getattr(faults, name) for name in names]
    return rng.choices((*names, None), (*rates, max(0.0, 1.0 - sum(rates))))[0]


async def damaged(send: Send, payload: dict[str, Any]) -> None:
    """A body that ends in the middle, with a length that claims to be whole."""
    body = json.dumps(payload).encode()
    body = body[: len(body) // 2]
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _status(send: Send, status: int, message: str, headers: list[tuple[bytes, bytes]]) -> None:
    body = json.dumps({"error": {"message": message, "type": "planted"}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _rate_limit(send: Send, faults: Faults) -> None:
    await _status(send, 429, "planted rate limit", [(b"retry-after-ms", b"20")])


async def _server_error(send: Send, faults: Faults) -> None:
    await _status(send, 500, "planted server error", [])


async def _reset(send: Send, faults: Faults) -> None:
    """A body that never ends: the server then drops the connection. (An error alone would become a status 500.)"""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})


async def _timeout(send: Send, faults: Faults) -> None:
    await asyncio.sleep(faults.hang)
    await _status(send, 504, "planted timeout", [])


FAULTS: dict[str, Callable[[Send, Faults], Awaitable[None]]] = {
    "rate_limit": _rate_limit, "server_error": _server_error, "reset": _reset, "timeout": _timeout,
}  # fmt: skip
"""Faults that take the place of an answer; the other two spoil one."""
