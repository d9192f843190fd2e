"""What takes part in the benchmark: anything that replies to conversations.

In: conversations. Out: replies. A local model, a model behind an endpoint and a person at the keyboard look the same
from here. This module does not know weights, scores or files.
"""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aloe.prompts import render
from aloe.records import Message, Persona

if TYPE_CHECKING:
    from aloe.chat import Chat


OWN = ("base", "told", "sft_rejected", "sft_preferred", "dpo")  # those that a run begins with or trains


class Policy(Protocol):
    """Whatever replies to conversations."""

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """One reply per conversation, in order. Each ends with a user message and may begin with a system message."""


class Entrant(NamedTuple):
    """A policy that takes part, opened only when its dialogues are not there yet.

    `fingerprint` changes whenever the policy's replies could: a hash of its weights, or the model's name.
    `system` makes the system message for a persona; None: the policy gets the conversation alone. `asked`: the policy
    is a model behind an endpoint, asked through the chat under its name; `open` then has nothing to open.
    """

    name: str
    fingerprint: str
    open: Callable[[], Policy]
    system: Callable[[Persona], str] | None = None
    asked: bool = False


class ChatPolicy:
    """A model behind an endpoint as a policy, asked in one of the preset's roles or as one of its endpoint policies."""

    def __init__(self, chat: "Chat", role: str = "plain_responder") -> None:
        self._chat, self._role = chat, role

    def reply(self, conversations: Sequence[Sequence[Message]]) -> list[str]:
        """One reply per conversation; one without a system message gets the plain responder's."""
        plain = Message("system", self._chat.prompt("plain_responder"))
        asked = [list(c) if c[0].role == "system" else [plain, *c] for c in conversations]
        jobs = [functools.partial(self._chat.ask, self._role, messages) for messages in asked]
        return [text.strip() for text in self._chat.run(jobs, "replies")]


def told_system(persona: Persona, folder: Path | None = None, prompt: str = "told") -> str:
    """The system message of a policy that is told the persona.

    `prompt`: "told" for the base model, "told_responder" for a model that follows instructions (strategy `told`).
    """
    return render(prompt, folder, profile=persona.profile, personality=persona.personality)
