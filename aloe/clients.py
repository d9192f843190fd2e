"""One OpenAI-compatible endpoint: send a request, get a checked reply, or a sentence that says what to do.

In: an endpoint of the preset, its key from the environment, messages and sampling parameters. Out: a `Reply`.
Transport faults, rate limits, server errors, and empty and unreadable replies are sent again unchanged, at most
`max_retries` times. No key ever stands in an error or a reply. This module does not know roles, prompts, prices or the
journal.
"""

import asyncio
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import httpx2
import openai

from aloe.errors import UserError
from aloe.pace import LONGEST_PAUSE, Pace, backoff, pause_asked
from aloe.params import Endpoint

MOST_GIVEN_UP = 3  # requests in a row that could not be had: the endpoint is down, and no other would fare better
TOLD_AT = 3  # the failed attempt at one request after which people are told
_PASSING = frozenset({408, 409, 425, 429})  # and every 5xx
_LONGEST_BACKOFF, _LONGEST_BACKOFF_429 = 8.0, 30.0  # seconds; after a 429, many requests wait for one place
_BYTES_PER_TOKEN = 4
log = logging.getLogger(__name__)


class AskError(UserError):
    """No reply could be had to one request; the message says from where and why."""


class Meter(Protocol):
    """Gives leave for each attempt at one request, and counts its answers; `spending.Meter` is one."""

    async def __aenter__(self) -> Any:
        """Wait for leave to send."""

    async def __aexit__(self, *_: object) -> None:
        """The attempt has ended."""

    def answered(self, prompt_tokens: int | None, completion_tokens: int | None) -> None:
        """An answer came and has to be paid; tokens None: not told."""

    def lost(self) -> None:
        """An answer came that cannot be read, and may have to be paid."""


class Reply(NamedTuple):
    """A reply that is not empty. `finish_reason` "length" means that it was cut off; tokens None: not told."""

    text: str
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


class Client:
    """An endpoint and the connections to it. Belongs to the event loop in which it is first used."""

    def __init__(self, name: str, endpoint: Endpoint, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        """Prepare the connections; nothing is sent yet.

        Args:
            name: the endpoint's name in the preset.
            endpoint: the endpoint.
            transport: how requests travel, such as to an application in this process; None for the network.

        Raises:
            UserError: the environment variable that should hold the key is not set.
        """
        self.name, self.endpoint = name, endpoint
        self._where = f"Endpoint {name!r} ({endpoint.base_url})"
        self._tries = endpoint.max_retries + 1
        self._key = os.environ.get(endpoint.api_key_env, "").strip() if endpoint.api_key_env else ""
        if endpoint.api_key_env and not self._key:
            raise UserError(f"Endpoint {name!r} needs a key: set the environment variable {endpoint.api_key_env}.")
        self._pace = Pace(name, endpoint.max_in_flight, endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._size = 1  # tokens that the last request may take in all
        self._given_up = 0  # requests in a row that got no answer
        self._told = False  # that requests get no answer, since the last one that did
        limits = httpx2.Limits(max_connections=endpoint.max_in_flight, max_keepalive_connections=endpoint.max_in_flight)
        near = transport is not None or endpoint.loopback
        http = openai.DefaultAsyncHttpxClient(
            transport=transport, trust_env=not near, limits=limits, event_hooks={"response": [self._heed]}
        )
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url="http://sandbox/v1" if endpoint.in_process else endpoint.base_url,
            timeout=endpoint.timeout_s,
            max_retries=0,  # `ask` sends again, empty replies and after long pauses too, within one bound
            http_client=http,
        )

    async def ask(self, request: Mapping[str, Any], meter: Meter) -> Reply:
        """Send one chat completion request, again if need be, and return its reply.

        Args:
            request: `model`, `messages`, `temperature`, `max_tokens`, `seed`; sent as it is.
            meter: asked before each attempt, told of each answer.

        Raises:
            UserError: the endpoint refuses the key or the model, is down, or asks for too long a pause; or the meter
                gives no leave. No other request would fare better.
            AskError: no usable reply within the bounds.
        """
        model = request["model"]
        tokens = sum(len(message["content"].encode()) for message in request["messages"]) // _BYTES_PER_TOKEN
        self._size = tokens + request["max_tokens"]
        unanswered: openai.OpenAIError | None = None
        for attempt in range(self._tries):
            if attempt:
                if attempt == TOLD_AT and unanswered is not None and not self._told:
                    self._told = True
                    log.warning("%s gives no answer (%s); trying again, up to %d times in all (Ctrl-C to give up).",
                                self._where, self._without_key(_said(unanswered))[:200], self._tries)  # fmt: skip
                await asyncio.sleep(self._wait(unanswered, attempt - 1))
            await self._pace.enter(tokens)
            try:
                reply = await self._attempt(request, meter)
            except openai.OpenAIError as error:
                unanswered = error
                if not _passing(error):
                    raise self._explained(error, model) from None
                continue
            unanswered, self._given_up, self._told = None, 0, False
            if reply is not None:
                if None not in (reply.prompt_tokens, reply.completion_tokens):
                    self._pace.used(tokens, (reply.prompt_tokens or 0) + (reply.completion_tokens or 0))
                if reply.text.strip():
                    return reply
        if unanswered is not None:
            raise self._gave_up(unanswered, model)
        problem = "what came back is no chat completion" if reply is None else "the reply was empty"
        reason = "" if reply is None else f" (finish_reason {reply.finish_reason})"
        raise AskError(f"{self._where}, model {model!r}: {problem}{reason}, {self._tries} times over.")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _attempt(self, request: Mapping[str, Any], meter: Meter) -> Reply | None:
        """Send once. None where what came back cannot be read; a reply may still be empty.

        Raises:
            AskError: a filter held the reply back, or the model refused; asking again would pay for the same.
        """
        async with meter:
            try:
                # The plain `post` checks no types on the way out or in, which `_read` does: half the time of a call.
                answer: Any = await self._client.post("/chat/completions", body=request, cast_to=object)
            except ValueError:  # neither JSON nor UTF-8: a body that was cut short
                answer = None
            reply, refused = _read(answer)
            if reply is None:
                meter.lost()
                return None
            meter.answered(reply.prompt_tokens, reply.completion_tokens)
        if refused:
            why = self._without_key(refused)[:300]
            raise AskError(f"{self._where}, model {request['model']!r} gave no reply to this request: {why}.")
        return reply._replace(text=self._without_key(reply.text))

    async def _heed(self, response: httpx2.Response) -> None:
        self._pace.heed(response.headers, self._size)

    def _wait(self, error: openai.OpenAIError | None, attempt: int) -> float:
        """Seconds to wait before the next attempt; what a server asks for holds for all requests to it.

        Raises:
            UserError: the server asks for a pause that is too long to wait for.
        """
        if not isinstance(error, openai.APIStatusError):
            return backoff(attempt, _LONGEST_BACKOFF)
        asked = pause_asked(error.response.headers)
        if asked is None:
            return backoff(attempt, _LONGEST_BACKOFF_429 if error.status_code == 429 else _LONGEST_BACKOFF)
        if asked > LONGEST_PAUSE:
            raise UserError(
                f"{self._where} asks to wait {asked / 60:.0f} minutes, longer than a run waits. Run again then: "
                f"everything had so far is kept."
            )
        if asked < 1:
            return asked
        self._pace.hold(asked)
        return 0.0

    def _explained(self, error: openai.OpenAIError, model: str) -> UserError:
        text = self._without_key(_said(error))[:300]
        code = getattr(error, "code", None)
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError) or code == "invalid_api_key":
            source = self.endpoint.api_key_env or "no key: `api_key_env` is null"
            return UserError(f"{self._where} refuses the key (from {source}) or its use of model {model!r}: {text}")
        if _too_long(error):
            return AskError(
                f"{self._where}: a request is longer than the context of model {model!r}, and nothing is cut: {text} "
                f"Serve it with a longer context, or take fewer turns (`benchmark.n_turns`, `trees.n_turns`)."
            )
        if isinstance(error, openai.NotFoundError) or code == "model_not_found" or _about(model, error):
            return UserError(f"{self._where} does not know the model {model!r}, or its `base_url` is wrong: {text}")
        if getattr(error, "status_code", None) == 402 or code == "insufficient_quota":
            return UserError(f"{self._where} says that the account has no money left: {text}")
        if isinstance(error, openai.APIConnectionError):
            return AskError(
                f"{self._where} could not be reached in {self._tries} tries: {text} Run again to go on from here."
            )
        tries = f" in {self._tries} tries" if _passing(error) else ""
        return AskError(f"{self._where} did not answer model {model!r}{tries}: {text}")

    def _gave_up(self, error: openai.OpenAIError, model: str) -> UserError:
        """One request that got no answer is that request's fault; several in a row are the endpoint's."""
        self._given_up += 1
        problem = self._explained(error, model)
        if self._given_up < MOST_GIVEN_UP:
            return problem
        return UserError(f"{problem} These were {self._given_up} requests in a row; everything had so far is kept.")

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _passing(error: openai.OpenAIError) -> bool:
    """Can the same request fare better in a moment?"""
    if isinstance(error, openai.APIStatusError):
        return (error.status_code in _PASSING or error.status_code >= 500) and error.code != "insufficient_quota"
    return isinstance(error, openai.APIConnectionError)


def _said(error: openai.OpenAIError) -> str:
    """What an error says, with the `detail` of servers such as `transformers serve`, which `openai` leaves out."""
    body = getattr(error, "body", None)
    detail = body.get("detail") if isinstance(body, dict) else None
    return f"{error} - {detail}" if detail else str(error)


def _too_long(error: openai.OpenAIError) -> bool:
    """Does a server refuse a request because it does not fit into the model's context? Each has words of its own."""
    if not isinstance(error, openai.BadRequestError):
        return False
    said = _said(error).lower()
    return error.code == "context_length_exceeded" or bool(
        re.search(r"context[ _](?:length|size|window)|exceed\w* (?:the )?context|(?:input|prompt) is too long", said)
    )  # fmt: skip


def _about(model: str, error: openai.OpenAIError) -> bool:
    """Does a 400 name the model that was asked for? So `transformers serve` refuses one that it does not serve."""
    return isinstance(error, openai.BadRequestError) and f"'{model}'" in _said(error)


def _read(answer: Any) -> tuple[Reply | None, str]:
    """The reply in a chat completion, whatever the server really sent, and why it was held back, if it was."""
    try:
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        message, reason = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
        counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    except (AttributeError, IndexError, TypeError, KeyError):
        return None, ""
    prompt, completion = (count if isinstance(count, int) else None for count in counts)
    said, ended = text if isinstance(text, str) else "", reason if isinstance(reason, str) else None
    said = re.sub("[\ud800-\udfff]", "\ufffd", said)  # half of a surrogate pair: no file and no request could hold it
    reply = Reply(said, ended, prompt, completion)
    if reason == "content_filter":
        return reply, "a content filter stopped it"
    return reply, f"it refused: {refusal}" if isinstance(refusal, str) and refusal and not said.strip() else ""
