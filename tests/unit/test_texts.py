import json
import re
from pathlib import Path

import pytest

from aloe.errors import UserError
from aloe.params import ROOT
from aloe.texts import Text, json_strings, load_novel, load_texts, load_wants, text_problem

DATA = ROOT / "aloe" / "data"
GOOD = [{"id": f"seed-p{i}", "text": f"Person {i} bakes bread."} for i in range(6)]


def write(folder: Path, *lines) -> Path:
    path = folder / "seeds.jsonl"
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return path


def test_texts_come_in_file_order(tmp_path):
    assert load_texts(write(tmp_path, *GOOD))[1] == Text("seed-p1", "Person 1 bakes bread.")
    assert len(load_texts(write(tmp_path, *GOOD))) == 6


@pytest.mark.parametrize(
    "line, said",
    [
        ('{"id": "a", "text": "Ana', "line 3: not valid JSON"),
        ('"Ana is a nurse."', "line 3: str instead of an object"),
        ({"id": "a"}, "line 3: field 'text' must be a string"),
        ({"id": 7, "text": "Ana."}, "line 3: field 'id' must be a string, got 7"),
        ({"id": "a", "text": "Ana.", "age": "7"}, "line 3: unknown field 'age'"),
        ({"id": "a", "text": "  "}, "line 3: empty text"),
        ({"id": "a", "text": "Ana.\nShe"}, "line 3: control character or line break"),
        ({"id": "a", "text": "Ana \u0007"}, "line 3: control character"),
        ('{"id": "a", "text": "Ana \\ud83d"}', "line 3: control character"),
        ({"id": "a", "text": "x" * 10_001}, "line 3: text over 10,000 characters"),
        ({"id": "seed-p1", "text": "Another."}, "line 3: the same id as in line 2"),
        ({"id": "a", "text": "person 1  bakes BREAD."}, "line 3: the same text as in line 2"),
        ("", "line 3: the line is empty"),
    ],
)
def test_a_line_that_is_not_one_text_is_refused_with_its_number(tmp_path, line, said):
    path = write(tmp_path, *GOOD[:2], line, *GOOD[2:])
    with pytest.raises(UserError, match=said) as error:
        load_texts(path)
    assert str(path) in str(error.value)


def test_a_missing_file_an_empty_one_and_too_few_texts_are_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        load_texts(tmp_path / "nothing.jsonl")
    with pytest.raises(UserError, match="0 texts, but at least 5"):
        load_texts(write(tmp_path))
    with pytest.raises(UserError, match="4 texts, but at least 5"):
        load_texts(write(tmp_path, *GOOD[:4]))


def test_other_encodings_are_refused_and_a_byte_order_mark_is_not(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_bytes(json.dumps({"id": "a", "text": "Zoë."}, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8"):
        load_texts(path, 1)
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"id": "a", "text": "Zoë."}).encode())
    assert load_texts(path, 1) == [Text("a", "Zoë.")]


def test_novel_parts_come_by_id_and_must_be_part_of_their_text(tmp_path):
    assert load_novel(write(tmp_path, {"id": "a", "text": "Laconic, blunt.", "novel": ["laconic"]})) == {
        "a": ("laconic",)
    }
    with pytest.raises(UserError, match="line 1: 'brash' of `novel` does not occur"):
        load_novel(write(tmp_path, {"id": "a", "text": "Laconic.", "novel": ["brash"]}))
    with pytest.raises(UserError, match="line 1: `novel` must be a list"):
        load_novel(write(tmp_path, {"id": "a", "text": "Laconic."}))


def test_ten_thousand_characters_are_the_most_that_pass():
    assert text_problem("x" * 10_000) is None
    assert text_problem("") == "empty text"


@pytest.mark.parametrize(
    "reply, texts",
    [
        ('["a", "b"]', ["a", "b"]),
        ('```json\n["a"]\n```', ["a"]),
        ('["a\\n b", ""]', ["a b", ""]),  # an empty one is refused later, with its reason
        ('Here you are: ["a"]', None),
        ('["a", 1]', None),
        ('{"profiles": ["a"]}', None),
        ("[]", None),
        ('["a", "b"', None),
        ("[" * 5000, None),
    ],
)
def test_only_an_array_of_strings_is_a_list_of_texts(reply, texts):
    assert json_strings(reply) == texts


@pytest.mark.parametrize("name, n", [("seed_profiles", 20), ("benchmark_profiles", 20), ("seed_personalities", 20),
                                     ("benchmark_personalities", 5)])  # fmt: skip
def test_the_shipped_texts_load(name, n):
    assert len(load_texts(DATA / f"{name}.jsonl")) == n


@pytest.mark.parametrize("name", ["benchmark_profiles", "benchmark_personalities"])
def test_a_fifth_of_the_shipped_benchmark_is_marked_as_novel(name):
    texts, novel = load_texts(DATA / f"{name}.jsonl"), load_novel(DATA / f"{name}.jsonl")
    facts = sum(text.text.count(".") for text in texts)
    assert sum(map(len, novel.values())) >= facts / 5


def test_what_a_user_wants_much_and_little_of_is_read_by_dimension(tmp_path):
    wants = {"much": ["play"], "little": ["length"]}
    path = write(tmp_path, {"id": "t1", "text": "Droll.", "wants": wants}, {"id": "t2", "text": "Shy."})
    assert load_wants(path, ("length", "play")) == {"t1": {"play": True, "length": False}}
    assert len(load_texts(path, 1)) == 2


@pytest.mark.parametrize("wants, said", [
    (["play"], "line 1: `wants` must be"),
    ({"much": ["play"]}, "line 1: `wants` must be"),
    ({"much": ["play"], "little": ["size"]}, "with words out of length, play"),
    ({"much": ["play"], "little": ["play"]}, "line 1: 'play' of `wants` stands on both sides"),
])  # fmt: skip
def test_wishes_of_another_form_are_refused_in_a_sentence(tmp_path, wants, said):
    with pytest.raises(UserError, match=re.escape(said)):
        load_wants(write(tmp_path, {"id": "t1", "text": "Droll.", "wants": wants}), ("length", "play"))
