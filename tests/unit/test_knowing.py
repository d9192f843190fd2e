"""Which facts and traits a text names: the rule beside answers that were marked by hand, and its single steps.

How the marks were made: a fact is *named* by an item that alone tells the main thing that the fact is about (the work,
the hobby, the animal, the illness, what a relative does), in whatever words; where, when and how many may lack. A
relative, a place or a part of the body that merely occurs in the fact names nothing. A fact is *told* from the message
on that tells its main thing. Items that name none are `passing` if a message says so, else `wrong`. The thresholds
were set on the part "tuning"; "kept aside" has other profiles, personalities and dialogues, but is not wholly
unseen: that bare mentions need a threshold of their own (not its value) was noticed on it, and one author wrote the
marks, the answers in other words and the families of traits. "fresh" was marked when the rule was done: the
sandbox's answers on six profiles that are in neither.
"""

import doctest
import json
from pathlib import Path

import numpy as np
import pytest

from aloe import knowing
from aloe.embedding import embed
from aloe.knowing import borne_out, facts_named, items, persona_facts, traits_named
from aloe.knowledge import Probed, knowledge_table, revealed
from aloe.records import Message, Persona, Transcript
from aloe.sandbox import world
from aloe.sandbox.facts import read_profile
from aloe.sandbox.user import is_revealed, traits_shown
from aloe.simulator_audit import traits_of
from aloe.telling import words_of

MARKS = Path(__file__).parents[1] / "data" / "probe_marks.jsonl"
LINES = {"facts": "profile", "traits": "personality"}


def read_marks(part=None):
    lines = [json.loads(line) for line in MARKS.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if part in (None, line["part"])]


def held(line):
    """A marked dialogue as a transcript; the policy's own messages play no part."""
    persona = Persona(line["id"], line["id"], "t", line["profile"], line["personality"])
    talk = [m for text in line["user"] for m in (Message("user", text), Message("assistant", "I see."))]
    return Transcript(line["id"], "p", persona, tuple(talk))


def shown(line, turn):
    """The traits that had shown by a turn, in words of the persona."""
    traits = traits_of(held(line).persona)
    return " ".join(f"{t.text}." for t, at in zip(traits, line["shown"], strict=True) if at and at <= turn) or "nothing"


def by_hand(lines, kind, source):
    """Precision and recall as marked: right of named items, and named of revealed facts or traits."""
    named = right = out = found = 0
    for line in lines:
        come = line["told" if kind == "facts" else "shown"]
        for answer in line["answers"]:
            if source in (None, answer["source"]):
                marks = [set(mark) if isinstance(mark, list) else set() for _, mark in answer[LINES[kind]]]
                told = {place for place, turn in enumerate(come) if turn and turn <= answer["turn"]}
                named, right = named + len(marks), right + sum(bool(mark & told) for mark in marks)
                out, found = out + len(told), found + len(set().union(*marks) & told)
    return right / named, found / out


def by_rule(lines, kind, source):
    """The same from `knowledge_table`, which sees the messages, the persona and the answer's text alone."""
    answers = []
    for line in lines:
        for number, answer in enumerate(line["answers"]):
            if source in (None, answer["source"]):
                texts = [" ".join(text for text, _ in answer[key]) or "nothing yet" for key in LINES.values()]
                own = held(line)
                case = f"{line['id']}-{number}"  # two answers to one turn are two cases
                persona = Persona(case, *(getattr(own.persona, name) for name in
                                          ("profile_id", "personality_id", "profile", "personality")))  # fmt: skip
                answers.append((Transcript(case, "p", persona, own.messages),
                                Probed("p", case, answer["turn"], *texts, shown(line, answer["turn"]))))  # fmt: skip
    table = knowledge_table([own for own, _ in answers], [answer for _, answer in answers], embed)
    rows = table[table["kind"] == kind].groupby("measure")["right"].mean()
    return rows["precision"], rows["recall"]


def test_docstring_examples_are_true():
    assert doctest.testmod(knowing, extraglobs={"words_of": words_of}).failed == 0


def test_marks_are_many_of_many_dialogues_and_the_parts_share_no_persona():
    parts = {name: read_marks(name) for name in ("tuning", "kept aside")}
    fresh = read_marks("fresh")
    assert len(read_marks()) == sum(map(len, parts.values())) + len(fresh) >= 12
    assert not {line["profile"] for line in fresh} & {line["profile"] for own in parts.values() for line in own}
    for key in ("profile", "personality"):
        assert not {line[key] for line in parts["tuning"]} & {line[key] for line in parts["kept aside"]}
    marks = [mark for line in parts["kept aside"] for answer in line["answers"] for key in LINES.values()
             for _, mark in answer[key]]  # fmt: skip
    assert len(marks) >= 200
    assert {"passing", "wrong"} <= {mark for mark in marks if isinstance(mark, str)}
    for line in read_marks():
        assert len(line["told"]) == len(persona_facts(line["profile"]))
        assert len(line["shown"]) == len(traits_of(held(line).persona))


@pytest.mark.parametrize("kind", ["facts", "traits"])
@pytest.mark.parametrize("source", [None, "sandbox"], ids=["all answers", "the sandbox's answers"])
def test_precision_and_recall_agree_with_the_marks_that_were_kept_aside_to_a_twentieth(kind, source):
    lines = read_marks("kept aside")
    assert by_rule(lines, kind, source) == pytest.approx(by_hand(lines, kind, source), abs=0.05)


@pytest.mark.parametrize("kind", ["facts", "traits"])
def test_precision_and_recall_agree_with_marks_made_after_the_rule_to_a_twentieth(kind):
    lines = read_marks("fresh")
    assert by_rule(lines, kind, None) == pytest.approx(by_hand(lines, kind, None), abs=0.05)


def test_what_was_told_agrees_with_the_sandboxs_truth_and_what_has_shown_is_that_truth():
    """`is_revealed` is what the sandbox's user goes by; in a few facts it takes a word in passing for the fact."""
    differ = facts = 0
    for line in read_marks():
        sandbox = read_profile(line["profile"])[1]
        own = held(line)
        for turn in range(1, 11):
            mine = line["user"][:turn]
            out = {place for place, fact in enumerate(sandbox) if is_revealed(fact, mine)}
            told = revealed(own, turn, None).told
            differ, facts = differ + len(out ^ told), facts + len(sandbox)
            names = traits_shown(mine)
            phrases = world.read_personality(line["personality"])
            assert [name in names for _, name in phrases] == [bool(at) and at <= turn for at in line["shown"]]
    assert differ <= 0.05 * facts


def nowhere(texts):
    """An embedder to which no two texts are alike."""
    return np.eye(999, dtype=np.float32)[[hash(text) % 999 for text in texts]] * 0


def test_facts_are_named_by_words_and_a_sentence_may_name_two():
    facts = persona_facts("Ann is a 40-year-old baker from Rome. She keeps a grey parrot. She sings in a choir.")
    said = ["They keep a grey parrot and sing in a choir.", "They work as a baker.", "They come from Rome."]
    assert facts_named(said, facts, nowhere) == [{1, 2}, {0}, set()]
    assert facts_named([], facts, nowhere) == []
    assert facts_named(["x"], (), nowhere) == [set()]


def test_a_fact_in_other_words_is_named_by_meaning_and_a_relative_alone_names_none():
    facts = persona_facts("Ann is a baker. She shares a bunk bed with her brother. She is lactose intolerant.")
    said = ["Cannot drink milk.", "They mention their brother.", "Owns a submarine."]
    assert facts_named(said, facts, embed) == [{2}, set(), set()]


def test_a_trait_is_named_by_a_word_of_its_family_and_never_by_its_opposite():
    traits = traits_of(Persona("c", "p", "t", "", "Laconic, using one word. Guarded, shrugging. Patient, waiting."))
    said = ["Reserved.", "Impatient.", "Not patient.", "Calm.", "Taciturn and calm."]
    assert traits_named(said, traits, nowhere) == [{0, 1}, set(), set(), {2}, {0, 1, 2}]


@pytest.mark.parametrize(
    ("line", "kind", "found"),
    [
        ("nothing yet", "facts", ()),
        ("Nothing.", "traits", ()),
        ("", "facts", ()),
        ("Blunt. Curious.", "traits", ("Blunt.", "Curious.")),
        ("Blunt, to the point. Curious.", "traits", ("Blunt, to the point.", "Curious.")),
        ("blunt; curious", "traits", ("blunt;", "curious")),
        ("They bake, sing and sew", "facts", ("They bake, sing and sew",)),
    ],
)
def test_an_answer_is_taken_apart_at_full_stops(line, kind, found):
    assert items(line, kind) == found


def test_what_the_user_said_in_passing_is_borne_out_by_their_words():
    said = words_of("My sister came by in the rain.")
    assert borne_out("Their sister came by.", said)
    assert not borne_out("They own a boat.", said)
    assert not borne_out("They.", said)  # nothing is said
