"""How often the audits' rules are wrong: marked messages in, shares with intervals out, and what to correct by.

In: the hand-marked messages of `data/marked_messages.jsonl`, written for this project in many people's words, and what
the same rules got wrong in the sandbox's world (`data/rule_errors.yaml`, measured by `tests/bench/audits.py` on seeds
that its calibration does not use). Out: a table, and the `RuleErrors` that `audit_model` takes out. Simulated users
repeat their facts nearly word for word, people do not: each kind of run is corrected by its own. This module knows no
run.
"""

import dataclasses
from pathlib import Path

import pandas as pd
import yaml

from aloe.audit_model import RuleErrors
from aloe.intervals import share_estimate
from aloe.records import read_jsonl
from aloe.simulator_audit import ASSISTANT, contradicts
from aloe.telling import facts_of, told_in, words_of

DATA = Path(__file__).parent / "data"


@dataclasses.dataclass(frozen=True)
class Marked:
    """A message as a person marked it. `told`: does it tell the fact (None: not asked); the others are plain yes or
    no."""

    fact: str | None
    message: str
    told: bool | None
    contradicts: bool
    assistant: bool


def read_marked(path: Path = DATA / "marked_messages.jsonl") -> list[Marked]:
    """The marked messages, in order.

    Raises:
        UserError: the file is missing, or a line is not of this form.
    """
    return read_jsonl(Marked, path)


def rule_table(marked: list[Marked], confidence: float) -> pd.DataFrame:
    """What the rules find of what people marked, and what they leave alone of the rest.

    Returns: rule (told, contradicts, assistant), share (found: marked and found; left: not marked and not found),
        value, low, high (Wilson's interval), n.
    """
    read: dict[str, list[tuple[bool, bool]]] = {"told": [], "contradicts": [], "assistant": []}
    for row in marked:
        if row.fact is not None:
            if row.told is not None:
                facts = facts_of(row.fact)
                read["told"].append((row.told, bool(told_in(facts, words_of(row.message)))))
            read["contradicts"].append((row.contradicts, contradicts(row.fact, row.message)))
        else:
            read["assistant"].append((row.assistant, bool(ASSISTANT.search(row.message))))
    rows = []
    for rule, pairs in read.items():
        for name, wanted in (("found", True), ("left", False)):
            right = [found == wanted for is_so, found in pairs if is_so == wanted]
            rows.append((rule, name, *share_estimate(sum(right) / len(right), len(right), confidence), len(right)))
    return pd.DataFrame(rows, columns=["rule", "share", "value", "low", "high", "n"])


def errors_in(simulated: bool, confidence: float = 0.95) -> RuleErrors:
    """What the rule of `telling` gets wrong in simulated dialogues, or among people's words."""
    if simulated:
        return RuleErrors(**yaml.safe_load((DATA / "rule_errors.yaml").read_text(encoding="utf-8")))
    told = rule_table(read_marked(), confidence).set_index(["rule", "share"])["value"]
    found, left = float(told["told", "found"]), float(told["told", "left"])
    return RuleErrors(found, left, found)
