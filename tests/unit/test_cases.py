"""Who takes part in the benchmark: sentences, slots, the release; and whom they become."""

import dataclasses
import json

import pytest

from aloe.cases import as_text, benchmark_texts, join_all, named_texts, novel_parts, successors
from aloe.errors import UserError
from aloe.novelty import stems
from aloe.params import ROOT, ReleasedPool, load_params
from aloe.records import Persona
from aloe.runs import Run
from aloe.sandbox.facts import read_profile
from aloe.texts import Text, load_texts

SLOTS = "aloe/data/benchmark_slots.jsonl"
ANA = {"id": "bench-p1", "owner": "her", "slots": {"name": "Ana", "age": "30", "pet": "a cat"}, "novel": ["pet"]}
BEN = {"id": "bench-p2", "owner": "their", "slots": {"name": "Ben", "home": "a boat"}, "novel": []}


def settings(**changes):
    params = load_params("sandbox")
    return dataclasses.replace(params, benchmark=dataclasses.replace(params.benchmark, **changes))


def lines(path, *records) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def test_cases_are_every_profile_with_every_personality():
    profiles = [Text("bench-p01", "Ana."), Text("bench-p02", "Ben.")]
    personalities = [Text("bench-t1", "Blunt."), Text("bench-t2", "Kind.")]
    assert [case.id for case in join_all(profiles, personalities)] == [
        "bench-p01-t1", "bench-p01-t2", "bench-p02-t1", "bench-p02-t2",
    ]  # fmt: skip
    assert join_all(profiles, personalities)[1] == Persona("bench-p01-t2", "bench-p01", "bench-t2", "Ana.", "Kind.")
    with pytest.raises(UserError, match="'p01' needs an id that begins with 'bench-'"):
        join_all([Text("p01", "Ana.")], personalities)


def test_after_a_shift_everybody_is_somebody_else_and_everybody_is_still_there():
    personas = join_all(
        [Text(f"bench-p{i}", f"Profile {i}.") for i in (1, 2, 3)], [Text(f"bench-t{i}", f"Trait {i}.") for i in (1, 2)]
    )
    after = successors(personas)
    # p1 -> p2 -> p3 -> p1 and t1 -> t2 -> t1, side by side
    assert [p.id for p in after] == [f"bench-{name}" for name in ("p2-t2", "p2-t1", "p3-t2", "p3-t1", "p1-t2", "p1-t1")]
    assert after[0] == Persona("bench-p2-t2", "bench-p2", "bench-t2", "Profile 2.", "Trait 2.")
    assert sorted(p.id for p in after) == sorted(p.id for p in personas)
    assert all(a.profile_id != b.profile_id and a.personality_id != b.personality_id
               for a, b in zip(personas, after, strict=True))  # fmt: skip


def test_a_single_personality_is_kept_while_the_profile_changes():
    personas = join_all([Text("bench-p1", "One."), Text("bench-p2", "Two.")], [Text("bench-t1", "Blunt.")])
    assert [p.id for p in successors(personas)] == ["bench-p2-t1", "bench-p1-t1"]


def test_slots_become_one_sentence_each_and_say_which_are_new(tmp_path):
    params = settings(slots=lines(tmp_path / "slots.jsonl", ANA, BEN), n_profiles=2, n_personalities=1)
    profiles, personalities = named_texts(params)
    assert profiles == [
        Text("bench-p1", "Her name is Ana. Her age is 30. Her pet is a cat."),
        Text("bench-p2", "Their name is Ben. Their home is a boat."),
    ]
    assert [text.id for text in personalities] == ["bench-t1"]
    assert novel_parts(params)["bench-p1"] == ("Her pet is a cat.",)
    assert novel_parts(params)["bench-p2"] == ()
    assert "laconic" in novel_parts(params)["bench-t1"]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({**ANA, "owner": "its"}, "line 2: not a profile in slots"),
        ({**ANA, "slots": {}}, "line 2: not a profile in slots"),
        ({**ANA, "slots": {"age": 30}, "novel": []}, "line 2: not a profile in slots"),
        ({**ANA, "novel": ["boat"]}, "line 2: not a profile in slots"),
        ({**ANA, "extra": 1}, "line 2: not a profile in slots"),
        (BEN, "line 2: the same id as before"),
        ({**ANA, "slots": {"pet": "a\ncat"}}, "line 2: control character"),
    ],
    ids=["owner", "no slot", "a number", "novel", "unknown", "twice", "line break"],
)
def test_a_line_that_is_no_profile_in_slots_is_refused_with_its_number(tmp_path, record, said):
    with pytest.raises(UserError, match=said):
        named_texts(settings(slots=lines(tmp_path / "slots.jsonl", BEN, record), n_profiles=2))


def test_too_few_slots_or_none_are_refused(tmp_path):
    with pytest.raises(UserError, match="2 profiles, but at least 3 are needed"):
        named_texts(settings(slots=lines(tmp_path / "slots.jsonl", ANA, BEN), n_profiles=3))
    with pytest.raises(UserError, match="does not exist"):
        named_texts(settings(slots=str(tmp_path / "none.jsonl")))


def test_the_sandbox_reads_every_slot_of_the_shipped_file_as_a_fact_to_talk_about():
    profiles, _ = named_texts(settings(slots=SLOTS))
    records = [json.loads(line) for line in (ROOT / SLOTS).read_text(encoding="utf-8").splitlines()]
    for text, record in zip(profiles, records, strict=True):
        name, facts = read_profile(text.text)
        assert name == record["slots"]["name"]
        said = [f"my {label} is {value}" for label, value in record["slots"].items() if label != "name"]
        assert [fact.clause for fact in facts] == said
        assert all(fact.topic for fact in facts)


def test_the_shipped_slots_are_the_same_people_as_the_benchmark_profiles_word_for_word_nearly():
    sentences = load_texts(ROOT / load_params("sandbox").personas.benchmark_profiles, 20)
    slots, _ = named_texts(settings(slots=SLOTS))
    novel = novel_parts(settings(slots=SLOTS))
    shares = []
    for one, other in zip(sentences, slots, strict=True):
        assert one.id == other.id
        assert len(novel[one.id]) == len(novel_parts(load_params("sandbox"))[one.id])
        shares.append(len(stems(one.text) & stems(other.text)) / len(stems(one.text)))
    assert min(shares) > 0.5  # verbs go ("keeps", "plays"), nouns stay; with another person's slots it is under 0.2
    strangers = [
        len(stems(a.text) & stems(b.text)) / len(stems(a.text)) for a in sentences for b in slots if a.id != b.id
    ]
    assert max(strangers) < 0.5


def test_a_slot_is_a_plain_sentence():
    assert as_text("his", {"older brother": "a cook"}) == "His older brother is a cook."


def released(tmp_path, **changes):
    (tmp_path / "p.jsonl").write_text('"Ana is a\\n nurse." "Ben is a cook."\nCy sails.\n', encoding="utf-8")
    (tmp_path / "t.jsonl").write_text('"Blunt."\n"Kind."\n', encoding="utf-8")
    pool = ReleasedPool(str(tmp_path / "p.jsonl"), str(tmp_path / "t.jsonl"))
    return settings(**{"from_released": pool, "n_profiles": 3, "n_personalities": 2} | changes)


def test_texts_of_the_release_take_part_under_ids_that_no_shipped_text_has(tmp_path):
    profiles, personalities = named_texts(released(tmp_path))
    assert profiles == [
        Text("bench-p001", "Ana is a nurse."), Text("bench-p002", "Ben is a cook."), Text("bench-p003", "Cy sails."),
    ]  # fmt: skip
    assert personalities == [Text("bench-t01", "Blunt."), Text("bench-t02", "Kind.")]
    assert len(join_all(profiles, personalities)) == 6
    shipped = {text.id for texts in named_texts(load_params("sandbox")) for text in texts}
    assert not shipped & {text.id for text in (*profiles, *personalities)}
    assert set(novel_parts(released(tmp_path)).values()) == {()}


def test_the_first_texts_of_the_release_are_taken_and_too_few_are_refused(tmp_path):
    assert len(named_texts(released(tmp_path, n_personalities=1))[1]) == 1
    with pytest.raises(UserError, match=r"p\.jsonl: 3 texts, but at least 4 are needed"):
        named_texts(released(tmp_path, n_profiles=4))


def test_a_benchmark_text_that_was_trained_on_is_refused(tmp_path):
    run = Run("mine", released(tmp_path), tmp_path / "outputs")
    assert len(benchmark_texts(run)[0]) == 3
    run.profiles.parent.mkdir(parents=True)
    run.profiles.write_text(json.dumps({"id": "train-p007", "text": "ben is a  cook."}) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="bench-p002 is, word for word, train-p007"):
        benchmark_texts(run)
