"""The simulated model as an ASGI application: `/v1/chat/completions`, `/v1/models`, `/stats`, `/health`.

In: HTTP requests in the OpenAI form. Out: chat completions, or planted faults. The same application is mounted in
process by the study and served by `python -m aloe.sandbox`. Token counts are whitespace words and marks times 1.3,
an estimate that is the same for every caller. Keeps two counters and nothing else.
"""

import asyncio
import dataclasses
import json
import random
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aloe.sandbox.faults import FAULTS, Faults, Send, damaged, draw_fault
from aloe.sandbox.model import Knobs, complete

_WORKERS = ThreadPoolExecutor(max_workers=6, thread_name_prefix="simulated")
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]


@dataclasses.dataclass
class Stats:
    """Calls that reached the server and calls that it answered whole."""

    received: int = 0
    answered: int = 0


def build_app(sandbox: Any, seed: int, latency: float = 0.0, faults: Faults | None = None) -> Any:
    """The ASGI application.

    Args:
        sandbox: an object with the fields of `Knobs` (the `sandbox` section of a preset); one that it lacks has its
            default.
        seed: added to the seed of every request, so that two runs differ.
        latency: seconds that every answer takes at least.
        faults: rates of planted faults; None for none.
    """
    names = [field.name for field in dataclasses.fields(Knobs) if hasattr(sandbox, field.name)]
    knobs = Knobs(**{name: getattr(sandbox, name) for name in names})
    stats, attempts = Stats(), dict[str, int]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            path = scope["path"].rstrip("/")
            if path.endswith("/chat/completions"):
                stats.received += 1
                body, gone = await _body(receive), asyncio.ensure_future(receive())
                try:
                    whole = await _completion(body, send, seed, knobs, latency, faults, attempts, gone)
                finally:
                    gone.cancel()
                stats.answered += whole  # not added in one go: others are counted while this one waits
            elif path == "/stats":
                await _send(send, 200, dataclasses.asdict(stats))
            elif path == "/health":
                await _send(send, 200, {"status": "ok"})
            elif path == "/v1/models":
                await _send(send, 200, {"object": "list", "data": [{"id": "simulated", "object": "model"}]})
            else:
                await _send(send, 404, {"error": {"message": f"no such path: {path}", "type": "not_found"}})

    return app


async def _completion(
    body: bytes, send: Send, seed: int, knobs: Knobs, latency: float, faults: Faults | None, attempts: dict[str, int],
    gone: "asyncio.Future[Any]",
) -> bool:  # fmt: skip
    """Answer, unless `gone` is done: the caller has hung up, and nothing is written for nobody."""
    try:
        request = json.loads(body)
        messages = [{"role": str(m["role"]), "content": str(m["content"])} for m in request["messages"]]
        own_seed = int(request.get("seed") or 0)
    except (ValueError, KeyError, TypeError) as error:
        await _send(send, 400, {"error": {"message": f"not a chat request: {error}", "type": "invalid_request_error"}})
        return False
    if latency:
        await asyncio.sleep(latency)
    if gone.done():
        return False
    fault = None
    if faults is not None:
        key = json.dumps([own_seed, messages])
        attempts[key] = attempts.get(key, 0) + 1
        fault = draw_fault(faults, random.Random(f"{seed}|{key}|{attempts[key]}"))
        if fault in FAULTS:
            await FAULTS[fault](send, faults)
            return False
    if fault == "empty":
        text = ""
    else:  # in a thread: most of the time goes to embeddings, which let another thread run
        text = await asyncio.get_running_loop().run_in_executor(
            _WORKERS, complete, messages, seed * 1_000_003 + own_seed, knobs
        )
    payload = _payload(request, messages, text)
    if fault == "truncated":
        await damaged(send, payload)
        return False
    await _send(send, 200, payload)
    return fault is None


def _payload(request: dict[str, Any], messages: list[dict[str, str]], text: str) -> dict[str, Any]:
    prompt, completion = sum(map(_tokens, (m["content"] for m in messages))), _tokens(text)
    return {
        "id": "simulated", "object": "chat.completion", "created": int(time.time()),
        "model": str(request.get("model", "simulated")),
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }  # fmt: skip


def _tokens(text: str) -> int:
    return round(1.3 * len(re.findall(r"\w+|[^\w\s]", text)))


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _send(send: Send, status: int, payload: dict[str, Any]) -> None:
    body = json.dumps(payload, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return
