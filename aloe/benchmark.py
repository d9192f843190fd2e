"""Policies talk with held-out personas, judges score every reply.

In: benchmark texts, a chat that plays the user and the judges, and policies. Out: transcripts (kept per policy as
soon as it is done, so that an interrupted run goes on) and one score per (policy, case, turn, judge). Scoring needs
transcripts only: another judge scores old ones without a new dialogue. This module does not know how a policy was
trained, nor what the scores mean.
"""

import dataclasses
import functools
import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aloe.asking import ask_parsed, instruct
from aloe.cases import benchmark_texts, join_all, successors
from aloe.chat import AskError
from aloe.errors import UserError
from aloe.params import ROOT, Endpoint, Role
from aloe.policies import ChatPolicy, Entrant, Policy, told_system
from aloe.prompts import conversation, render
from aloe.provenance import fingerprint, simulated_model
from aloe.records import Judgement, Message, Persona, PersonaShift, Transcript, read_jsonl, write_bytes, write_jsonl
from aloe.runs import Run

if TYPE_CHECKING:
    from aloe.chat import Chat

log = logging.getLogger(__name__)
SCORE_FORM = 'one line, "Score: N" with N from 1 to 5'
Dialogue = list[Message]


def load_cases(run: Run) -> list[Persona]:
    """The run's cases: its first `n_profiles` benchmark profiles with its first `n_personalities` personalities.

    Raises:
        UserError: a benchmark file is damaged or holds too few texts, or a text was also trained on.
    """
    return join_all(*benchmark_texts(run))


def entrants(run: Run, load: Callable[[Path], Policy]) -> list[Entrant]:
    """The run's policies in the preset's order; `told` is the base model with the persona in its system message.

    A model behind an endpoint gets the plain responder's system message, as it has not learned how to reply.

    Args:
        run: with the models that the training stages left.
        load: opens the policy of a model folder; called when its dialogues are held.

    Raises:
        UserError: a model is not there.
    """
    found = []
    asked = run.params.benchmark.endpoint_policies or {}
    for name in run.params.benchmark.policies:
        if name in asked:
            found.append(Entrant(name, _asked_as(run, asked[name]), functools.partial(_not_here, name), asked=True))
            continue
        folder = run.model("base" if name == "told" else name)
        system = functools.partial(told_system, folder=ROOT / run.params.prompts) if name == "told" else None
        found.append(Entrant(name, fingerprint(folder), functools.partial(load, folder), system))
    return found


def run_benchmark(chat: "Chat", run: Run, policies: Sequence[Entrant]) -> list[Transcript]:
    """Let every policy talk with every case, and write `transcripts.jsonl`.

    A policy's transcripts are kept beside that file as soon as it is done, under a key of all that decides about
    them; where they are found again, the policy is not even opened.

    Returns:
        Transcripts in the order of policies, then of cases.
    """
    personas = load_cases(run)
    transcripts: list[Transcript] = []
    for entrant in policies:
        part = _part(run, entrant, personas)
        if not part.is_file():
            policy: Policy = ChatPolicy(chat, entrant.name) if entrant.asked else entrant.open()
            sizes = run.params.benchmark
            turn = sizes.shift.turn if sizes.shift else None
            held = converse(chat, entrant, policy, personas, sizes.n_turns, sizes.opening, turn)
            del policy  # two policies of 8B do not fit on one GPU
            write_jsonl(part, held)
            for other in part.parent.glob("*.jsonl"):
                if other != part:
                    other.unlink()  # of other weights or parameters
        transcripts += read_jsonl(Transcript, part)
    write_jsonl(run.transcripts, transcripts)
    return transcripts


def converse(
    chat: "Chat", entrant: Entrant, policy: Policy, personas: Sequence[Persona], n_turns: int,
    opening: str | None = None, shift: int | None = None,
) -> list[Transcript]:  # fmt: skip
    """Hold one dialogue per persona, all of them turn by turn: the users speak side by side, then one batch replies.

    Args:
        opening: what every user says first; None: their own words.
        shift: the turn from which on every user is their successor (`cases.successors`); the entrant is not told.

    Returns:
        One transcript per persona, in order, each of 2 * n_turns messages. A reply may be empty, as the policy left it.

    Raises:
        AskError: a user could not speak; a shorter dialogue would make AL(k) average other cases at late turns.
    """
    systems = [[] if entrant.system is None else [Message("system", entrant.system(p))] for p in personas]
    histories: list[Dialogue] = [[] for _ in personas]
    shifts = [PersonaShift(shift, p) for p in successors(personas)] if shift else [None] * len(personas)
    for turn in range(1, n_turns + 1):
        users = [s.persona if s and turn >= s.turn else p for p, s in zip(personas, shifts, strict=True)]
        jobs = [functools.partial(_speak, chat, p, list(h)) for p, h in zip(users, histories, strict=True)]
        step = f"{entrant.name}: turn {turn} of {n_turns}"
        spoken = [opening] * len(users) if opening and turn == 1 else chat.run(jobs, step)
        for history, said in zip(histories, spoken, strict=True):
            history.append(Message("user", said))
        replies = policy.reply([[*s, *history] for s, history in zip(systems, histories, strict=True)])
        for history, reply in zip(histories, replies, strict=True):
            history.append(Message("assistant", reply.strip()))
    return [
        Transcript(f"{entrant.name}-{persona.id}", entrant.name, persona, tuple(history), change)
        for persona, history, change in zip(personas, histories, shifts, strict=True)
    ]


def judge_names(judges: Sequence[Role]) -> list[str]:
    """A name per judge: its model, with "#2" and so on where several judges have the same model."""
    models = [judge.model for judge in judges]
    return [m if models[:i].count(m) == 0 else f"{m}#{models[:i].count(m) + 1}" for i, m in enumerate(models)]


def judge(chat: "Chat", transcripts: Sequence[Transcript], judges: Sequence[Role]) -> list[Judgement]:
    """Ask every judge about every reply, each reply with the conversation up to it, for the persona of that turn.

    The judges see neither the policy's name nor what follows. `level` is None where a judge's answer did not parse,
    also after one repair, or where none could be had (logged as a warning; such a one is asked for again next time).

    Returns:
        One row per (transcript, turn, judge), in that order.
    """
    rows: list[tuple[Judgement, Callable[[], Coroutine[Any, Any, int | None]]]] = []
    for transcript in transcripts:
        persona = transcript.persona
        for turn in range(1, len(transcript.messages) // 2 + 1):
            for number, name in enumerate(judge_names(judges)):
                row = Judgement(transcript.policy, persona.id, persona.profile_id, persona.personality_id, turn, name,
                                None)  # fmt: skip
                rows.append((row, functools.partial(_score, chat, transcript, turn, number)))
    levels = chat.run([job for _, job in rows], "judging")
    return [dataclasses.replace(row, level=level) for (row, _), level in zip(rows, levels, strict=True)]


def score(chat: "Chat", run: Run, transcripts: Sequence[Transcript]) -> pd.DataFrame:
    """Judge transcripts with the run's alignment judges and write `scores.parquet`.

    Returns:
        The columns of `records.Judgement`; `level` is Int64 with <NA> where an answer did not parse.
    """
    frame = score_frame(judge(chat, transcripts, run.params.roles.alignment_judge))
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_bytes(run.scores, buffer.getvalue())
    return frame


def score_frame(judgements: Sequence[Judgement]) -> pd.DataFrame:
    """Judgements as a frame, one row each, columns in field order, `level` as Int64."""
    columns = [field.name for field in dataclasses.fields(Judgement)]
    frame = pd.DataFrame([dataclasses.asdict(judgement) for judgement in judgements], columns=columns)
    return frame.astype({"turn": "int64", "level": "Int64"})


def parse_score(text: str) -> int | None:
    """The level 1 to 5; None unless the text is exactly of the form.

    >>> parse_score("Score: 4"), parse_score("Score: 45"), parse_score("4")
    (4, None, None)
    """
    found = re.fullmatch(r"\s*Score: ([1-5])\s*", text)
    return int(found.group(1)) if found else None


async def _speak(chat: "Chat", persona: Persona, history: Dialogue) -> str:
    prompt = chat.prompt(
        "user", profile=persona.profile, personality=persona.personality, conversation=conversation(history)
    )
    return (await chat.ask("user", instruct(prompt))).strip()


async def _score(chat: "Chat", transcript: Transcript, turn: int, number: int) -> int | None:
    persona, reply = transcript.persona_at(turn), transcript.messages[2 * turn - 1]
    shown = conversation(transcript.messages[: 2 * turn - 1])
    prompt = chat.prompt("alignment_judge", profile=persona.profile, personality=persona.personality,
                         conversation=shown, reply=reply.content)  # fmt: skip
    try:
        answer = await ask_parsed(chat, "alignment_judge", instruct(prompt), parse_score, SCORE_FORM, judge=number)
    except AskError as error:
        log.warning("%s, turn %d, has no level: %s", transcript.id, turn, error)
        return None
    return answer.parsed


def _part(run: Run, entrant: Entrant, personas: Sequence[Persona]) -> Path:
    """Where an entrant's transcripts are kept; the name holds a key of all that decides about them."""
    sizes, roles = run.params.benchmark, run.params.roles
    users = [
        render("user", ROOT / run.params.prompts, profile=p.profile, personality=p.personality, conversation="")
        for p in personas
    ]
    decides = [
        [dataclasses.asdict(p) for p in personas], users, roles.user.decides(),
        _behind(run.params.endpoints[roles.user.endpoint]), dataclasses.asdict(run.params.sandbox),
        entrant.fingerprint, [entrant.system(p) if entrant.system else None for p in personas],
        sizes.n_turns, sizes.max_new_tokens, sizes.temperature, sizes.batch_size, run.params.seed,
        *([{"shift": sizes.shift.turn}] if sizes.shift else []),
        *([{"opening": sizes.opening}] if sizes.opening else []),
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    return run.transcripts.parent / "done" / entrant.name / f"{key}.jsonl"


def _asked_as(run: Run, role: Role) -> str:
    """The fingerprint of a policy behind an endpoint: what answers, with which sampling, and what it is told to do."""
    decides = [role.decides(), _behind(run.params.endpoints[role.endpoint]),
               render("plain_responder", ROOT / run.params.prompts)]  # fmt: skip
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _not_here(name: str) -> Policy:
    raise UserError(f"Policy {name!r} stands behind an endpoint: ask it with policies.ChatPolicy(chat, {name!r}).")


def _behind(endpoint: Endpoint) -> str:
    """What answers at an endpoint: its address; of the simulated model, its code."""
    return simulated_model(ROOT / "aloe" / "sandbox") if endpoint.in_process else endpoint.base_url
