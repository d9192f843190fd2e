"""Policies talk with held-out personas.

In: benchmark texts, a chat that plays the user, and policies. Out: transcripts, kept per policy as soon as it is done,
so that an interrupted run goes on. This module does not know how a policy was trained, nor how it is judged.
"""

import dataclasses
import functools
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aloe.asking import instruct
from aloe.baselines import asked_policy, fallbacks_of
from aloe.cases import benchmark_texts, join_all, successors
from aloe.embedding import EMBEDDERS
from aloe.errors import UserError
from aloe.params import ROOT, Endpoint, EndpointPolicy
from aloe.policies import Entrant, Policy, told_system
from aloe.prompts import conversation, prompt_file, render
from aloe.provenance import fingerprint, simulated_model
from aloe.records import Message, Persona, PersonaShift, Transcript, read_jsonl, write_jsonl
from aloe.runs import Run
from aloe.strategies import RETRIEVED, prompts_of
from aloe.writing import write_text

if TYPE_CHECKING:
    from aloe.chat import Chat

log = logging.getLogger(__name__)
Dialogue = list[Message]


def load_cases(run: Run) -> list[Persona]:
    """The run's cases: its first `n_profiles` benchmark profiles with its first `n_personalities` personalities.

    Raises:
        UserError: a benchmark file is damaged or holds too few texts, or a text was also trained on.
    """
    return join_all(*benchmark_texts(run))


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
            sizes = run.params.benchmark
            turn = sizes.shift.turn if sizes.shift else None
            held = converse(chat, entrant, policy, personas, sizes.n_turns, sizes.opening, turn)
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


async def _speak(chat: "Chat", persona: Persona, history: Dialogue) -> str:
    prompt = chat.prompt(
        "user", profile=persona.profile, personality=persona.personality, conversation=conversation(history)
    )
    return (await chat.ask("user", instruct(prompt))).strip()


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
    """What answers at an endpoint: its address; of the simulated model, its code and what is planted there alone."""
    if not endpoint.in_process:
        return endpoint.base_url
    own = endpoint.planted.given() if endpoint.planted else {}
    return simulated_model(ROOT / "aloe" / "sandbox") + (json.dumps(own) if own else "")
