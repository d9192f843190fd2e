"""A person at the keyboard talks with a policy and watches what could have been inferred of them.

In: a chat that plays the inducer, a policy, the persona that the person plays or is, and ways to ask and to tell. Out:
the conversation as a `Transcript`. The policy gets the conversation alone, never the persona nor what is inferred: the
inducer's lines are for the person's eyes. This module knows no file, model or notebook.
"""

import contextlib
import functools
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError

from aloe.asking import ask_parsed, instruct
from aloe.dialogues import INDUCED_FORM, Induced, parse_induced
from aloe.errors import UserError
from aloe.policies import Policy
from aloe.prompts import conversation
from aloe.records import Message, Persona, Transcript

if TYPE_CHECKING:
    from aloe.chat import Chat


def talk_with(
    chat: "Chat", policy: Policy, name: str, persona: Persona, *,
    ask: Callable[[str], str] | None = None, tell: Callable[[str], object] = print,
) -> Transcript:  # fmt: skip
    """Hold a conversation until the person writes nothing, ends the input, or presses Ctrl-C.

    Args:
        chat: asked in the role `inducer` once per message.
        policy: who replies.
        name: what the policy is called.
        persona: who the person is or plays; the inducer is conservative only if it knows the whole truth.
        ask: shows a prompt and returns a line; None: `input`, as it stands when called (Jupyter replaces it).
        tell: shows a line to the person.

    Returns:
        The conversation up to its last reply; without messages if nothing was said.

    Raises:
        UserError: there is nobody to ask, as in a notebook that is executed headless.
    """
    held: list[Message] = []
    tell(f"You are {persona.id}. Write as this person would; an empty line ends the conversation.")
    while said := _listen(ask or input):
        messages = [*held, Message("user", said)]
        induced = infer(chat, persona, messages)
        if induced is not None:
            tell(f"    could be inferred: {induced.profile} | {induced.personality}")
        try:
            reply = policy.reply([messages])[0].strip()
        except UserError as error:  # the conversation has outgrown the model's context
            tell(str(error))
            break
        tell(f"{name}: {reply}")
        held = [*messages, Message("assistant", reply)]
    return Transcript(f"{name}-{persona.id}-live", name, persona, tuple(held))


def infer(chat: "Chat", persona: Persona, messages: Sequence[Message]) -> Induced | None:
    """What the user of a conversation has let out of their persona; None where the inducer's answer did not parse."""
    prompt = chat.prompt(
        "inducer", profile=persona.profile, personality=persona.personality, conversation=conversation(messages)
    )
    question = functools.partial(ask_parsed, chat, "inducer", instruct(prompt), parse_induced, INDUCED_FORM)
    with contextlib.redirect_stderr(io.StringIO()):  # no progress bar for a single question
        [answer] = chat.run([question], "inducer")
    return answer.parsed


def _listen(ask: Callable[[str], str]) -> str:
    """The person's next line, empty where they have ended the conversation."""
    try:
        return ask("you: ").strip()
    except (EOFError, KeyboardInterrupt):
        return ""
    except StdinNotImplementedError:  # a kernel without a keyboard
        raise UserError("Nobody is at the keyboard: set `talk = False`, or open the notebook in Jupyter.") from None
