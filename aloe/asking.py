"""Ask a role for an answer of a fixed form: parse it, ask once more if it does not parse, never guess.

In: a chat, the messages, a parser that returns None where a text is not of the form, and the form in words.
Out: what was parsed, or None, with the last text. This module does not know the forms; each stage holds its own.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from aloe.records import Message

if TYPE_CHECKING:
    from aloe.chat import Chat

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """What a role answered: `parsed` is None where also the second text was not of the form; `text` is the last."""

    parsed: T | None
    text: str


def instruct(prompt: str) -> list[Message]:
    """The messages of a role that gets everything in its instruction and is only told to begin."""
    return [Message("system", prompt), Message("user", "Go on.")]


def repair(messages: Sequence[Message], text: str, form: str) -> list[Message]:
    """The messages that ask once more, after an answer that was not of the form."""
    note = f"That answer could not be read. Answer once more with {form}, and nothing else."
    return [*messages, Message("assistant", text), Message("user", note)]


async def ask_parsed(
    chat: "Chat", role: str, messages: Sequence[Message], parse: Callable[[str], T | None], form: str,
    *, repeat: int = 0, judge: int = 0,
) -> Answer[T]:  # fmt: skip
    """Ask, and ask once more with a note on the form if the answer does not parse.

    An answer that does not parse then either is counted in `chat.unparseable`.

    Args:
        chat: who is asked.
        role: a role of the preset, such as `preference_judge`.
        messages: the request.
        parse: returns None for a text that is not of the form.
        form: the form in words; it completes "Answer once more with ...".
        repeat: tells apart requests that are otherwise the same.
        judge: which of several judges.

    Raises:
        AskError: no reply could be had.
    """
    text = await chat.ask(role, messages, repeat=repeat, judge=judge)
    parsed = parse(text)
    if parsed is None:
        text = await chat.ask(role, repair(messages, text, form), repeat=repeat, judge=judge)
        parsed = parse(text)
    if parsed is None:
        chat.unparseable[role] += 1
    return Answer(parsed, text)
