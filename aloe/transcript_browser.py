"""The data of the report's transcripts browser: every conversation with its scores and what the user has told by then.

In: transcripts and judgements. Out: JavaScript files that hold data and nothing else, one for the choice of a
conversation and one per policy, loaded when it is looked at, since a page that is read from disk cannot fetch. Texts
of models are JSON strings in which no character can end a script. Facts are read by the rule of `telling`. This module
draws nothing; `report/static/transcripts.js` does, and takes every text for text.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd

from aloe.findings import LEARNED
from aloe.records import Transcript
from aloe.telling import facts_of, told_in, words_of

KEYS = ("policy", "case", "profile_id", "personality_id", "turn", "judge")
LABELS = {
    "level": "level",
    "level_shuffled": "for a stranger",
    "level_blind": "without a persona",
}
"""What the columns of scores are called on the page; another one by its own name."""
INDEX = "index.js"


class Spoken(NamedTuple):
    """One turn of a conversation; the reply is empty where there is none."""

    user: str
    reply: str


def browser_files(transcripts: Sequence[Transcript], scores: pd.DataFrame) -> dict[str, str]:
    """The files of the browser by name: `index.js`, and a numbered one per policy.

    Args:
        transcripts: of all policies, each policy's together.
        scores: columns of `records.Judgement`; further columns of numbers are shown beside `level`. A reply without a
            row shows no score.
    """
    columns = [name for name in scores.columns if name not in KEYS and pd.api.types.is_numeric_dtype(scores[name])]
    judges = sorted(scores["judge"].unique())
    given = _given(scores, judges, columns)
    profiles: dict[tuple[str, str], int] = {}
    personalities: dict[tuple[str, str], int] = {}
    policies: list[str] = []
    cases: list[list[Any]] = []
    files: dict[str, str] = {}
    for policy, own in groupby(transcripts, key=lambda held: held.policy):
        dialogues: list[Any] = []
        for held in own:
            people = [held.persona] + ([held.shift.persona] if held.shift else [])
            places = [
                (profiles.setdefault((who.profile_id, who.profile), len(profiles)),
                 personalities.setdefault((who.personality_id, who.personality), len(personalities)))
                for who in people
            ]  # fmt: skip
            rows = given.get((policy, held.persona.id), {})
            turns = conversation_turns(held)
            levels = [_level(rows.get(turn, []), columns) for turn in range(1, len(turns) + 1)]
            change = [held.shift.turn, *places[1]] if held.shift else None
            cases.append([len(policies), len(dialogues), held.persona.id, *places[0], levels, change])
            dialogues.append(_dialogue(held, turns, rows))
        files[f"{len(policies)}.js"] = f"aloeTranscripts.dialogues[{len(policies)}] = {script_json(dialogues)};\n"
        policies.append(policy)
    index = {
        "policies": policies, "judges": judges, "scores": [[name, LABELS.get(name, name)] for name in columns],
        "profiles": [{"id": name, "pieces": pieces(text)} for name, text in profiles],
        "personalities": [{"id": name, "text": text} for name, text in personalities], "cases": cases,
        "dialogues": [], "first": _first(policies, cases),
    }  # fmt: skip
    return {INDEX: f"var aloeTranscripts = {script_json(index)};\n", **files}


def _first(policies: Sequence[str], cases: Sequence[Sequence[Any]]) -> int:
    """The place of the conversation that the page begins with: one of the policy that was trained to adapt."""
    wanted = next((policies.index(name) for name in LEARNED if name in policies), 0)
    return next((place for place, case in enumerate(cases) if case[0] == wanted), 0)


def pieces(profile: str) -> list[tuple[str, int | None]]:
    """A profile in pieces: each fact with its place among `facts_of(profile)`, what lies between without one.

    >>> pieces("Ann is 40. She keeps a grey parrot.")
    [('Ann is 40.', None), ('She keeps a grey parrot.', 0)]
    """
    found: list[tuple[str, int | None]] = []
    start = 0
    for place, fact in enumerate(facts_of(profile)):
        at = profile.index(fact.text, start)
        found += [(between, None) for between in [profile[start:at].strip()] if between]
        found.append((fact.text, place))
        start = at + len(fact.text)
    return found + [(rest, None) for rest in [profile[start:].strip()] if rest]


def conversation_turns(held: Transcript) -> list[Spoken]:
    """The turns of a conversation; what is neither the user's nor the policy's is left out."""
    turns: list[Spoken] = []
    for message in held.messages:
        if message.role == "user":
            turns.append(Spoken(message.content, ""))
        elif message.role == "assistant" and turns:
            turns[-1] = turns[-1]._replace(reply=message.content)
    return turns


def script_json(data: Any) -> str:
    """JSON that may stand in a script: nothing in it can end the script or begin another.

    >>> script_json("</script>")
    '"\\\\u003c/script\\\\u003e"'
    """
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _dialogue(held: Transcript, turns: Sequence[Spoken], rows: Mapping[int, list[list[Any]]]) -> list[list[Any]]:
    """Per turn: the user's message, the reply, places of the facts told for the first time, the scores.

    The facts are those of whom the user is at that turn; somebody else begins with nothing told.
    """
    told = frozenset[int]()
    found = []
    for number, turn in enumerate(turns, 1):
        if held.shift and number == held.shift.turn:
            told = frozenset()
        new = told_in(facts_of(held.persona_at(number).profile), words_of(turn.user)) - told
        told |= new
        found.append([turn.user, turn.reply, sorted(new), rows.get(number, [])])
    return found


def _given(scores: pd.DataFrame, judges: Sequence[str], columns: Sequence[str]) -> dict[Any, dict[int, list[Any]]]:
    """By policy and case, by turn: one `[judge, number, ...]` per judge, None where there is no number."""
    numbers = scores[list(columns)].astype(object).where(scores[list(columns)].notna(), None).to_numpy().tolist()
    heads = zip(scores["policy"], scores["case"], scores["turn"], scores["judge"], strict=True)
    given: dict[Any, dict[int, list[Any]]] = {}
    for (policy, case, turn, judge), values in zip(heads, numbers, strict=True):
        whole = [int(v) if v is not None and float(v).is_integer() else v for v in values]
        given.setdefault((policy, case), {}).setdefault(int(turn), []).append([judges.index(judge), *whole])
    return given


def _level(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> float | None:
    """The mean level that the judges gave one reply; None without one."""
    if "level" not in columns:
        return None
    at = 1 + list(columns).index("level")
    levels = [row[at] for row in rows if row[at] is not None]
    return round(sum(levels) / len(levels), 2) if levels else None
