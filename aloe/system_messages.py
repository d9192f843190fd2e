"""Conversations that begin with a system message, for chat templates that know none, or move it about.

In: a tokenizer and messages. Out: messages that its template renders without losing a text. This module does not know
what a system message says.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aloe.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Plain = list[dict[str, str]]


def heard(tokenizer: "PreTrainedTokenizerBase", conversation: Sequence[Message]) -> Plain:
    """The messages as the chat template takes them.

    Where it refuses a system message, or leaves it out without a word, that is put before the first user message.
    """
    messages = [{"role": message.role, "content": message.content} for message in conversation]
    if messages[0]["role"] != "system" or messages[0]["content"].strip() in (_rendered(tokenizer, messages) or ""):
        return messages
    return _folded(messages)


def heard_in_place(tokenizer: "PreTrainedTokenizerBase", conversation: Sequence[Message]) -> Plain:
    """As `heard`, for a conversation that is learned from as a whole, in which every turn has to stand as it was.

    So it is put there too where the template moves it on as the conversation goes on, to the last user message.
    """
    messages = heard(tokenizer, conversation)
    if messages[0]["role"] != "system":
        return messages
    whole, first_turn = _rendered(tokenizer, messages), _rendered(tokenizer, messages[:3])
    return messages if whole and first_turn and whole.startswith(first_turn) else _folded(messages)


def _rendered(tokenizer: "PreTrainedTokenizerBase", messages: Plain) -> str | None:
    """The conversation as text; None where the template refuses it, knowing the roles user and assistant only."""
    from jinja2 import TemplateError

    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False))
    except TemplateError:
        return None


def _folded(messages: Plain) -> Plain:
    system, user, *rest = messages
    return [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]
