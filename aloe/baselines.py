"""Prompting baselines: a model behind an endpoint that is asked for a reply in one of the ways of `strategies`.

In: a chat, the name of an endpoint policy, conversations. Out: one reply each, and how many of them fell back to the
plain instruction because an answer could not be read. Only what the user would see comes back: drafts, critiques and
notes stay here, so that no history and no judge ever holds them. What a prompt holds of a conversation is the whole of
it; one that is longer than the model's context is an error of `chat`, never cut. This module knows no persona (`told`
gets it as the conversation's system message) and no score.

Where they come from: `reminder` and `chain_of_thought` as in PrefEval (arXiv 2502.09597), `self_critic` as in RLPA's
table (arXiv 2505.15456), `hinted` as the data generator of ALOE, but without the persona. The words are this study's.
"""

import functools
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aloe.asking import ask_parsed, instruct
from aloe.dialogues import INDUCED_FORM, Induced, parse_induced
from aloe.embedding import Embed
from aloe.policies import ChatPolicy, Policy
from aloe.prompts import conversation as written
from aloe.records import Message
from aloe.strategies import RETRIEVED, Strategy

if TYPE_CHECKING:
    from aloe.chat import Chat

THOUGHT_FORM = 'a line "Notes: ..." and below it "Reply: ..."'
NOTHING = "nothing yet"
Conversation = Sequence[Message]


class Thought(NamedTuple):
    """What `chain_of_thought` answered; the user gets `reply` alone."""

    notes: str
    reply: str


def parse_thought(text: str) -> Thought | None:
    """The notes and the reply; None unless the text is exactly of the form, each label once and at the start of a line.

    >>> parse_thought("Notes: keeps bees\\nReply: How are the bees?")
    Thought(notes='keeps bees', reply='How are the bees?')
    >>> parse_thought("How are the bees?") is None
    True
    """
    found = re.fullmatch(r"\s*Notes:[ \t]*(\S.*?)\s*\nReply:[ \t]*(\S.*?)\s*", text, re.DOTALL)
    labels = re.findall(r"^[ \t]*(Notes|Reply)[ \t]*:", text, re.MULTILINE | re.IGNORECASE)
    return Thought(found[1], found[2]) if found and len(labels) == 2 else None


def most_relevant(last: np.ndarray, earlier: np.ndarray, n: int) -> list[int]:
    """Places of the `n` earlier messages that are nearest to the last one in meaning, in the order they were written.

    Of messages that are equally near, the later one. No earlier message gives none.

    Args:
        last: unit row of the last message, shape (dimension,).
        earlier: unit rows of the earlier ones, shape (n_earlier, dimension).
        n: at most how many.

    >>> most_relevant(np.array([1.0, 0.0]), np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]), 2)
    [0, 2]
    """
    near = earlier @ last if len(earlier) else np.zeros(0)
    return sorted(sorted(range(len(near)), key=lambda place: (-near[place], -place))[:n])


def asked_policy(chat: "Chat", name: str, strategy: Strategy, embed: Embed) -> Policy:
    """The endpoint policy `name` of the preset, asked with its strategy; `embed` is used by `retrieval` only."""
    if strategy in ("plain", "told"):  # one request, whose system message `told` brings along
        return ChatPolicy(chat, name)
    return Prompted(chat, name, strategy, embed)


def fallbacks_of(policy: Policy) -> int:
    """How many of its replies so far had to do with less than its strategy asks for; 0 for one that has no strategy."""
    return policy.fallbacks if isinstance(policy, Prompted) else 0


class Prompted:
    """A policy that takes more than the plain instruction; `fallbacks` counts the replies that had to do with less.

    `chain_of_thought`, its answer unreadable after one repair, is asked with the plain responder's instruction, so
    that no notes reach the user. `hinted` goes on as if nothing were known. `chat.unparseable` counts both as well.
    """

    def __init__(self, chat: "Chat", name: str, strategy: Strategy, embed: Embed) -> None:
        self._chat, self._name, self._embed, self.fallbacks = chat, name, embed, 0
        self._rows: dict[str, np.ndarray] = {}
        self._answer = _ANSWERS[strategy]
        self._recalls = strategy == "retrieval"

    def reply(self, conversations: Sequence[Conversation]) -> list[str]:
        """One reply per conversation, in order; each begins with a user's message and ends with one.

        Raises:
            ValueError: a conversation brings a system message, which this policy has no place for.
            AskError: no reply could be had, or a conversation is longer than the model's context.
        """
        if any(message.role == "system" for conversation in conversations for message in conversation):
            raise ValueError(f"{self._name} writes its own instruction; got a conversation with a system message")
        if self._recalls:
            self._remember(conversations)
        jobs = [functools.partial(self._answer, self, conversation) for conversation in conversations]
        return [text.strip() for text in self._chat.run(jobs, "replies")]

    async def single(self, prompt: str, conversation: Conversation, **fields: str) -> str:
        """One request: a prompt as system message, then the conversation."""
        system = Message("system", self._chat.prompt(prompt, **fields))
        return (await self._chat.ask(self._name, [system, *conversation])).strip()

    async def self_critic(self, conversation: Conversation) -> str:
        """Draft, critique, revision; the critic sees the whole conversation and the draft."""
        draft = await self.single("plain_responder", conversation)
        asked = instruct(self._chat.prompt("self_critic", conversation=written(conversation), draft=draft))
        critique = (await self._chat.ask(self._name, asked)).strip()
        return await self.single("self_critic_revision", conversation, draft=draft, critique=critique)

    async def chain_of_thought(self, conversation: Conversation) -> str:
        """Notes and reply in one answer, of which the reply is taken."""
        asked = [Message("system", self._chat.prompt("chain_of_thought")), *conversation]
        answer = await ask_parsed(self._chat, self._name, asked, parse_thought, THOUGHT_FORM)
        if answer.parsed is None:
            self.fallbacks += 1
            return await self.single("plain_responder", conversation)
        return answer.parsed.reply

    async def retrieval(self, conversation: Conversation) -> str:
        """The reply with those earlier messages in the prompt that are nearest to the last one."""
        *earlier, last = _said(conversation)
        rows = np.array([self._rows[text] for text in earlier])
        found = [earlier[place] for place in most_relevant(self._rows[last], rows, RETRIEVED)]
        lines = "\n".join(" ".join(text.split()) for text in found)
        return await self.single("retrieval", conversation, earlier=lines or NOTHING)

    async def hinted(self, conversation: Conversation) -> str:
        """The data generator's hinted reply, on notes of somebody who has the conversation only."""
        asked = instruct(self._chat.prompt("listener", conversation=written(conversation)))
        answer = await ask_parsed(self._chat, self._name, asked, parse_induced, INDUCED_FORM)
        self.fallbacks += answer.parsed is None
        known = answer.parsed or Induced(NOTHING, NOTHING)
        return await self.single(
            "hinted_responder", conversation, inferred_profile=known.profile, inferred_personality=known.personality
        )

    def _remember(self, conversations: Sequence[Conversation]) -> None:
        """Embed what users have written since the call before."""
        new = dict.fromkeys(text for conversation in conversations for text in _said(conversation))
        texts = [text for text in new if text not in self._rows]
        self._rows |= dict(zip(texts, self._embed(texts), strict=True))


_ANSWERS: dict[Strategy, Callable[[Prompted, Conversation], Coroutine[Any, Any, str]]] = {
    "concise": lambda policy, conversation: policy.single("concise", conversation),
    "reminder": lambda policy, conversation: policy.single("reminder", conversation),
    "self_critic": Prompted.self_critic,
    "chain_of_thought": Prompted.chain_of_thought,
    "retrieval": Prompted.retrieval,
    "hinted": Prompted.hinted,
}


def _said(conversation: Conversation) -> list[str]:
    """The user's messages."""
    return [message.content for message in conversation if message.role == "user"]
