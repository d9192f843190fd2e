"""Judges score transcripts: every reply for the persona of its turn and, as controls, for a stranger or for nobody.

In: transcripts, a chat that plays the judges. Out: one row per (policy, case, turn, judge) with its levels. Scoring
needs transcripts only: another judge scores old ones without a new dialogue. This module does not know where
transcripts come from, nor what the levels mean.
"""

import dataclasses
import functools
import io
import logging
import re
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from aloe.asking import ask_parsed, instruct
from aloe.chat import AskError
from aloe.params import Role
from aloe.prompts import conversation
from aloe.records import Judgement, Persona, Transcript
from aloe.runs import Run
from aloe.shuffling import stranger_to, strangers
from aloe.writing import write_bytes

if TYPE_CHECKING:
    from aloe.chat import Chat

log = logging.getLogger(__name__)
SCORE_FORM = 'one line, "Score: N" with N from 1 to 5'


def judge_names(judges: Sequence[Role]) -> list[str]:
    """A name per judge: its model, with "#2" and so on where several judges have the same model."""
    models = [judge.model for judge in judges]
    return [m if models[:i].count(m) == 0 else f"{m}#{models[:i].count(m) + 1}" for i, m in enumerate(models)]


def judge(
    chat: "Chat", transcripts: Sequence[Transcript], judges: Sequence[Role], controls: Collection[str] = ()
) -> list[Judgement]:
    """Ask every judge about every reply, each reply with the conversation up to it, for the persona of that turn.

    The judges see neither the policy's name nor what follows. `level` is None where a judge's answer did not parse,
    also after one repair, or where none could be had (logged as a warning; such a one is asked for again next time).

    Args:
        chat: who is asked.
        transcripts: what the policies said; nothing else of their run is needed.
        judges: the preset's.
        controls: `shuffled`: the same conversation and reply once more, with the persona of a stranger in the prompt
            (`shuffling.strangers` of the transcripts' personas; no level where they have none); `blind`: with none.

    Returns:
        One row per (transcript, turn, judge), in that order.
    """
    rows: list[tuple[Judgement, Callable[[], Coroutine[Any, Any, dict[str, int | None]]]]] = []
    others = strangers([transcript.persona for transcript in transcripts]) if "shuffled" in controls else {}
    for transcript in transcripts:
        persona = transcript.persona
        for turn in range(1, len(transcript.messages) // 2 + 1):
            shown = _shown(transcript, turn, others, "blind" in controls)
            for number, name in enumerate(judge_names(judges)):
                row = Judgement(transcript.policy, persona.id, persona.profile_id, persona.personality_id, turn, name,
                                None)  # fmt: skip
                rows.append((row, functools.partial(_score, chat, transcript, turn, number, shown)))
    levels = chat.run([job for _, job in rows], "judging")
    return [
        dataclasses.replace(row, level=found["level"], level_shuffled=found.get("level_shuffled"),
                            level_blind=found.get("level_blind"))
        for (row, _), found in zip(rows, levels, strict=True)
    ]  # fmt: skip


def score(chat: "Chat", run: Run, transcripts: Sequence[Transcript]) -> pd.DataFrame:
    """Judge transcripts with the run's alignment judges, with the preset's controls, and write `scores.parquet`.

    Returns:
        The columns of `records.Judgement`; levels are Int64 with <NA> where an answer did not parse, and in the whole
        column of a control that the run does not have.
    """
    frame = score_frame(judge(chat, transcripts, run.params.roles.alignment_judge, run.params.benchmark.controls or ()))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(run.scores, buffer.getvalue())
    return frame


def score_frame(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """Judgements as a frame, one row each, columns in field order, levels as Int64."""
    columns = [field.name for field in dataclasses.fields(Judgement)]
    frame = pd.DataFrame([dataclasses.asdict(judgement) for judgement in judgements], columns=columns)
    return frame.astype({"turn": "int64", "level": "Int64", "level_shuffled": "Int64", "level_blind": "Int64"})


def parse_score(text: str) -> int | None:
    """The level 1 to 5; None unless the text is exactly of the form.

    >>> parse_score("Score: 4"), parse_score("Score: 45"), parse_score("4")
    (4, None, None)
    """
    found = re.fullmatch(r"\s*Score: ([1-5])\s*", text)
    return int(found.group(1)) if found else None


def judge_prompt(chat: "Chat", transcript: Transcript, turn: int, persona: Persona | None) -> str:
    """What a judge is asked about the reply at a turn (from 1), for a persona or, with None, blind to any."""
    fields = {"conversation": conversation(transcript.messages[: 2 * turn - 1]),
              "reply": transcript.messages[2 * turn - 1].content}  # fmt: skip
    if persona is None:
        return chat.prompt("blind_judge", **fields)
    return chat.prompt("alignment_judge", profile=persona.profile, personality=persona.personality, **fields)


def _shown(transcript: Transcript, turn: int, others: Mapping[str, Persona], blind: bool) -> dict[str, Persona | None]:
    """Whose persona a judge is shown for each column of levels; where the user changed, a stranger to both of them."""
    now = transcript.persona_at(turn)
    shown: dict[str, Persona | None] = {"level": now}
    stranger = stranger_to(others, now, transcript.persona)
    if stranger is not None:
        shown["level_shuffled"] = stranger
    return shown | ({"level_blind": None} if blind else {})


async def _score(
    chat: "Chat", transcript: Transcript, turn: int, number: int, shown: Mapping[str, Persona | None]
) -> dict[str, int | None]:
    """One judge's levels of one reply: for the persona itself and, one after the other, for the controls'."""
    levels: dict[str, int | None] = {}
    for name, persona in shown.items():
        messages = instruct(judge_prompt(chat, transcript, turn, persona))
        try:
            answer = await ask_parsed(chat, "alignment_judge", messages, parse_score, SCORE_FORM, judge=number)
            levels[name] = answer.parsed
        except AskError as error:
            log.warning("%s, turn %d, has no %s: %s", transcript.id, turn, name.replace("_", " "), error)
            levels[name] = None
    return levels
