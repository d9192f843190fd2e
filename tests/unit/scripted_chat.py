"""A chat for tests: every role answers from a function or from a list of replies, nothing is sent anywhere."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import NamedTuple

from aloe.prompts import render
from aloe.records import Message

Script = Callable[[Sequence[Message]], str] | list[str] | str


class Asked(NamedTuple):
    role: str
    messages: list[Message]
    repeat: int
    judge: int


class ScriptedChat:
    """`scripts[role]` is a reply, replies in order, or a function of the messages; `backwards` starts jobs last first.

    A script may raise; `asked` lists every request in the order in which they came.
    """

    def __init__(self, scripts: dict[str, Script], backwards: bool = False) -> None:
        self.scripts = {role: list(s) if isinstance(s, list) else s for role, s in scripts.items()}
        self.backwards, self.asked = backwards, []
        self.unparseable: Counter[str] = Counter()

    def model(self, role: str) -> str:
        return f"scripted {role}"

    def prompt(self, name: str, **fields: str) -> str:
        return render(name, **fields)

    async def ask(self, role: str, messages: Sequence[Message], *, repeat: int = 0, judge: int = 0) -> str:
        self.asked.append(Asked(role, list(messages), repeat, judge))
        await asyncio.sleep(0)
        script = self.scripts[role]
        if callable(script):
            return script(messages)
        return script.pop(0) if isinstance(script, list) else script

    def run(self, jobs: Sequence[Callable[[], Coroutine]], label: str) -> list:
        async def gather() -> list:
            order = list(reversed(jobs)) if self.backwards else list(jobs)
            results = await asyncio.gather(*(job() for job in order))
            return list(reversed(results)) if self.backwards else list(results)

        return asyncio.run(gather())

    def count(self, role: str) -> int:
        return sum(asked.role == role for asked in self.asked)
