"""The bench of the audits: when a second fact counts as seen, and the stored table is that of the stored rows."""

import importlib.util

import pandas as pd
import pytest

from aloe.params import ROOT
from aloe.records import DialogueTree, Persona, Turn

_SPEC = importlib.util.spec_from_file_location("audits", ROOT / "tests" / "bench" / "audits.py")
audits = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audits)
PARROT, DINGHY = "I keep a grey parrot.", "I sail a wooden dinghy."
PERSONA = Persona("p-t", "p", "t", "Ann is a baker. She keeps a grey parrot. She sails a wooden dinghy.", "Shy.")


def tree(*messages):
    turns = [
        Turn(f"k{k}", f"k{k - 1}" if k else None, said, "", "", "a", "b", ("", ""), "hinted", "hinted")
        for k, said in enumerate(messages)
    ]
    return DialogueTree("tree", PERSONA, tuple(turns))


@pytest.mark.parametrize("alone, more, found", [
    (PARROT, f"{PARROT} {DINGHY}", True),
    (PARROT, f"{PARROT} My grey parrot talks.", False),  # the same fact twice
    ("Well.", DINGHY, None),  # tells nothing anyway: what comes is the only fact
])  # fmt: skip
def test_a_second_fact_is_seen_if_one_more_is_told_by_a_user_who_tells_one_anyway(monkeypatch, alone, more, found):
    said = {0.0: alone, 1.0: more}
    monkeypatch.setattr(audits, "said_next", lambda user, persona, path: said[user.knobs.early_disclosure])
    assert audits.seen_seconds(0, tree("Hello.")) == ([] if found is None else [found])


def test_with_one_fact_left_there_is_no_second(monkeypatch):
    monkeypatch.setattr(audits, "said_next", lambda user, persona, path: DINGHY)
    # three facts are untold at the first turn, one at the second
    assert len(audits.seen_seconds(0, tree(f"I am a baker. {PARROT}", DINGHY))) == 1


def test_the_stored_table_is_of_the_stored_rows():
    assert audits.OUT.with_suffix(".md").read_text(encoding="utf-8") == audits.report(pd.read_csv(audits.OUT))[0]
