"""Records: there and back, and what is refused."""

import pytest

from aloe.errors import UserError
from aloe.records import (
    DialogueTree,
    Judgement,
    Message,
    Persona,
    PreferencePair,
    Transcript,
    Turn,
    read_jsonl,
    to_json,
    write_jsonl,
)
from aloe.writing import write_text

PERSONA = Persona("train-p1-t1", "train-p1", "train-t1", "Ana, 40,\nbaker", "blunt “always”")


def turn(label="hinted", branch="plain"):
    return Turn("t1", None, "Hi", "", "", "warm", "flat", ("1", "2"), label, branch)


ONE_OF_EACH = [
    Message("user", "Grüße, \u2028 & <b>"),
    PERSONA,
    turn(),
    DialogueTree("tree-1", PERSONA, (turn(), turn("tie", "hinted"))),
    PreferencePair("pair-1", PERSONA.id, 1, (Message("user", "Hi"),), "good", "bad"),
    Transcript("case-1", "dpo", PERSONA, (Message("user", "Hi"), Message("assistant", "Hello"))),
    Judgement("dpo", "case-1", "p", "t", 1, "judge", 5),
    Judgement("dpo", "case-1", "p", "t", 1, "judge", None),
]


@pytest.mark.parametrize("record", ONE_OF_EACH, ids=lambda record: type(record).__name__)
def test_every_record_survives_the_way_through_a_file(tmp_path, record):
    path = tmp_path / "records.jsonl"
    write_jsonl(path, [record, record])
    assert read_jsonl(type(record), path) == [record, record]


def test_half_of_a_surrogate_pair_and_line_separators_survive_the_way_through_a_file(tmp_path):
    texts = ["\ud83d", "\udfff a \ud800", "\\ud83d", "a\u2028b\x85c\rd\ne\x00"]
    write_jsonl(tmp_path / "said.jsonl", [Message("user", text) for text in texts])
    assert [message.content for message in read_jsonl(Message, tmp_path / "said.jsonl")] == texts


def test_an_empty_file_has_no_records(tmp_path):
    write_jsonl(tmp_path / "none.jsonl", [])
    assert read_jsonl(Message, tmp_path / "none.jsonl") == []


def test_one_record_is_one_line_of_readable_text():
    assert to_json(Message("user", "Grüße\n")) == '{"role": "user", "content": "Grüße\\n"}'


@pytest.mark.parametrize(
    "label, preferred, rejected",
    [("hinted", "warm", "flat"), ("plain", "flat", "warm"), ("tie", None, None), ("unparseable", None, None)],
)
def test_the_label_says_which_reply_was_preferred(label, preferred, rejected):
    assert (turn(label).preferred, turn(label).rejected) == (preferred, rejected)


@pytest.mark.parametrize("branch, continued", [("hinted", "warm"), ("plain", "flat")])
def test_the_branch_says_which_reply_went_on(branch, continued):
    assert turn(branch=branch).continued == continued


@pytest.mark.parametrize(
    "line, said",
    [
        ('{"role": "user"}', "field 'content' is missing in Message"),
        ('{"role": "user", "content": "x", "name": "y"}', "unknown field 'name' in Message"),
        ('{"role": "boss", "content": "x"}', "field 'role': expected"),
        ('{"role": ["user"], "content": "x"}', "field 'role': expected"),
        ('{"role": "user", "content": 3}', "field 'content': expected str, got 3"),
        ('{"role": "user", "content": null}', "field 'content': expected str, got None"),
        ('{"role": "user", ', "not valid JSON"),
        ('{"role": "user", "content": "x"}{"role": "user", "content": "x"}', "not valid JSON"),
        ('"text"', "expected one Message object, got str"),
        ("", "the line is empty"),
    ],
)
def test_a_line_that_is_not_one_record_is_named_by_its_number(tmp_path, line, said):
    path = tmp_path / "messages.jsonl"
    path.write_text('{"role": "user", "content": "x"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_jsonl(Message, path)
    assert str(error.value).startswith(f"{path}, line 2")
    assert said in str(error.value)


@pytest.mark.parametrize("level", ["5", 5.0, True])
def test_a_level_is_a_whole_number_or_nothing(tmp_path, level):
    path = tmp_path / "judgements.jsonl"
    write_jsonl(path, [Judgement("dpo", "c", "p", "t", 1, "j", level)])
    with pytest.raises(UserError, match="field 'level'"):
        read_jsonl(Judgement, path)


def test_a_pair_of_verdicts_has_two(tmp_path):
    path = tmp_path / "turns.jsonl"
    write_text(path, to_json(turn()).replace('["1", "2"]', '["1", "2", "1"]') + "\n")
    with pytest.raises(UserError, match="field 'verdicts'"):
        read_jsonl(Turn, path)


def test_a_missing_file_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match="make all"):
        read_jsonl(Message, tmp_path / "none.jsonl")


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        read_jsonl(Message, tmp_path / "x.jsonl")
