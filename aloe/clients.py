"""One OpenAI-compatible endpoint: send a request, get a checked reply, or a sentence that says what to do.

In: an endpoint of the preset, its key from the environment, messages and sampling parameters. Out: a `Reply`.
Transport faults, rate limits and server errors are retried by the `openai` client, empty and unreadable replies here,
both within bounds. No key ever stands in an error. This module does not know roles, prompts or the journal.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import httpx2
import openai

from aloe.errors import UserError
from aloe.params import Endpoint

EMPTY_REPLIES = 4  # how often an empty or unreadable reply is taken before giving up


class AskError(UserError):
    """No reply could be had to one request; the message says from where and why."""


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
        self._key = os.environ.get(endpoint.api_key_env, "").strip() if endpoint.api_key_env else ""
        if endpoint.api_key_env and not self._key:
            raise UserError(f"Endpoint {name!r} needs a key: set the environment variable {endpoint.api_key_env}.")
        limits = httpx2.Limits(max_connections=endpoint.max_in_flight, max_keepalive_connections=endpoint.max_in_flight)
        near = transport is not None or endpoint.loopback
        http = openai.DefaultAsyncHttpxClient(transport=transport, trust_env=not near, limits=limits)
        self._client = openai.AsyncOpenAI(
            api_key=self._key or "none",
            base_url="http://sandbox/v1" if endpoint.in_process else endpoint.base_url,
            timeout=endpoint.timeout_s,
            max_retries=endpoint.max_retries,
            http_client=http,
        )

    async def ask(self, request: Mapping[str, Any]) -> Reply:
        """Send one chat completion request and return its reply.

        Args:
            request: `model`, `messages`, `temperature`, `max_tokens`, `seed`; sent as it is.

        Raises:
            UserError: the endpoint refuses the key or the model; no other request would fare better.
            AskError: no usable reply within the bounds.
        """
        problem = ""
        for _ in range(EMPTY_REPLIES):
            try:
                # The plain `post` checks no types on the way out or in, which `_read` does: half the time of a call.
                answer: Any = await self._client.post("/chat/completions", body=request, cast_to=object)
            except openai.OpenAIError as error:
                raise self._explained(error, request["model"]) from None
            except json.JSONDecodeError:
                problem = "what came back is not JSON"
                continue
            reply = _read(answer)
            if reply is not None and reply.text.strip():
                return reply
            problem = "what came back is no chat completion"
            if reply is not None:
                problem = f"the reply was empty (finish_reason {reply.finish_reason})"
        raise AskError(f"Endpoint {self.name!r}, model {request['model']!r}: {problem}, {EMPTY_REPLIES} times over.")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _explained(self, error: openai.OpenAIError, model: str) -> UserError:
        where = f"Endpoint {self.name!r} ({self.endpoint.base_url})"
        text = self._without_key(str(error))[:300]
        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            source = self.endpoint.api_key_env or "no key: `api_key_env` is null"
            return UserError(f"{where} refuses the key (from {source}) or its use of model {model!r}: {text}")
        if isinstance(error, openai.NotFoundError):
            return UserError(f"{where} does not know the model {model!r}, or its `base_url` is wrong: {text}")
        if isinstance(error, openai.APIStatusError) and (
            error.status_code == 402 or error.code == "insufficient_quota"
        ):
            return UserError(f"{where} says that the account has no money left: {text}")
        if isinstance(error, openai.APIConnectionError):
            tries = self.endpoint.max_retries + 1
            return AskError(f"{where} could not be reached in {tries} tries: {text} Run again to go on from here.")
        return AskError(f"{where} did not answer model {model!r}: {text}")

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _read(answer: Any) -> Reply | None:
    """The reply in a chat completion, whatever the server really sent; None if there is none."""
    try:
        choice, usage = answer["choices"][0], answer.get("usage") or {}
        text, reason = choice["message"].get("content"), choice.get("finish_reason")
        counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    except (AttributeError, IndexError, TypeError, KeyError):
        return None
    prompt, completion = (count if isinstance(count, int) else None for count in counts)
    return Reply(text if isinstance(text, str) else "", reason if isinstance(reason, str) else None, prompt, completion)
