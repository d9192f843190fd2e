"""The vocabulary of the study: what the stages hand to each other.

In: nothing. Out: frozen dataclasses and strict JSONL, one record per line. A line that is not exactly one record
of the expected kind is refused with the file and line number. This module knows no path, model or parameter.
"""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

from aloe.errors import UserError
from aloe.writing import write_text

Reply = Literal["preferred", "rejected"]
Source = Literal["hinted", "plain"]
Reason = Literal["random", "preferred", "rejected", "explored", "coin", "both"]
T = TypeVar("T")
_LEFT_OUT = {"left out": True}
"""Metadata of a field that JSON holds only where it is not None: files that were written before there was one stay
valid, and are still written byte by byte as they were."""
_HALVES = re.compile("[\ud800-\udfff]")


@dataclasses.dataclass(frozen=True)
class Message:
    """One chat message as an OpenAI-compatible endpoint takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclasses.dataclass(frozen=True)
class Persona:
    """A profile (everyday facts) joined with a personality (traits)."""

    id: str
    profile_id: str
    personality_id: str
    profile: str
    personality: str


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn of a preference dialogue: a user message, two replies to it, and which one continued.

    `preferred` and `rejected` are None where the judge's two orders disagree or did not parse (`label` says which;
    `kept` is a tie whose reply that continued is learned in SFT all the same: `ties`);
    `hinted` and `plain` always hold the two replies, `branch` names the one that the dialogue went on with.
    `verdicts` are the judge's answers with the hinted reply shown first and shown second.

    `reason` says why `branch` is what it is: the preferred or the rejected reply `random`ly, `preferred` or `rejected`
    because the preset takes that one, `explored` where it takes the preferred one as a rule and another by chance,
    `coin` where none is preferred. `both`: both replies are continued, and `branch` is the one on the tree's trunk.
    `off_branch`: the user's message answers the reply of the parent that its `branch` does *not* name.
    """

    id: str
    parent: str | None
    user: str
    inferred_profile: str
    inferred_personality: str
    hinted: str
    plain: str
    verdicts: tuple[str, str]
    label: Literal["hinted", "plain", "tie", "kept", "unparseable"]
    branch: Source
    reason: Reason | None = None  # None: not known
    off_branch: bool = False

    @property
    def preferred(self) -> str | None:
        """The reply that the judge preferred in both orders, or None."""
        return {"hinted": self.hinted, "plain": self.plain}.get(self.label)

    @property
    def rejected(self) -> str | None:
        """The reply that the judge did not prefer in either order, or None."""
        return {"hinted": self.plain, "plain": self.hinted}.get(self.label)

    @property
    def continued(self) -> str:
        """The reply that the dialogue went on with."""
        return self.reply(self.branch)

    def reply(self, source: Source) -> str:
        """The hinted or the plain reply."""
        return self.hinted if source == "hinted" else self.plain


@dataclasses.dataclass(frozen=True)
class Models:
    """The name of the model in each role of a dialogue."""

    user: str
    inducer: str
    hinted_responder: str
    plain_responder: str
    preference_judge: str


@dataclasses.dataclass(frozen=True)
class DialogueTree:
    """A persona and its turns; `parent` of a turn is the turn that it answers, and stands before it.

    Where both replies of a turn were continued, what follows the one that `branch` names stands first. One set of
    models held the whole tree; None where it is not known. Of a `released` tree neither the judge's answers are known
    nor which reply was hinted: its `hinted` replies are the preferred ones.
    """

    id: str
    persona: Persona
    turns: tuple[Turn, ...]
    models: Models | None = None
    origin: Literal["grown", "released"] = "grown"


@dataclasses.dataclass(frozen=True)
class PreferencePair:
    """One DPO example: the history as it was really sampled, and two whole replies to its last user message."""

    id: str
    persona_id: str
    turn: int
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str


@dataclasses.dataclass(frozen=True)
class PersonaShift:
    """From `turn` on (the first is 1) the user of a transcript is `persona`."""

    turn: int
    persona: Persona


@dataclasses.dataclass(frozen=True)
class Transcript:
    """A policy's conversation with one benchmark persona: user and assistant messages in turn.

    `shift`: the user becomes another persona in the middle. A line of JSON without one has no such field.
    """

    id: str
    policy: str
    persona: Persona
    messages: tuple[Message, ...]
    shift: PersonaShift | None = dataclasses.field(default=None, metadata=_LEFT_OUT)

    def persona_at(self, turn: int) -> Persona:
        """Whom the user plays at a turn, counted from 1."""
        return self.persona if self.shift is None or turn < self.shift.turn else self.shift.persona


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A judge's level (1 to 5) for one reply; None where the judge's answer did not parse. `turn` counts from 1.

    `level_shuffled`: its level against the persona of somebody else, `level_blind`: without any persona; None also
    where the run has no such control.
    """

    policy: str
    case: str
    profile_id: str
    personality_id: str
    turn: int
    judge: str
    level: int | None
    level_shuffled: int | None = None
    level_blind: int | None = None


def to_json(record: Any) -> str:
    """One record as one line of JSON, keys in field order, text as it is (no ASCII escapes)."""
    absent = {f.name for f in dataclasses.fields(record) if _may_be_left_out(f) and getattr(record, f.name) is None}
    data = {key: value for key, value in dataclasses.asdict(record).items() if key not in absent}
    return json_line(data)


def json_line(data: Any) -> str:
    """Plain data as one line of JSON, text as it is but for half of a surrogate pair, which UTF-8 cannot hold."""
    text = json.dumps(data, ensure_ascii=False)
    return _HALVES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def from_dict(kind: type[T], data: Any, where: str) -> T:
    """Build a record from plain data, refusing unknown, missing and mistyped fields.

    Args:
        kind: one of the dataclasses of this module.
        data: what `json.loads` gave.
        where: file and line, for the message.

    Raises:
        UserError: names `where`, the field, what was found and what was expected.
    """
    return typing.cast(T, _convert(kind, data, where))


def read_jsonl(kind: type[T], path: Path) -> list[T]:
    """Every record of a JSONL file, in order. An empty file gives an empty list.

    Raises:
        UserError: the file is missing, or a line is not one `kind` (file and line number are named).
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that writes it (`make all`).")
    records = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                where = f"{path}, line {number}"
                if not line.strip():
                    raise UserError(f"{where}: the line is empty; remove it or restore the file.")
                try:
                    data = json.loads(line)
                except json.JSONDecodeError as error:
                    raise UserError(f"{where}: not valid JSON ({error}).") from None
                records.append(from_dict(kind, data, where))
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}).") from None
    return records


def write_jsonl(path: Path, records: Iterable[Any]) -> None:
    """Write records one per line, whole file or nothing."""
    write_text(path, "".join(to_json(record) + "\n" for record in records))


def _convert(kind: Any, data: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _convert_record(typing.cast(type, kind), data, where)
    if origin is tuple and isinstance(data, list):
        inner = [arguments[0]] * len(data) if arguments[1:] == (Ellipsis,) else list(arguments)
        if len(inner) == len(data):
            return tuple(_convert(k, item, where) for k, item in zip(inner, data, strict=True))
    if origin in (types.UnionType, typing.Union) and data is not None:
        first = next(argument for argument in arguments if argument is not types.NoneType)
        if dataclasses.is_dataclass(first) or typing.get_origin(first) is Literal:
            return _convert(first, data, where)
    allowed = arguments if origin in (types.UnionType, typing.Union) else (kind,)
    if data in arguments if origin is Literal else type(data) in (types.NoneType if k is None else k for k in allowed):
        return data
    raise UserError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {data!r:.80}.")


def _convert_record(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected one {kind.__name__} object, got {type(data).__name__}.")
    hints = typing.get_type_hints(kind)
    data = {f.name: None for f in dataclasses.fields(kind) if _may_be_left_out(f)} | data
    unknown, missing = sorted(set(data) - set(hints)), [name for name in hints if name not in data]
    if unknown or missing:
        what = f"unknown field {unknown[0]!r}" if unknown else f"field {missing[0]!r} is missing"
        raise UserError(f"{where}: {what} in {kind.__name__}.")
    return kind(**{name: _convert(hint, data[name], f"{where}, field {name!r}") for name, hint in hints.items()})


def _may_be_left_out(field: "dataclasses.Field[Any]") -> bool:
    return "left out" in field.metadata
