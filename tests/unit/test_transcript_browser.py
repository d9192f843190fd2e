"""The transcripts browser's data: who told what when, the scores beside each reply, and nothing that ends a script."""

import json
import re

import pandas as pd

from aloe.records import Message, Persona, PersonaShift, Transcript
from aloe.transcript_browser import browser_files, conversation_turns, pieces, script_json

ANN = Persona("c1", "p1", "t1", "Ann is 40. She keeps a grey parrot. She bakes rye bread.", "Blunt.")
SAID = ("I bake rye bread.", "Nice.", "My grey parrot likes rye bread.", "Ha!")
MESSAGES = tuple(Message(role, text) for role, text in zip(("user", "assistant") * 2, SAID, strict=True))
HELD = [Transcript(f"{policy}-c1", policy, ANN, MESSAGES) for policy in ("base", "dpo")]


def read(files):
    data = json.loads(re.fullmatch(r"var aloeTranscripts = (.*);\n", files["index.js"])[1])
    return data, [json.loads(files[f"{i}.js"].partition(" = ")[2].strip()[:-1]) for i in range(len(data["policies"]))]


def frame(**columns):
    rows = {"policy": "base", "case": "c1", "profile_id": "p1", "personality_id": "t1", "turn": [1, 2], "judge": "j"}
    return pd.DataFrame({**rows, **columns})


def test_a_fact_is_told_once_and_its_place_is_that_in_the_profile():
    _, dialogues = read(browser_files(HELD, frame(level=[2, 4])))
    # facts by words: 0 parrot, 1 bread ("Ann is 40." tells nothing); bread is told at turn 1, the parrot at turn 2
    assert [turn[2] for turn in dialogues[0][0]] == [[1], [0]]
    assert pieces(ANN.profile) == [("Ann is 40.", None), ("She keeps a grey parrot.", 0), ("She bakes rye bread.", 1)]


def test_where_the_user_becomes_somebody_else_facts_are_those_of_the_new_person():
    bob = Persona("c2", "p2", "t2", "Bob builds wooden boats. He bakes rye bread.", "Shy.")
    said = ("I bake rye bread.", "Nice.", "My rye bread sinks, and so do my wooden boats that I build.", "Ha!")
    messages = tuple(Message(role, text) for role, text in zip(("user", "assistant") * 2, said, strict=True))
    held = Transcript("base-c1", "base", ANN, messages, PersonaShift(2, bob))
    data, [[[first, second]]] = read(browser_files([held], frame(level=[2, 4])))
    assert [profile["id"] for profile in data["profiles"]] == ["p1", "p2"]
    assert data["cases"][0][:5] == [0, 0, "c1", 0, 0]
    assert data["cases"][0][6] == [2, 1, 1]  # from turn 2 on the second profile and the second personality
    assert first[2] == [1]  # Ann's second fact that words can tell
    assert second[2] == [0, 1]  # both of Bob's, bread too, although Ann had told of hers


def test_the_page_begins_with_a_conversation_of_the_trained_policy():
    data, _ = read(browser_files(HELD, frame(level=[2, 4])))
    assert data["policies"][data["cases"][data["first"]][0]] == "dpo"
    alone, _ = read(browser_files([held for held in HELD if held.policy == "base"], frame(level=[2, 4])))
    assert alone["first"] == 0


def test_scores_stand_beside_their_reply_and_further_columns_of_numbers_beside_the_level():
    given = frame(level=[2, None], level_shuffled=[1, 5], reason=["x", "y"])
    data, dialogues = read(browser_files(HELD, given))
    assert data["scores"] == [["level", "level"], ["level_shuffled", "for a stranger"]]
    assert [turn[3] for turn in dialogues[0][0]] == [[[0, 2, 1]], [[0, None, 5]]]
    assert [turn[3] for turn in dialogues[1][0]] == [[], []]  # dpo was not scored
    assert [case[5] for case in data["cases"]] == [[2, None], [None, None]]


def test_a_case_has_the_mean_of_its_judges():
    both = pd.concat([frame(level=[2, 4]), frame(level=[3, 4], judge="k")])
    data, dialogues = read(browser_files(HELD, both))
    assert data["judges"] == ["j", "k"]
    assert data["cases"][0][5] == [2.5, 4]
    assert dialogues[0][0][0][3] == [[0, 2], [1, 3]]


def test_a_message_of_the_system_is_no_turn_and_a_missing_reply_is_empty():
    held = Transcript("x", "told", ANN, (Message("system", "Be kind."), *MESSAGES[:3]))
    assert conversation_turns(held) == [("I bake rye bread.", "Nice."), ("My grey parrot likes rye bread.", "")]


def test_data_in_a_script_cannot_end_it_and_read_back_are_the_same():
    text = "</script><!-- & \u2028 \ud800 é"
    written = script_json([text])
    assert not set("<>&\u2028") & set(written)
    assert json.loads(written) == [text]
    written.encode("utf-8")  # a lone surrogate does not end the report
