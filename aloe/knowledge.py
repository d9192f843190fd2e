"""What policies know of their users, turn by turn: the probe's answers against what had been revealed by then.

In: transcripts, the answers to the probe, an embedder. Out: a row per item and per revealed fact or trait, and from
these precision and recall with intervals clustered on profiles. What a user has told is read by the rule of `telling`,
what an answer names by that of `knowing`; both err, and how often is measured on marked texts. This module asks nobody
and knows no file.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from aloe.audit_model import share
from aloe.embedding import Embed
from aloe.findings import NOT_APART, verdict
from aloe.intervals import Estimate
from aloe.knowing import Kind, borne_out, facts_named, items, persona_facts, traits_named
from aloe.records import Transcript
from aloe.simulator_audit import traits_of
from aloe.telling import ENOUGH, Fact, noted_in, told_in, words_of

COLUMNS = ("policy", "case", "profile", "turn", "kind", "measure", "what", "outcome", "right")
ERRORS = ("guessed", "passing", "wrong")
KINDS: tuple[Kind, ...] = ("facts", "traits")
_ADAPTS = {"higher": "its level rises", "lower": "its level falls", NOT_APART: "its level is not shown to change"}


@dataclasses.dataclass(frozen=True)
class Probed:
    """What a policy answered when it was asked after a turn (from 1) what it knows of its user.

    `profile` and `personality` are None where the answer could not be read. `shown`: the traits that had shown by then,
    in words of the persona; None where nobody knows, as in runs with real models.
    """

    policy: str
    case: str
    turn: int
    profile: str | None
    personality: str | None
    shown: str | None


class Revealed(NamedTuple):
    """The facts and traits of a persona, and the places of those that had come out by a turn."""

    facts: tuple[Fact, ...]
    told: frozenset[int]
    traits: tuple[Fact, ...]
    shown: frozenset[int]
    words: frozenset[str]


def knowledge_table(transcripts: Iterable[Transcript], answers: Iterable[Probed], embed: Embed) -> pd.DataFrame:
    """One row per item that an answer names (`precision`) and per fact or trait that had been revealed (`recall`).

    An item is right if the persona holds it and it had been revealed; else it is `guessed` (of the persona, but not
    revealed), `passing` (not of the persona, but in the user's own words) or `wrong`. Something revealed is right if
    the answer names it, else `missed`. An answer that could not be read has no row, and one to a turn that its
    transcript does not hold is left out.

    Returns: policy, case, profile, turn, kind (facts, traits), measure, what (its text), outcome, right.
    """
    held = {(own.policy, own.persona.id): own for own in transcripts}
    read = [
        (answer, held[answer.policy, answer.case]) for answer in answers
        if answer.profile is not None and (answer.policy, answer.case) in held
        and 2 * answer.turn <= len(held[answer.policy, answer.case].messages)
    ]  # fmt: skip
    once = _embedded([answer for answer, _ in read], [own for _, own in read], embed)
    rows = [row for answer, own in read for row in _rows(answer, own, once)]
    return pd.DataFrame(rows, columns=COLUMNS)


def revealed(held: Transcript, turn: int, shown: str | None) -> Revealed:
    """What had come out of a persona by a turn, from the user's messages; of traits, what `shown` says, or all."""
    persona = held.persona_at(turn)
    facts, traits = persona_facts(persona.profile), traits_of(persona)
    messages = [words_of(message.content) for message in held.messages[: 2 * turn : 2]]
    words = frozenset().union(*messages)
    told = {place for message in messages for place in told_in(facts, message)}
    told |= {place for place, fact in enumerate(facts) if len(fact.words & words) >= ENOUGH * len(fact.words)}
    out = frozenset(range(len(traits))) if shown is None else noted_in(traits, shown)
    return Revealed(facts, frozenset(told), traits, out, words)


def knowledge_curves(table: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Precision and recall by policy, kind and turn; 1 is best, 0 worst.

    Returns: policy, kind, measure, turn, value, low, high, pieces (how many it is a share of). A turn without any piece
        has no row: recall where nothing was revealed, precision where nothing was named.
    """
    found = [
        (*key, *(share(own, "right", confidence) or ()), len(own))
        for key, own in table.groupby(["policy", "kind", "measure", "turn"], sort=False)
    ]
    columns = ["policy", "kind", "measure", "turn", "value", "low", "high", "pieces"]
    return pd.DataFrame(found, columns=columns).astype({"value": float, "low": float, "high": float})


def knowledge_entry(
    table: pd.DataFrame, answers: Sequence[Probed], n_turns: int, confidence: float
) -> dict[str, dict[str, Any]]:
    """By policy, its part of `metrics.json`: answers, unreadable ones, each kind's curves, means and errors.

    A curve has a value per turn, None where there is none; a mean is over all pieces of all turns. `guessed`,
    `passing` and `wrong` are shares of the items named. `traits_truth` says whether it is known which traits have
    shown.
    """
    found: dict[str, dict[str, Any]] = {}
    for policy in dict.fromkeys(answer.policy for answer in answers):
        own = [answer for answer in answers if answer.policy == policy]
        found[policy] = {
            "answers": len(own), "unreadable": sum(answer.profile is None for answer in own),
            "traits_truth": all(answer.shown is not None for answer in own),
        }  # fmt: skip
        for kind in KINDS:
            rows = table[(table["policy"] == policy) & (table["kind"] == kind)]
            found[policy][kind] = _numbers(rows, n_turns, confidence)
    return found


def infers_and_adapts(table: pd.DataFrame, al_curves: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Two curves per probed policy: the share of told facts that it names, and its alignment level.

    Args:
        table: `knowledge_table`.
        al_curves: `metrics.al_curve`.
        confidence: of the intervals.

    Returns: policy, turn, recall, recall_low, recall_high, al, al_low, al_high; a turn before any fact is told has no
        recall.
    """
    curves = knowledge_curves(table, confidence)
    recall = curves[(curves["kind"] == "facts") & (curves["measure"] == "recall")]
    recall = recall.rename(columns={"value": "recall", "low": "recall_low", "high": "recall_high"})
    level = al_curves.rename(columns={"low": "al_low", "high": "al_high"})
    level = level[level["policy"].isin(table["policy"])]
    both = level.merge(recall, how="left", on=["policy", "turn"])
    return both[["policy", "turn", "recall", "recall_low", "recall_high", "al", "al_low", "al_high"]]


def described(entries: Mapping[str, Mapping[str, Any]], policies: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A sentence per probed policy: does it infer, does it adapt?

    Args:
        entries: `knowledge_entry`.
        policies: `metrics.summarise` of each.
    """
    found = []
    for policy, entry in entries.items():
        value, limits = entry["facts"]["recall_mean"], entry["facts"]["recall_mean_ci"]
        if value is None:
            found.append(f"{policy}: nothing can be said of what it knows, as no answer could be set against a fact.")
            continue
        ends = f" [{limits[0]:.0%}, {limits[1]:.0%}]" if limits else ""
        adapts = _ADAPTS[verdict(policies[policy]["ir"], policies[policy]["ir_ci"])]
        found.append(f"{policy}, when asked, names {value:.0%}{ends} of the facts that it was told; {adapts}.")
    return found


def _rows(answer: Probed, held: Transcript, embed: Embed) -> list[tuple[Any, ...]]:
    out = revealed(held, answer.turn, answer.shown)
    where = (answer.policy, answer.case, held.persona.profile_id, answer.turn)
    rows: list[tuple[Any, ...]] = []
    said: tuple[str, ...]
    for kind, line, pool, come in (
        (KINDS[0], answer.profile, out.facts, out.told), (KINDS[1], answer.personality, out.traits, out.shown)
    ):  # fmt: skip
        said = items(line or "", kind)
        named = (facts_named if kind == "facts" else traits_named)(said, pool, embed)
        for item, places in zip(said, named, strict=True):
            outcome = "told" if places & come else "guessed" if places else (
                "passing" if kind == "facts" and borne_out(item, out.words) else "wrong")  # fmt: skip
            rows.append((*where, kind, "precision", item, outcome, outcome == "told"))
        every = frozenset().union(*named)
        rows += [(*where, kind, "recall", pool[place].text, "named" if place in every else "missed", place in every)
                 for place in sorted(come)]  # fmt: skip
    return rows


def _embedded(answers: Sequence[Probed], held: Sequence[Transcript], embed: Embed) -> Embed:
    """An embedder that has seen every text once, all in one go: the same items come again turn after turn."""
    import numpy as np

    texts: dict[str, None] = {}

    def note(batch: Sequence[str]) -> Any:
        texts.update(dict.fromkeys(batch))
        return np.zeros((len(batch), 1), dtype=np.float32)

    for answer, own in zip(answers, held, strict=True):
        _rows(answer, own, note)
    rows = dict(zip(texts, embed(list(texts)), strict=True))
    return lambda batch: np.stack([rows[text] for text in batch])


def _numbers(rows: pd.DataFrame, n_turns: int, confidence: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for measure in ("recall", "precision"):
        own = rows[rows["measure"] == measure]
        by_turn = [share(own[own["turn"] == turn], "right", confidence) for turn in range(1, n_turns + 1)]
        found[measure] = [None if at is None else at.value for at in by_turn]
        found[f"{measure}_ci"] = [_interval(at) for at in by_turn]
        mean = share(own, "right", confidence)
        found |= {f"{measure}_mean": None if mean is None else mean.value, f"{measure}_mean_ci": _interval(mean)}
    named = rows[rows["measure"] == "precision"]
    return found | {name: float((named["outcome"] == name).mean()) if len(named) else None for name in ERRORS}


def _interval(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None or estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
