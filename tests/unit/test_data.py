"""The hand-written data keep their promises: counts, balance, and benchmark facts that nothing else has seen."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from aloe.texts import load_novel, load_texts

ROOT = Path(__file__).parents[2]
DATA = ROOT / "aloe" / "data"
WORLD = ROOT / "aloe" / "sandbox" / "world"
FILES = {  # file: (number of texts, form of the ids)
    "seed_profiles": (20, "seed-p{:02d}"),
    "seed_personalities": (20, "seed-t{:02d}"),
    "benchmark_profiles": (20, "bench-p{:02d}"),
    "benchmark_personalities": (5, "bench-t{}"),
}
# Kept for the benchmark: at least one of them is in every novel fact.
TOPICS = re.findall(
    r"metal detector|\w+",
    "accordion alpaca archery bagpipes beekeeping bees calligraphy croquet crossword curling falconry fencing ferret "
    "ferry foraging gecko glassblowing haggis harpsichord hedgehog jigsaw juggling kayak kimchi kites kombucha "
    "lighthouse llama locksmith marimba midwife mushroom metal detector okra orienteering origami parkour puppet "
    "puppetry radio stamps taxidermy telescope tortoise trombone ukulele unicycle windsurfing yodelling",
)


def texts(name: str) -> dict[str, str]:
    return {text.id: text.text for text in load_texts(DATA / f"{name}.jsonl")}


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=\.) ", text)


def found(words: list[str], text: str) -> list[str]:
    return [word for word in words if re.search(rf"\b{re.escape(word)}s?\b", text.casefold())]


def traits() -> list[str]:
    return [word for words in load_novel(DATA / "benchmark_personalities.jsonl").values() for word in words]


@pytest.mark.parametrize("name", FILES)
def test_counts_and_ids(name):
    count, form = FILES[name]
    assert list(texts(name)) == [form.format(number) for number in range(1, count + 1)]


@pytest.mark.parametrize("name", FILES)
def test_every_text_has_eight_to_ten_facts_or_traits(name):
    for key, text in texts(name).items():
        assert 8 <= len(sentences(text)) <= 10, key
        assert all(sentence.endswith(".") and sentence.count(".") == 1 for sentence in sentences(text)), key


@pytest.mark.parametrize("name", ["seed_personalities", "benchmark_personalities"])
def test_each_trait_is_an_adjective_shown_by_an_ing_phrase_and_says_nothing_of_gender(name):
    for key, text in texts(name).items():
        assert all(re.fullmatch(r"[A-Z][a-z-]+, .*\w+ing\b.*\.", sentence) for sentence in sentences(text)), key
        assert not re.search(r"\b(he|she|him|his|her|hers)\b", text.casefold()), key


@pytest.mark.parametrize("name", ["seed_profiles", "benchmark_profiles"])
def test_profiles_are_balanced(name):
    profiles = texts(name).values()
    starts = [re.match(r"(\S+) is an? (\d+)-year-old .+ from \S", text) for text in profiles]
    assert all(starts)
    ages = [int(start[2]) for start in starts if start]
    assert (min(ages), max(ages)) == (18, 80)
    assert min(sum(low <= age < low + 21 for age in ages) for low in (18, 39, 60)) >= 5
    pronouns = Counter(re.search(r"\. (?:.*?\. )*?(She|He|They) ", text)[1] for text in profiles)
    assert pronouns == {"She": 9, "He": 9, "They": 2}


def test_no_name_is_given_twice():
    names = [text.split()[0] for file in ("seed_profiles", "benchmark_profiles") for text in texts(file).values()]
    assert len(set(names)) == len(names) == 40


def test_a_quarter_of_each_benchmark_profile_is_reserved_for_it():
    novel = load_novel(DATA / "benchmark_profiles.jsonl")
    for key, text in texts("benchmark_profiles").items():
        facts = sentences(text)
        assert set(novel[key]) == {fact for fact in facts if found(TOPICS, fact)}, key
        assert len(novel[key]) / len(facts) >= 0.25, key
    assert sum(map(len, novel.values())) >= 45


def test_benchmark_personalities_have_reserved_traits():
    novel = load_novel(DATA / "benchmark_personalities.jsonl")
    for key, text in texts("benchmark_personalities").items():
        adjectives = [sentence.split(",")[0].casefold() for sentence in sentences(text)]
        assert len(novel[key]) >= 2, key
        assert set(novel[key]) <= set(adjectives), key
    assert len(set(traits())) == len(traits()) >= 12


@pytest.mark.parametrize("name", ["seed_profiles", "seed_personalities", "near_duplicates"])
def test_reserved_words_are_not_in_what_the_writer_is_shown(name):
    text = (DATA / f"{name}.jsonl").read_text(encoding="utf-8")
    assert found(TOPICS + traits(), text) == []


def test_reserved_words_are_not_in_the_sandbox_world():
    files = sorted(WORLD.rglob("*.yaml"))
    assert files
    for path in files:
        # readings.yaml says how foreign adjectives are understood; nothing is written from it (see its header).
        words = TOPICS if path.name == "readings.yaml" else TOPICS + traits()
        assert found(words, path.read_text(encoding="utf-8")) == [], path.name


def test_near_duplicates_are_labelled_evenly():
    pairs = [json.loads(line) for line in (DATA / "near_duplicates.jsonl").read_text(encoding="utf-8").splitlines()]
    kinds = ("profile", "personality")
    assert Counter((pair["kind"], pair["label"]) for pair in pairs) == {
        (kind, label): 30 for kind in kinds for label in ("duplicate", "distinct")
    }
    assert len({frozenset((pair["a"], pair["b"])) for pair in pairs}) == len(pairs)
    assert all(8 <= len(sentences(text)) <= 10 for pair in pairs for text in (pair["a"], pair["b"]))


def test_judge_dev_replies_cannot_be_ranked_by_length():
    path = ROOT / "tests" / "data" / "judge_dev.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 30
    assert all(set(row) == {"profile", "personality", "user", "tailored", "generic", "mismatched"} for row in rows)
    replies = ("tailored", "generic", "mismatched")
    longest = Counter(max(replies, key=lambda reply, row=row: len(row[reply])) for row in rows)
    assert min(longest[reply] for reply in replies) >= 5  # of 30; 10 each by chance
