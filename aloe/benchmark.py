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
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aloe.asking import ask_parsed, instruct
from aloe.baselines import asked_policy, fallbacks_of
from aloe.chat import AskError
from aloe.embedding import EMBEDDERS
from aloe.errors import UserError
from aloe.params import ROOT, Endpoint, EndpointPolicy, Role
from aloe.personas import join
from aloe.policies import Entrant, Policy, told_system
from aloe.prompts import conversation, prompt_file, render
from aloe.provenance import fingerprint, simulated_model
from aloe.records import Judgement, Message, Persona, Transcript, read_jsonl, write_bytes, write_jsonl, write_text
from aloe.runs import Run
from aloe.shuffling import strangers
from aloe.strategies import RETRIEVED, prompts_of
from aloe.texts import Text, load_texts

if TYPE_CHECKING:
    from aloe.chat import Chat

log = logging.getLogger(__name__)
SCORE_FORM = 'one line, "Score: N" with N from 1 to 5'
Dialogue = list[Message]


def cases(profiles: Sequence[Text], personalities: Sequence[Text]) -> list[Persona]:
    """Every profile with every personality: "bench-p01" and "bench-t2" make "bench-p01-t2".

    Raises:
        UserError: an id does not begin with "bench-", so that the text could be taken for a training one.
    """
    for text in (*profiles, *personalities):
        if not text.id.startswith("bench-"):
            raise UserError(f"The benchmark text {text.id!r} needs an id that begins with 'bench-'.")
    return [join(profile, personality) for profile in profiles for personality in personalities]


def load_cases(run: Run) -> list[Persona]:
    """The run's cases: its first `n_profiles` benchmark profiles with its first `n_personalities` personalities.

    Raises:
        UserError: a benchmark file is damaged or holds too few texts.
    """
    files, sizes = run.params.personas, run.params.benchmark
    profiles = load_texts(ROOT / files.benchmark_profiles, sizes.n_profiles)
    personalities = load_texts(ROOT / files.benchmark_personalities, sizes.n_personalities)
    return cases(profiles[: sizes.n_profiles], personalities[: sizes.n_personalities])


def entrants(run: Run, load: Callable[[Path], Policy]) -> list[Entrant]:
    """The run's policies in the preset's order; `told` is the base model with the persona in its system message.

    A model behind an endpoint is asked by its strategy; by default with the plain responder's system message, as it
    has not learned how to reply.

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
            told = functools.partial(told_system, folder=ROOT / run.params.prompts, prompt="told_responder")
            found.append(Entrant(name, _asked_as(run, asked[name]), functools.partial(_not_here, name),
                                 told if asked[name].strategy == "told" else None, asked=True))  # fmt: skip
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
            policy: Policy = _asked(chat, run, entrant.name) if entrant.asked else entrant.open()
            held = converse(chat, entrant, policy, personas, run.params.benchmark.n_turns)
            if entrant.asked:
                write_text(part.with_suffix(".json"), json.dumps({"fallbacks": fallbacks_of(policy)}))
            del policy  # two policies of 8B do not fit on one GPU
            write_jsonl(part, held)
            for other in part.parent.glob("*.json*"):
                if other.stem != part.stem:
                    other.unlink()  # of other weights or parameters
        transcripts += read_jsonl(Transcript, part)
    write_jsonl(run.transcripts, transcripts)
    return transcripts


def converse(
    chat: "Chat", entrant: Entrant, policy: Policy, personas: Sequence[Persona], n_turns: int
) -> list[Transcript]:
    """Hold one dialogue per persona, all of them turn by turn: the users speak side by side, then one batch replies.

    Returns:
        One transcript per persona, in order, each of 2 * n_turns messages. A reply may be empty, as the policy left it.

    Raises:
        AskError: a user could not speak; a shorter dialogue would make AL(k) average other cases at late turns.
    """
    systems = [[] if entrant.system is None else [Message("system", entrant.system(p))] for p in personas]
    histories: list[Dialogue] = [[] for _ in personas]
    for turn in range(1, n_turns + 1):
        jobs = [functools.partial(_speak, chat, p, list(h)) for p, h in zip(personas, histories, strict=True)]
        for history, said in zip(histories, chat.run(jobs, f"{entrant.name}: turn {turn} of {n_turns}"), strict=True):
            history.append(Message("user", said))
        replies = policy.reply([[*s, *history] for s, history in zip(systems, histories, strict=True)])
        for history, reply in zip(histories, replies, strict=True):
            history.append(Message("assistant", reply.strip()))
    return [
        Transcript(f"{entrant.name}-{persona.id}", entrant.name, persona, tuple(history))
        for persona, history in zip(personas, histories, strict=True)
    ]


def judge_names(judges: Sequence[Role]) -> list[str]:
    """A name per judge: its model, with "#2" and so on where several judges have the same model."""
    models = [judge.model for judge in judges]
    return [m if models[:i].count(m) == 0 else f"{m}#{models[:i].count(m) + 1}" for i, m in enumerate(models)]


def judge(
    chat: "Chat", transcripts: Sequence[Transcript], judges: Sequence[Role], controls: Collection[str] = ()
) -> list[Judgement]:
    """Ask every judge about every reply, each reply with the conversation up to it.

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
        shown: dict[str, Persona | None] = {"level": persona}
        if persona.id in others:
            shown["level_shuffled"] = others[persona.id]
        if "blind" in controls:
            shown["level_blind"] = None
        for turn in range(1, len(transcript.messages) // 2 + 1):
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


async def _speak(chat: "Chat", persona: Persona, history: Dialogue) -> str:
    prompt = chat.prompt(
        "user", profile=persona.profile, personality=persona.personality, conversation=conversation(history)
    )
    return (await chat.ask("user", instruct(prompt))).strip()


def judge_prompt(chat: "Chat", transcript: Transcript, turn: int, persona: Persona | None) -> str:
    """What a judge is asked about the reply at a turn (from 1), for a persona or, with None, blind to any."""
    fields = {"conversation": conversation(transcript.messages[: 2 * turn - 1]),
              "reply": transcript.messages[2 * turn - 1].content}  # fmt: skip
    if persona is None:
        return chat.prompt("blind_judge", **fields)
    return chat.prompt("alignment_judge", profile=persona.profile, personality=persona.personality, **fields)


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
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:16]
    return run.transcripts.parent / "done" / entrant.name / f"{key}.jsonl"


def fallbacks(run: Run, policies: Sequence[Entrant]) -> dict[str, int]:
    """Of each policy behind an endpoint, the replies in its transcripts that had to do with less (`baselines`).

    Policies whose transcripts were made before this was counted are left out.
    """
    personas = load_cases(run)
    parts = {entrant.name: _part(run, entrant, personas).with_suffix(".json") for entrant in policies if entrant.asked}
    return {name: json.loads(part.read_text("utf-8"))["fallbacks"] for name, part in parts.items() if part.is_file()}


def _asked(chat: "Chat", run: Run, name: str) -> Policy:
    policy = (run.params.benchmark.endpoint_policies or {})[name]
    return asked_policy(chat, name, policy.strategy, EMBEDDERS[run.params.personas.embedder])


def _asked_as(run: Run, role: EndpointPolicy) -> str:
    """The fingerprint of a policy behind an endpoint: what answers, with which sampling, and what it is told to do."""
    folder = ROOT / run.params.prompts
    decides: list[Any] = [role.decides(), _behind(run.params.endpoints[role.endpoint]),
                          render("plain_responder", folder)]  # fmt: skip
    if role.strategy != "plain":
        decides += [prompt_file(name, folder).read_text("utf-8") for name in prompts_of(role.strategy)]
    if role.strategy == "retrieval":
        decides += [run.params.personas.embedder, RETRIEVED]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _not_here(name: str) -> Policy:
    raise UserError(f"Policy {name!r} stands behind an endpoint: ask it with policies.ChatPolicy(chat, {name!r}).")


def _behind(endpoint: Endpoint) -> str:
    """What answers at an endpoint: its address; of the simulated model, its code."""
    return simulated_model(ROOT / "aloe" / "sandbox") if endpoint.in_process else endpoint.base_url
