"""The files of the published ALOE release, read as they are and written in the same schema.

In and out: text lists (`profile.jsonl`, `personality.jsonl`, their `_eval` variants) and dialogues
(`conversations.jsonl`). The release is not valid JSONL throughout: two records may share a line, a record may hold a
line break, entries come quoted or bare, a reply as a string or a list of one. What is none of these is a `UserError`
that names file and line. The release has no licence: this module reads a user's copy, the project ships none of it.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from aloe.branching import followed
from aloe.errors import UserError
from aloe.records import DialogueTree, Persona, Turn, json_line
from aloe.writing import write_text

DECODER = json.JSONDecoder(strict=False)  # strict would refuse the line breaks inside strings
SPACE = re.compile(r"\s*")
DIALOGUE = {"profile": str, "personality": str, "conversations": list}
TURN = {"user": str, "assistant": dict, "chosen": str, "inferred_profile": str, "inferred_personality": str}
REPLIES = {"preferred": (str, list), "rejected": (str, list)}


def read_texts(path: Path) -> list[str]:
    """Every profile or personality, in file order; a text is left as it is, line breaks included.

    The line `"Ann is a nurse." "Bo is a cook."` gives two texts, with or without a comma in between, and so does
    `"Ann is a nurse." Bo is a cook.`; `Cy is 40.` gives one, and so does `"Al" is what friends call Albert.`

    Raises:
        UserError: the file cannot be read, is empty or not UTF-8; an entry is empty, cut off or not a text; a line
            begins bare and may hold a quoted text as well.
    """
    texts = []
    for line, entry in _entries(path, bare=True):
        if not isinstance(entry, str) or not entry.strip():
            raise UserError(f"{path}, line {line}: expected a text, got {entry!r:.80}; mend or remove this entry.")
        texts.append(entry)
    return texts


def read_trees(path: Path) -> list[DialogueTree]:
    """Every dialogue, in file order, as a tree without side branches.

    The release does not say which reply was hinted, nor what the judge answered: the tree's `origin` is "released",
    `hinted` holds the preferred reply, and `label` is always "hinted"; `branch` is "hinted" where `chosen`, which names
    the branch that *continued*, is "preferred"; `verdicts` are empty. Ids number dialogues, distinct profiles and
    personalities in file order.

    Raises:
        UserError: the file is missing, empty, cut off or not UTF-8; a dialogue has not exactly the schema's fields.
    """
    return _as_trees(_entries(path, bare=False), path)


def write_trees(trees: Sequence[DialogueTree], path: Path, drop_extra: bool = False) -> None:
    """Write dialogues in the release's schema, one JSON object a line; `read_trees` then gives the same trees back.

    Args:
        trees: at least one dialogue; none may branch.
        path: replaced whole or not at all.
        drop_extra: leave out what the schema has no field for: ids, verdicts, which reply was hinted. A turn without a
            preferred reply cannot be written, nor what answers it: such a dialogue ends before that turn, and is left
            out whole if that is its first.

    Raises:
        UserError: nothing to write, a tree that branches, or, without `drop_extra`, something that would be lost.
    """
    for tree in trees:
        _refuse_branches(tree)
    released = [_as_released(tree) for tree in trees]
    if not drop_extra:
        unlabelled = [turn for tree in trees for turn in tree.turns if turn.preferred is None]
        if unlabelled:
            raise UserError(f"{path}: turn {unlabelled[0].id} has no preferred reply ({unlabelled[0].label}), "
                            "which the format cannot say; drop_extra=True ends dialogues before such.")  # fmt: skip
    kept = [data for data in released if data["conversations"]]
    if not kept:
        raise UserError(f"{path}: no dialogue to write; one needs a first turn with a preferred reply.")
    if not drop_extra:
        _refuse_loss(trees, _as_trees(enumerate(kept, 1), path), path)
    write_text(path, "".join(json_line(data) + "\n" for data in kept))


def _entries(path: Path, bare: bool) -> Iterator[tuple[int, Any]]:
    """Line number and value of each entry; several may share a line, one may go over several."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give the path of your copy of the release.") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give the path of your copy.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error}); get the file again.") from None
    position, line, counted = _skip_space(text, 0), 1, 0
    if position == len(text):
        raise UserError(f"{path} is empty; get the file again.")
    while position < len(text):
        line += text.count("\n", counted, position)
        value, end = _entry(text, position, bare, f"{path}, line {line}")
        yield line, value
        position, counted = _skip_space(text, end), position


def _entry(text: str, start: int, bare: bool, where: str) -> tuple[Any, int]:
    """The value that starts at `start`, and where it ends, a comma after it included."""
    line_end = _line_end(text, start)
    if bare and text[start] not in '"{[':
        return _bare(text[start:line_end], where), line_end
    try:
        value, end = DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: the entry is cut off or not JSON ({error}); mend or remove it.") from None
    if not bare:
        return value, end
    after = text[end : _line_end(text, end)]
    comma = re.match(r"\s*,\s*(?=\"|$)", after)
    if comma or not after.strip() or after.lstrip()[0] == '"':
        return value, end + (comma.end() if comma else 0)
    if end > line_end:
        raise UserError(f"{where}: a quotation mark is missing; mend or remove the entry.")
    if isinstance(value, str) and _is_whole(value) and after.lstrip()[0].isupper():
        return value, end  # the bare text that follows is another entry
    return text[start:line_end].rstrip(), line_end  # a bare text whose first word is quoted


def _bare(line: str, where: str) -> str:
    """A line without quotation marks around it."""
    last = re.search(r'[.!?。！？]\s*("(?:[^"\\]|\\.)+")\s*,?\s*$', line)
    if last and _is_whole(last[1].strip('"')):
        raise UserError(f"{where}: the quoted text at its end may be an entry of its own; put it on another line if it "
                        "is, or the whole line in quotation marks if not.")  # fmt: skip
    return line.rstrip()


def _is_whole(text: str) -> bool:
    """Does a text read like an entry and not like a word or a title: several words that end like a sentence?"""
    return len(text.split()) > 1 and text.rstrip().endswith(tuple(".!?。！？"))


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _skip_space(text: str, position: int) -> int:
    found = SPACE.match(text, position)
    assert found is not None
    return found.end()


def _as_trees(entries: Iterable[tuple[int, Any]], path: Path) -> list[DialogueTree]:
    profiles: dict[str, str] = {}
    personalities: dict[str, str] = {}
    trees: list[DialogueTree] = []
    for line, entry in entries:
        where = f"{path}, line {line}"
        fields = _fields(_unquoted(entry, where), DIALOGUE, where)
        profile, personality = fields["profile"], fields["personality"]
        first = profiles.setdefault(profile, f"p{len(profiles) + 1:03d}")
        second = personalities.setdefault(personality, f"t{len(personalities) + 1:03d}")
        persona = Persona(f"released-{first}-{second}", f"released-{first}", f"released-{second}", profile, personality)
        tree_id = f"tree-released-{len(trees) + 1:04d}"
        if not fields["conversations"]:
            raise UserError(f"{where}: the dialogue has no turn; remove it.")
        turns = [_as_turn(turn, tree_id, k, f"{where}, turn {k}") for k, turn in enumerate(fields["conversations"], 1)]
        trees.append(DialogueTree(tree_id, persona, tuple(turns), origin="released"))
    return trees


def _unquoted(entry: Any, where: str) -> Any:
    """A dialogue that was written as a JSON string of its JSON."""
    if not isinstance(entry, str):
        return entry
    try:
        return DECODER.decode(entry)
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: expected a dialogue, got the text {entry!r:.60} ({error}).") from None


def _fields(data: Any, kinds: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UserError(f"{where}: expected an object with {', '.join(kinds)}, got {data!r:.80}.")
    for name in (*kinds, *data):
        if name not in kinds or name not in data:
            raise UserError(f"{where}: {'unknown field' if name in data else 'no field'} {name!r}.")
        if not isinstance(data[name], kinds[name]):
            raise UserError(f"{where}: {name!r} has the wrong type, got {data[name]!r:.80}.")
    return data


def _as_turn(data: Any, tree_id: str, number: int, where: str) -> Turn:
    fields = _fields(data, TURN, where)
    replies = _fields(fields["assistant"], REPLIES, where)
    if fields["chosen"] not in REPLIES:
        raise UserError(f"{where}: 'chosen' must be preferred or rejected, got {fields['chosen']!r:.80}.")
    return Turn(
        id=f"{tree_id}-k{number:02d}",
        parent=f"{tree_id}-k{number - 1:02d}" if number > 1 else None,
        user=fields["user"],
        inferred_profile=fields["inferred_profile"],
        inferred_personality=fields["inferred_personality"],
        hinted=_reply(replies["preferred"], where),
        plain=_reply(replies["rejected"], where),
        verdicts=("", ""),
        label="hinted",
        branch="hinted" if fields["chosen"] == "preferred" else "plain",
    )


def _reply(data: str | list[Any], where: str) -> str:
    if isinstance(data, list) and len(data) == 1 and isinstance(data[0], str):
        return data[0]
    if isinstance(data, str):
        return data
    raise UserError(f"{where}: a reply must be one text, got {data!r:.80}.")


def _as_released(tree: DialogueTree) -> dict[str, Any]:
    """The dialogue in the release's schema, up to its first turn without a preferred reply."""
    turns = []
    for turn, source in zip(tree.turns, followed(tree.turns), strict=True):
        if turn.preferred is None:
            break
        turns.append({
            "user": turn.user,
            "assistant": {"preferred": turn.preferred, "rejected": turn.rejected},
            "chosen": "preferred" if source == turn.label else "rejected",
            "inferred_profile": turn.inferred_profile,
            "inferred_personality": turn.inferred_personality,
        })  # fmt: skip
    return {"profile": tree.persona.profile, "personality": tree.persona.personality, "conversations": turns}


def _refuse_branches(tree: DialogueTree) -> None:
    before = None
    for turn in tree.turns:
        if turn.parent != before:
            raise UserError(f"{tree.id}: turn {turn.id} follows {turn.parent or 'nothing'}, not {before or 'nothing'}; "
                            f"the released format has no field for branches: write one path of the tree.")  # fmt: skip
        before = turn.id


def _refuse_loss(trees: Sequence[DialogueTree], back: Sequence[DialogueTree], path: Path) -> None:
    """Refuse the first field whose value the released format would not give back."""
    for tree, read in zip(trees, back, strict=True):
        pairs: list[tuple[Any, Any]] = [(tree.persona, read.persona), *zip(tree.turns, read.turns, strict=True)]
        for record, found in [*pairs, (tree, read)]:
            for field in dataclasses.fields(record):
                value, read_back = getattr(record, field.name), getattr(found, field.name)
                if value != read_back:
                    raise UserError(f"{path}: the {field.name} {value!r:.60} of {record.id} has no place in the "
                                    f"released format; pass drop_extra=True to leave such things out.")  # fmt: skip
