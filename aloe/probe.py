"""Ask policies, outside of their conversations, what they know of their users: the probe.

In: a run, a chat that was opened for `with_probes(run)`, transcripts. Out: one `Probed` per probed policy, case and
turn, kept in `benchmark/probe.jsonl`. The conversations are read and never touched: the question is a request of its
own in a role of its own ("probe:<policy>"), with the messages up to and with the reply of that turn. It goes to the
model behind the policy, at temperature 0 and without the policy's own instruction, so it tells what that model can
infer from the conversation that the policy brought about, and not what the policy makes of it. The small trained models
follow no instructions and are not asked. This module knows no rule by which an answer is read (`knowledge`).
"""

import dataclasses
import functools
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from aloe.asking import ask_parsed, instruct
from aloe.chat import AskError, open_chat
from aloe.dialogues import INDUCED_FORM, Induced, parse_induced
from aloe.embedding import embed
from aloe.knowledge import Probed, knowledge_table
from aloe.params import EndpointPolicy
from aloe.prompts import conversation
from aloe.records import Message, Transcript, write_jsonl
from aloe.reference import faultless
from aloe.runs import Run
from aloe.writing import write_bytes

if TYPE_CHECKING:
    import pandas as pd

    from aloe.chat import Chat

log = logging.getLogger(__name__)
LIST_TOKENS = 512  # room for ten facts and ten traits; a policy's own limit is one of short replies


def role_of(policy: str) -> str:
    """The role in which a policy is probed; no policy can have such a name."""
    return f"probe:{policy}"


def probed_role(policy: EndpointPolicy) -> EndpointPolicy:
    """The model behind a policy, as it is asked what it knows."""
    return dataclasses.replace(
        policy, temperature=0.0, max_tokens=max(policy.max_tokens, LIST_TOKENS), strategy="plain"
    )


def with_probes(run: Run) -> Run:
    """The same run, whose chat can also be asked in the roles of the probe; the run itself if it probes nobody."""
    bench = run.params.benchmark
    asked = bench.endpoint_policies or {}
    roles = {role_of(name): probed_role(asked[name]) for name in bench.probe or ()}
    if not roles:
        return run
    more = dataclasses.replace(bench, endpoint_policies=asked | roles)
    return dataclasses.replace(run, params=dataclasses.replace(run.params, benchmark=more))


def run_probe(chat: "Chat", run: Run, transcripts: Sequence[Transcript]) -> list[Probed]:
    """Ask every probed policy after every turn of its transcripts, and write `benchmark/probe.jsonl`.

    Answers that the journal holds are not asked for again. One that cannot be read, also after one repair, or that
    could not be had (logged as a warning) has neither facts nor traits: it is counted, and tied to nothing.

    Returns: in the order of transcripts, then of turns; empty, and no file, if the preset probes nobody.
    """
    own = [held for held in transcripts if held.policy in (run.params.benchmark.probe or ())]
    if not own:
        return []
    places = [(held, turn) for held in own for turn in range(1, len(held.messages) // 2 + 1)]
    answers = chat.run([functools.partial(_ask, chat, held, turn) for held, turn in places], "probe")
    shown = traits_shown(run, own)
    found = [
        Probed(held.policy, held.persona.id, turn, answer and answer.profile, answer and answer.personality,
               shown.get((held.id, turn)))
        for (held, turn), answer in zip(places, answers, strict=True)
    ]  # fmt: skip
    write_jsonl(run.probe, found)
    return found


def score_knowledge(run: Run, transcripts: Sequence[Transcript], answers: Sequence[Probed]) -> "pd.DataFrame":
    """Hold the answers against what had been revealed, and write `benchmark/knowledge.parquet`, so that nobody need do
    so again: `knowledge.knowledge_table`. No file without an answer.
    """
    table = knowledge_table(transcripts, answers, embed)
    if answers:
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        write_bytes(run.knowledge, buffer.getvalue())
    return table


def traits_shown(run: Run, transcripts: Sequence[Transcript]) -> dict[tuple[str, int], str]:
    """Which traits have shown by each turn, by transcript and turn: what the simulated inducer says without its faults.

    Nobody names their own character, so no rule can read this off messages. In a run with real models there is no such
    truth: empty, and every trait of a persona counts as one that can be known. Nothing of it enters the run's journal
    or its costs.
    """
    role = run.params.roles.inducer
    if not run.params.endpoints[role.endpoint].in_process:
        return {}
    params = dataclasses.replace(run.params, sandbox=faultless(), journal=None, budget_usd=None, budget_calls=None)
    with (
        TemporaryDirectory(prefix="aloe-probe-") as folder,
        open_chat(Run(run.name, params, Path(folder))) as chat,
    ):
        parts = chat.run([functools.partial(_shown, chat, held) for held in transcripts], "traits that have shown")
    return {(held.id, turn): text for held, part in zip(transcripts, parts, strict=True) for turn, text in part.items()}


def question(chat: "Chat", held: Transcript, turn: int) -> list[Message]:
    """What a policy is asked after a turn (from 1): the conversation up to and with its reply, inside the prompt."""
    return instruct(chat.prompt("probe", conversation=conversation(held.messages[: 2 * turn])))


async def _ask(chat: "Chat", held: Transcript, turn: int) -> Induced | None:
    try:
        answer = await ask_parsed(chat, role_of(held.policy), question(chat, held, turn), parse_induced, INDUCED_FORM)
    except AskError as error:
        log.warning("%s, turn %d, could not be probed: %s", held.id, turn, error)
        return None
    return answer.parsed


async def _shown(chat: "Chat", held: Transcript) -> dict[int, str]:
    found = {}
    for turn in range(1, len(held.messages) // 2 + 1):
        persona = held.persona_at(turn)
        said = conversation(held.messages[: 2 * turn - 1])
        prompt = chat.prompt("inducer", profile=persona.profile, personality=persona.personality, conversation=said)
        answer = await ask_parsed(chat, "inducer", instruct(prompt), parse_induced, INDUCED_FORM)
        found[turn] = answer.parsed.personality if answer.parsed else "nothing yet"
    return found
