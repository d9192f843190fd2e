import doctest

import numpy as np
import pandas as pd
import pytest

import aloe.topics
from aloe import attributes
from aloe.attributes import described, trait_table
from aloe.params import ROOT
from aloe.pool_card import markdown, neighbours, over_and_under, shares
from aloe.pool_figures import neighbour_histograms, share_bars, topic_map
from aloe.texts import Text, load_texts
from aloe.topics import MOST, pieces, topics


def at(*angles):
    """Unit rows in the plane; the similarity of two is the cosine of the angle between them."""
    radians = np.radians(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_neighbours_are_looked_for_within_the_split_and_across():
    # train at 0, 60, 70 degrees, dev at 90. Within train: 0 to 60: .5; 60 and 70: cos 10 = .985. dev has nobody.
    # Across: 0 to 90: 0; 60: cos 30 = .866; 70: cos 20 = .940; dev: nearest is 70.
    near = neighbours(at(0, 60, 70, 90), ["train", "train", "train", "dev"])
    found = {key: own["similarity"].round(3).tolist() for key, own in near.groupby(["split", "reach"])}
    assert found == {
        ("train", "within"): [0.5, 0.985, 0.985], ("train", "across"): [0.0, 0.866, 0.94], ("dev", "across"): [0.94]
    }  # fmt: skip


def test_many_texts_are_compared_in_blocks_as_in_one_matrix():
    rows = np.random.default_rng(0).standard_normal((600, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    full = rows @ rows.T
    np.fill_diagonal(full, -np.inf)
    assert np.allclose(neighbours(rows, ["train"] * 600)["similarity"], full.max(axis=1), atol=1e-6)


PEOPLE = pd.DataFrame({
    "source": ["seed"] * 4 + ["train"] * 8,
    "age": ["30 to 44", "30 to 44", "18 to 29", "unknown"] + ["18 to 29"] * 8,
    "gender": ["she", "he", "she", "he"] + ["she"] * 4 + ["he"] * 4,
    "occupation": ["unknown"] * 12,
    "region": ["unknown"] * 12,
})  # fmt: skip


def test_shares_add_up_to_one_by_source_and_the_unknown_come_last():
    table = shares(PEOPLE, "age")
    assert table.index.tolist() == ["18 to 29", "30 to 44", "unknown"]
    assert table["seed"].tolist() == [0.25, 0.5, 0.25]
    assert table["train"].tolist() == [1, 0, 0]


def test_what_differs_most_between_pool_and_hand_comes_first():
    # 8 of 8 against 1 of 4 are 18 to 29; given 9 of 12, that or more extreme: C(8,8) C(4,1) / C(12,9) = 4 / 220
    uneven = over_and_under(PEOPLE, "train", ["seed"])
    assert uneven.loc[0, ["attribute", "value", "share", "beside"]].tolist() == ["age", "18 to 29", 1.0, 0.25]
    assert uneven.loc[0, "p"] == pytest.approx(4 / 220)
    assert uneven[uneven["attribute"] == "gender"]["p"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("rule, text, value", [
    (attributes.age, "Ana, aged 71, bakes.", "60 and over"),
    (attributes.age, "Ana is 17 years old.", "unknown"),  # no band
    (attributes.gender, "Min-jun sells maps. Her brother is 12 and he sings.", "she"),
    (attributes.gender, "花子は札幌の看護師です。", "unknown"),
    (attributes.occupation, "Ana is a bus driver from Faro.", "transport and post"),
    (attributes.occupation, "Ana is a textile student.", "in training"),
    (attributes.occupation, "Ana is a retired nurse.", "retired"),
    (attributes.occupation, "Ana is a falconer.", "unknown"),
    (attributes.region, "Ana is from Mexico City.", "Latin America and the Caribbean"),
    (attributes.region, "Ana lives in Splitsville.", "unknown"),
])  # fmt: skip
def test_rules_read_what_is_there_and_say_unknown_otherwise(rule, text, value):
    assert rule(text) == value


def test_the_hand_written_profiles_are_read_in_full():
    for name in ("seed_profiles", "benchmark_profiles"):
        people = described(load_texts(ROOT / "aloe" / "data" / f"{name}.jsonl"))
        assert not (people == "unknown").to_numpy().any()


def test_a_row_per_trait():
    table = trait_table([Text("seed-t1", "Generous, giving time away. Laconic, of few words.")])
    assert table["valence"].tolist() == ["pleasant", "unknown"]


def test_topics_are_named_by_the_words_that_tell_them_apart():
    texts = ["The garden has bees."] * 3 + ["The band has drums."] * 3
    found = topics(texts, at(0, 1, 2, 88, 89, 90), 2)
    assert found == [found[0]] * 3 + [found[3]] * 3
    assert {"bees", "garden"} <= set(found[0].split(", "))
    assert {"band", "drums"} <= set(found[3].split(", "))


def test_a_topic_is_not_named_by_words_that_every_sentence_has():
    # "they" and "with" would tell the first cluster best, standing in all of it and nowhere else
    found = topics(["they sing with bees"] * 3 + ["drums"] * 3, at(0, 1, 2, 88, 89, 90), 2)
    assert found == ["bees, sing"] * 3 + ["drums"] * 3
    assert set(topics(["they", "with"], at(0, 90), 2)) == {"they", "with"}  # unless there is nothing else


def test_facts_are_taken_without_their_owner_and_traits_as_they_are():
    assert doctest.testmod(aloe.topics).failed == 0
    many = pieces(["Ann keeps bees. " * 2_000], "profile")
    assert many == ["keeps bees"] * MOST


def card(note):
    near = neighbours(at(0, 60, 70, 90), ["train", "train", "train", "dev"]).assign(kind="profile")
    valence = pd.DataFrame({"source": ["train"], "valence": ["pleasant"]})
    fate = {"profile": {"in": 3, "kept": 2, "near duplicate": 1}}
    uneven = over_and_under(PEOPLE, "train", ["seed"])
    about = {"profile": pd.Series({"bees, garden": 0.75, "band|drums": 0.25})}
    return markdown("mine|x", note, {"profiles": 1234}, fate, PEOPLE, valence, near, uneven, ["Read with care."], about)


def test_the_card_says_whether_it_is_simulated_and_takes_texts_literally():
    assert "**Simulated**" in card("simulated")
    text = card(None)
    assert "imulated" not in text
    assert text.startswith("# Pool card: mine\\|x\n")
    assert "| near duplicate | 1 |" in text.replace("\\", "")
    assert "| profiles | 1,234 |" in text
    assert "| age | 18 to 29 | 100% | 25% | 0.018 |" in text
    assert "| bees, garden | 75% |" in text.replace("\\", "")
    assert "| band\\|drums | 25% |" in text
    assert "- Read with care." in text


def test_figures_draw_every_source_reach_and_topic():
    axes = share_bars({"Age": shares(PEOPLE, "age"), "Gender": shares(PEOPLE, "gender")})
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["seed", "train"]
    near = neighbours(at(0, 60, 70, 90), ["train", "train", "train", "dev"]).assign(kind="profile")
    histogram = neighbour_histograms(near, {"profile": 0.74})[0]
    assert any(abs(bar.get_x() - 0.74) < 1e-9 for bar in histogram.patches)  # no bar on both sides of the threshold
    assert len(histogram.get_legend().get_texts()) == 3
    points = pd.DataFrame({"x": [0, 1], "y": [0, 1], "topic": ["a, b", "c, d"]})
    assert [t.get_text() for t in topic_map(points, "Map").get_legend().get_texts()] == ["a, b (1)", "c, d (1)"]
