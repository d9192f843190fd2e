"""What the audits of a simulated run are held against: its inducer and judge without the planted faults.

In: a run and trees. Out: for each turn the better reply and the persona as it has come out by then, asked over the same
protocol, with the same prompts, of the simulated model with every rate of fault at 0. Nothing of it enters the run's
journal, its costs or its trees. A run with real models has no such reference: there is None, unless people have
labelled turns. This module does not know what the audits make of it.
"""

import asyncio
import dataclasses
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aloe.asking import ask_parsed, instruct
from aloe.chat import open_chat
from aloe.dialogues import INDUCED_FORM, VERDICT_FORM, Induced, label_of, parse_induced, parse_verdict
from aloe.label_audit import Known, Reference
from aloe.params import Params, Role, Sandbox
from aloe.preferences import history
from aloe.prompts import conversation
from aloe.records import DialogueTree, Message
from aloe.runs import Run
from aloe.telling import paths

if TYPE_CHECKING:
    from aloe.chat import Chat

MOST_TREES = 60
"""Dialogues that are asked about: enough for shares to a few hundredths, at a tenth of the cost of the default
preset."""


def ask_reference(run: Run, trees: Sequence[DialogueTree]) -> Reference | None:
    """What the simulated model says without its faults, for the first `MOST_TREES` trees; None in a run with real
    models."""
    roles: tuple[Role, ...] = (run.params.roles.inducer, run.params.roles.preference_judge)
    if not all(run.params.endpoints[role.endpoint].in_process for role in roles):
        return None
    params = dataclasses.replace(run.params, sandbox=faultless(), journal=None, budget_usd=None, budget_calls=None)
    with (
        tempfile.TemporaryDirectory(prefix="aloe-reference-") as folder,
        open_chat(Run(run.name, params, Path(folder))) as chat,
    ):
        return known_of(chat, trees[:MOST_TREES])


def faultless() -> Sandbox:
    """A `sandbox:` section with the whole effect and no fault."""
    return Sandbox(effect=1.0, judge_error=0.0, position_bias=0.0, length_bias=0.0, missed_inference=0.0, leak=0.0,
                   early_disclosure=0.0)  # fmt: skip


def planted(params: Params) -> dict[str, float]:
    """What the preset plants, by the audit that should find it; nothing where real models answer."""
    rates, turns = params.sandbox, params.trees.n_turns
    if not params.simulated:
        return {}
    errors = [rates.judge_error] * turns
    if rates.judge_error_by_turn is not None:
        given = rates.judge_error_by_turn
        errors = [given[min(turn, len(given) - 1)] for turn in range(turns)]
    half = turns // 2
    halves = {"first": errors[:half], "second": errors[half:]}
    return {
        "position_bias": rates.position_bias, "length_bias": rates.length_bias, "leak": rates.leak,
        "missed_inference": rates.missed_inference, "early_disclosure": rates.early_disclosure,
        **{f"judge_error_{name}_half": sum(own) / len(own) for name, own in halves.items() if own},
    }  # fmt: skip


def known_of(chat: "Chat", trees: Sequence[DialogueTree]) -> Reference:
    """Ask a chat's inducer and judge about every turn of the trees."""
    jobs = [functools.partial(_tree, chat, tree) for tree in trees]
    return {turn: known for part in chat.run(jobs, "reference") for turn, known in part.items()}


async def _tree(chat: "Chat", tree: DialogueTree) -> dict[str, Known]:
    facts = {"profile": tree.persona.profile, "personality": tree.persona.personality}
    found = {}
    for turn_id, path in paths(tree).items():
        *before, turn = path
        shown = conversation([*history(before), Message("user", turn.user)])
        orders = ((turn.hinted, turn.plain), (turn.plain, turn.hinted))
        prompts = [
            chat.prompt("preference_judge", **facts, conversation=shown, reply_1=a, reply_2=b) for a, b in orders
        ]
        noting = chat.prompt("inducer", **facts, conversation=shown)
        induced, first, second = await asyncio.gather(
            ask_parsed(chat, "inducer", instruct(noting), parse_induced, INDUCED_FORM),
            ask_parsed(chat, "preference_judge", instruct(prompts[0]), parse_verdict, VERDICT_FORM),
            ask_parsed(chat, "preference_judge", instruct(prompts[1]), parse_verdict, VERDICT_FORM),
        )
        label = label_of(first.parsed, second.parsed) if turn.hinted != turn.plain else "tie"
        notes = induced.parsed or Induced("nothing yet", "nothing yet")
        found[turn_id] = Known(label if label in ("hinted", "plain") else None, *notes)
    return found
