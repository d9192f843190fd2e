"""Reading a request: which role it asks for, and the fields that its prompt holds.

In: chat messages as the endpoint got them. Out: a `Request`. A role is recognised by the instruction in the prompt,
never by a header or a name; fields are the texts between tags, with entities turned back. An instruction that no
rule knows gives the role "other". What stands in a field is never taken for an instruction. Knows nothing of how a
role answers.
"""

import dataclasses
import html
import re
from collections.abc import Sequence

_FIELD = re.compile(r"<(\w+)>\n?(.*?)\n?</\1>", re.S)
_RULES = (  # the first whose words all stand in the prompt outside its fields; in the order of how telling they are
    ("plain", ("chatting with this person",)),  # first: its persona stands in no field
    ("listener", ("profile:", "personality:", "judge only from the user's own messages")),
    ("critic", ("criticise", "<draft>", "<conversation>")),
    ("reviser", ("<draft>", "<critique>")),
    ("told", ("chatting with a user", "<profile>")),
    ("retriever", ("chatting with a user", "<earlier>")),
    ("thinker", ("chatting with a user", "notes:", "reply:")),
    ("reminded", ("chatting with a user", "work that out from the conversation")),
    ("brief", ("chatting with a user", "keep it short")),
    ("writer", ("json array", "examples")),
    ("preference", ("<reply_1>", "<reply_2>")),
    ("blind", ("score:", "<reply>", "stays hidden from you")),
    ("alignment", ("score:", "<reply>")),
    ("strict", ("suits:", "<reply>")),
    ("criteria", ("manner:", "concise:", "<reply>")),
    ("inducer", ("profile:", "personality:", "come out")),
    ("user", ("role-play", "<profile>")),
    ("hinted", ("inferred_profile",)),
    ("plain", ("chatting with a user",)),
)


@dataclasses.dataclass(frozen=True)
class Request:
    """A role, the fields of its prompt by tag, and the conversation as (role, text) pairs."""

    role: str
    fields: dict[str, str]
    conversation: tuple[tuple[str, str], ...]
    prompt: str

    @property
    def mine(self) -> list[str]:
        """The user's messages of the conversation."""
        return [text for role, text in self.conversation if role == "user"]


def read_request(messages: Sequence[dict[str, str]]) -> Request:
    """Take a request apart; `messages` are {"role", "content"} dictionaries."""
    system = "\n".join(m["content"] for m in messages if m["role"] == "system")
    turns = tuple((m["role"], m["content"]) for m in messages if m["role"] in {"user", "assistant"})
    prompt = system or (turns[0][1] if turns else "")
    instruction = _FIELD.sub(r"<\1></\1>", prompt).lower()
    role = next((name for name, marks in _RULES if all(mark in instruction for mark in marks)), "other")
    fields = {tag: html.unescape(text.strip()) for tag, text in _FIELD.findall(prompt)}
    if "conversation" in fields:
        body = re.search(r"<conversation>\n?(.*?)\n?</conversation>", prompt, re.S)
        inner = re.findall(r"<(user|assistant)>(.*?)</\1>", body.group(1) if body else "", re.S)
        turns = tuple((who, html.unescape(text.strip())) for who, text in inner)
    if not system and role == "other":
        role = "plain" if turns else "other"
    return Request(role, fields, turns, prompt)
