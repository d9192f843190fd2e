"""The published release's files, clean and messy, read and written."""

import dataclasses
import json

import pytest
from test_branching import TREE

from aloe.branching import trunk
from aloe.errors import UserError
from aloe.records import DialogueTree, Persona, Turn
from aloe.released import read_texts, read_trees, write_trees


def dialogue(profile="Ann keeps a parrot.", personality="Blunt.", chosen=("preferred", "rejected"), as_list=False):
    replies = [(f"good {k}", f"bad {k}") for k in range(len(chosen))]
    return {"profile": profile, "personality": personality, "conversations": [
        {"user": f"user {k}", "assistant": {"preferred": [p] if as_list else p, "rejected": [r] if as_list else r},
         "chosen": chosen[k], "inferred_profile": f"facts {k}", "inferred_personality": f"traits {k}"}
        for k, (p, r) in enumerate(replies)]}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write_file(text, encoding="utf-8"):
        path = tmp_path / "file.jsonl"
        path.write_bytes(text.encode(encoding))
        return path

    return write_file


@pytest.mark.parametrize("text, expected", [
    ('"Ann."\n"Bo."\n', ["Ann.", "Bo."]),
    ('"Ann." "Bo."\n"Cy."', ["Ann.", "Bo.", "Cy."]),
    ('"Ann.""Bo."\n', ["Ann.", "Bo."]),
    ('"Ann.\nShe sings."\n"Bo."\n', ["Ann.\nShe sings.", "Bo."]),
    ('"Ann.\\nShe sings."\n', ["Ann.\nShe sings."]),
    ('Ann is 40.\n"Bo."\n\nCy, 30, likes "tea".  \n', ["Ann is 40.", "Bo.", 'Cy, 30, likes "tea".']),
    ('"Al" is what friends call Albert.\n"Bo."\n', ['"Al" is what friends call Albert.', "Bo."]),
    ('"Zo\\u00eb likes \\"tea\\"."\r\n"Łukasz."\r\n', ['Zoë likes "tea".', "Łukasz."]),
    ('\ufeff"Ann."\n', ["Ann."]),
    ('"Ann is 40.", "Bo."\n"Cy.",\n"Di."', ["Ann is 40.", "Bo.", "Cy.", "Di."]),
    ('"Ann is a nurse." Bo is a cook.\n"Cy."', ["Ann is a nurse.", "Bo is a cook.", "Cy."]),
    ('"Never give up!" is what Ann says.\n', ['"Never give up!" is what Ann says.']),
    ('Ann sings. She loves "Carmen".\n', ['Ann sings. She loves "Carmen".']),
], ids=["clean", "two on a line", "two without a space", "line break within", "escaped break", "bare", "quoted word",
        "escapes", "mark", "commas", "quoted, bare", "quoted sentence", "title"])  # fmt: skip
def test_texts_are_read_in_every_form_of_the_release(write, text, expected):
    assert read_texts(write(text)) == expected


@pytest.mark.parametrize("text, message", [
    ("", "is empty"),
    (" \n\n", "is empty"),
    ('"Ann."\n"Bo is cut o', "line 2: the entry is cut off"),
    ('"Ann."\n"Bo\n"Cy."\n', "line 2: a quotation mark is missing"),
    ('"Ann."\n""\n', "line 2: expected a text"),
    ('"Ann."\n{"text": "Bo."}\n', "line 2: expected a text"),
    ('["Ann."]\n', "line 1: expected a text"),
    ('"Ann."\nBo is a cook. "Cy is 40."\n', "line 2: the quoted text at its end may be an entry of its own"),
])  # fmt: skip
def test_damaged_texts_are_refused_with_file_and_line(write, text, message):
    with pytest.raises(UserError, match=message) as error:
        read_texts(write(text))
    assert "file.jsonl" in str(error.value)


def test_a_missing_or_misencoded_file_is_refused_in_a_sentence(write, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_texts(tmp_path / "none.jsonl")
    with pytest.raises(UserError, match="not UTF-8"):
        read_trees(write('"Zoë"', "latin-1"))
    with pytest.raises(UserError, match="cannot be read"):
        read_texts(tmp_path)


def test_chosen_names_the_branch_that_continued_and_not_the_preferred_reply(write):
    [tree] = read_trees(write(json.dumps(dialogue())))
    first, second = tree.turns
    assert (first.preferred, first.rejected, first.continued) == ("good 0", "bad 0", "good 0")
    assert (second.preferred, second.rejected, second.continued) == ("good 1", "bad 1", "bad 1")
    assert (first.parent, second.parent) == (None, first.id)
    assert second.inferred_profile == "facts 1"
    assert tree.persona.profile == "Ann keeps a parrot."


def test_dialogues_are_read_in_every_form_of_the_release(write):
    one, two, three = dialogue(), dialogue(profile="Bo.", as_list=True), dialogue(personality="Kind.")
    raw_break = json.dumps(three).replace("user 1", "user\n1")
    trees = read_trees(write(f"{json.dumps(one)}{json.dumps(two)}\n{raw_break}\n{json.dumps(json.dumps(one))}\n"))
    assert [tree.id for tree in trees] == [f"tree-released-000{k}" for k in (1, 2, 3, 4)]
    assert [tree.persona.id for tree in trees] == [
        "released-p001-t001", "released-p002-t001", "released-p001-t002", "released-p001-t001"]  # fmt: skip
    assert trees[1].turns[0].preferred == "good 0"
    assert trees[2].turns[1].user == "user\n1"
    assert trees[3].turns[0].user == trees[0].turns[0].user


def change(path, value):
    data = dialogue()
    *keys, last = path
    target = data
    for key in keys:
        target = target[key]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return data


@pytest.mark.parametrize("data, message", [
    (change(["profile"], None), "no field 'profile'"),
    (change(["extra"], 1), "unknown field 'extra'"),
    (change(["profile"], 3), "'profile' has the wrong type, got 3"),
    (change(["conversations"], []), "no turn"),
    (change(["conversations", 1, "chosen"], "first"), "turn 2: 'chosen' must be preferred or rejected, got 'first'"),
    (change(["conversations", 1, "user"], None), "turn 2: no field 'user'"),
    (change(["conversations", 0, "assistant", "preferred"], ["a", "b"]), "turn 1: a reply must be one text"),
    (change(["conversations", 0], "hello"), "turn 1: expected an object"),
    ("just a text", "expected a dialogue"),
    ([1], "expected an object"),
])  # fmt: skip
def test_dialogues_outside_the_schema_are_refused_with_file_line_and_turn(write, data, message):
    with pytest.raises(UserError, match=message) as error:
        read_trees(write(json.dumps(dialogue()) + "\n" + json.dumps(data) + "\n"))
    assert "file.jsonl, line 2" in str(error.value)


def test_a_file_cut_in_the_middle_is_refused(write):
    text = json.dumps(dialogue()) + "\n" + json.dumps(dialogue())
    with pytest.raises(UserError, match="line 2: the entry is cut off"):
        read_trees(write(text[:-40]))


def test_what_was_read_is_written_and_read_again_exactly(write, tmp_path):
    data = [dialogue(), dialogue(profile='Zoë\nlikes "tea".', chosen=("rejected",)), dialogue(personality="Kind.")]
    source = write("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in data))
    trees = read_trees(source)
    write_trees(trees, tmp_path / "again.jsonl")
    assert read_trees(tmp_path / "again.jsonl") == trees
    assert (tmp_path / "again.jsonl").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("text", ["a\u2028b", "a\rb\r\n", "\x00\x85", "\ud83d", "\ufeff", " ", ""])
def test_any_text_that_json_can_hold_is_written_and_read_again_exactly(write, tmp_path, text):
    data = dialogue(profile=f"Ann. {text}")
    data["conversations"][0] |= {"user": text, "assistant": {"preferred": text, "rejected": "other"}}
    trees = read_trees(write(json.dumps(data)))
    write_trees(trees, tmp_path / "again.jsonl")
    assert read_trees(tmp_path / "again.jsonl") == trees
    assert trees[0].turns[0].user == text


def own_tree(labels, branches):
    persona = Persona("train-p001-t002", "train-p001", "train-t002", "Ann keeps a parrot.", "Blunt.")
    turns = [
        Turn(f"k{k}", f"k{k - 1}" if k else None, f"user {k}", "f", "t", f"hinted {k}", f"plain {k}", ("1", "2"), *what)
        for k, what in enumerate(zip(labels, branches, strict=True))
    ]
    return DialogueTree("tree-train-p001-t002", persona, tuple(turns))


def test_our_own_dialogues_hold_more_and_are_refused_unless_it_may_be_dropped(tmp_path):
    tree, path = own_tree(["plain", "hinted"], ["plain", "plain"]), tmp_path / "ours.jsonl"
    with pytest.raises(UserError, match="the id 'train-p001-t002' of train-p001-t002 has no place"):
        write_trees([tree], path)
    assert not path.exists()
    write_trees([tree], path, drop_extra=True)
    [data] = [json.loads(line) for line in path.read_text().splitlines()]
    assert [turn["assistant"]["preferred"] for turn in data["conversations"]] == ["plain 0", "hinted 1"]
    assert [turn["chosen"] for turn in data["conversations"]] == ["preferred", "rejected"]
    [back] = read_trees(path)
    assert [turn.continued for turn in back.turns] == [turn.continued for turn in tree.turns]


def test_even_only_verdicts_are_too_much_for_the_format(write, tmp_path):
    [tree] = read_trees(write(json.dumps(dialogue())))
    judged = dataclasses.replace(tree.turns[1], verdicts=("Preferred: 1", "Preferred: 2"))
    with pytest.raises(UserError, match=f"verdicts .* of {judged.id}"):
        write_trees([dataclasses.replace(tree, turns=(tree.turns[0], judged))], tmp_path / "out.jsonl")


def test_a_dialogue_ends_before_its_first_turn_without_a_preference(tmp_path):
    trees = [own_tree(["hinted", "tie", "plain"], ["hinted"] * 3), own_tree(["unparseable"], ["plain"])]
    path = tmp_path / "out.jsonl"
    with pytest.raises(UserError, match="turn k1 has no preferred reply"):
        write_trees(trees, path)
    write_trees(trees, path, drop_extra=True)
    assert [len(tree.turns) for tree in read_trees(path)] == [1]
    with pytest.raises(UserError, match="no dialogue to write"):
        write_trees(trees[1:], path, drop_extra=True)
    assert [len(tree.turns) for tree in read_trees(path)] == [1]  # what was there is kept


def test_a_tree_that_branches_is_refused_even_when_extras_may_be_dropped(tmp_path):
    tree = own_tree(["hinted"] * 3, ["hinted"] * 3)
    branched = dataclasses.replace(tree, turns=(*tree.turns[:2], dataclasses.replace(tree.turns[2], parent="k0")))
    with pytest.raises(UserError, match="turn k2 follows k0, not k1"):
        write_trees([branched], tmp_path / "out.jsonl", drop_extra=True)


def test_of_a_tree_that_goes_on_with_both_replies_one_path_can_be_written(tmp_path):
    # a (hinted preferred) goes on with its plain reply to b and with its hinted one to d; b with its hinted one to c
    with pytest.raises(UserError, match="turn d follows a, not c"):
        write_trees([TREE], tmp_path / "out.jsonl", drop_extra=True)
    write_trees([trunk(TREE)], tmp_path / "trunk.jsonl", drop_extra=True)
    aside = dataclasses.replace(TREE, turns=tuple(turn for turn in TREE.turns if turn.id in "ade"))
    write_trees([aside], tmp_path / "aside.jsonl", drop_extra=True)
    chosen = [[turn["chosen"] for turn in json.loads((tmp_path / f"{name}.jsonl").read_text())["conversations"]]
              for name in ("trunk", "aside")]  # fmt: skip
    assert chosen == [["rejected", "rejected"], ["preferred", "rejected", "preferred"]]
