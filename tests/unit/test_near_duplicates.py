import numpy as np
import pytest

from aloe import near_duplicates
from aloe.near_duplicates import LabelledPair, Pool, calibrate, nearest, share_above, youden_cut

# Texts are named by their angle in degrees: "a30" and "b90" have cosine similarity cos 60 degrees = 0.5.
calls: list[list[str]] = []


def by_angle(texts):
    calls.append(list(texts))
    angles = np.radians([float(text[1:]) for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32) if len(texts) else np.empty((0, 2))


def test_a_clean_cut_lies_midway_between_the_two_labels():
    # distinct 0.1, 0.3; duplicates 0.7, 0.9: only the cut at 0.5 has sensitivity 1 and specificity 1, J = 1
    assert youden_cut(np.array([0.1, 0.3, 0.7, 0.9]), np.array([False, False, True, True])) == (0.5, 1.0)


def test_an_overlap_is_cut_where_sensitivity_and_specificity_add_up_to_most():
    # ascending: distinct .1, duplicate .2, distinct .3, duplicate .5, duplicate .6
    # cut .15: 3/3 - 1/2 = 1/2;  .25: 2/3 - 1/2 = 1/6;  .4: 2/3 - 0 = 2/3 (best);  .55: 1/3 - 0 = 1/3
    cut = youden_cut(np.array([0.6, 0.1, 0.2, 0.3, 0.5]), np.array([True, False, True, False, True]))
    assert cut.threshold == pytest.approx(0.4)
    assert cut.youden == pytest.approx(2 / 3)


def test_of_two_equally_good_cuts_the_one_in_the_wider_gap_is_taken():
    # distinct .0, duplicate .2, distinct .3, duplicate .9: cuts .1 and .6 both give 1/2; the gap .3 to .9 is wider
    cut = youden_cut(np.array([0.0, 0.2, 0.3, 0.9]), np.array([False, True, False, True]))
    assert cut == (pytest.approx(0.6), pytest.approx(0.5))


@pytest.mark.parametrize("similarity, duplicate", [([0.1, 0.9], [True, True]), ([0.5, 0.5], [True, False])])
def test_without_both_labels_or_any_difference_there_is_no_threshold(similarity, duplicate):
    with pytest.raises(ValueError, match="need duplicate and distinct pairs"):
        youden_cut(np.array(similarity), np.array(duplicate))


def test_calibration_embeds_pairs_and_reports_how_well_they_part():
    pairs = [
        LabelledPair("profile", "duplicate", "a0", "b0"),  # similarity 1
        LabelledPair("profile", "duplicate", "a0", "b60"),  # 0.5
        LabelledPair("profile", "distinct", "a0", "b90"),  # 0
        LabelledPair("profile", "distinct", "a30", "b60"),  # cos 30 = 0.866
    ]
    result = calibrate(pairs, by_angle)
    assert result.pairs["similarity"].tolist() == pytest.approx([1, 0.5, 0, 0.8660254], abs=1e-6)
    # Couples duplicate over distinct: 1 > 0, 1 > .866, .5 > 0, .5 < .866: 3 of 4
    assert result.auc == pytest.approx(0.75)
    # Cut .25: 2/2 - 1/2 = 1/2; .683: 1/2 - 1/2 = 0; .933: 1/2 - 0 = 1/2. The gap 0 to .5 is wider than .866 to 1.
    assert result.threshold == pytest.approx(0.25, abs=1e-6)
    assert result.youden == pytest.approx(0.5)


def test_a_pool_keeps_what_is_at_or_under_the_threshold_in_order():
    pool = Pool(by_angle, threshold=0.6)
    # a0: nothing before, kept. b10: cos 10 = .985, out. c60: cos 60 = .5, kept. d55: like c60 (.996), out.
    # e115: to c60 cos 55 = .574, kept.
    verdicts = pool.add(["a0", "b10", "c60", "d55", "e115"])
    assert pool.texts == ["a0", "c60", "e115"]
    assert [v.kept for v in verdicts] == [True, False, True, False, True]
    assert [v.nearest for v in verdicts] == [None, "a0", "a0", "c60", "c60"]
    assert verdicts[0].similarity is None
    assert verdicts[3].similarity == pytest.approx(np.cos(np.radians(5)), abs=1e-6)


def test_a_rejected_candidate_bars_nobody():
    pool = Pool(by_angle, threshold=0.9)
    pool.add(["a0", "b20"])  # cos 20 = .94: out
    assert [v.kept for v in pool.add(["c40"])] == [True]  # cos 40 = .77 to a0; cos 20 to b20 would bar it


def test_nothing_near_a_held_out_text_is_kept_and_held_out_texts_are_not_in_the_pool():
    pool = Pool(by_angle, threshold=0.9, held_out=["h0"])
    assert [v.kept for v in pool.add(["a5", "b90"])] == [False, True]
    assert pool.texts == ["b90"]
    assert len(pool) == 1


def test_a_word_for_word_repeat_is_out_even_at_threshold_one():
    pool = Pool(by_angle, threshold=1.0)
    assert [v.kept for v in pool.add(["a0", "a0"])] == [True, False]
    assert [v.kept for v in pool.add(["a0"])] == [False]


def test_each_text_is_embedded_once_however_large_the_pool_grows():
    calls.clear()
    pool = Pool(by_angle, threshold=1.0)
    texts = [f"a{angle / 10}" for angle in range(300)]  # past the first 64 rows, twice
    for start in range(0, 300, 50):
        pool.add(texts[start : start + 50])
    assert len(pool) > 200  # float32 makes some neighbours 0.1 degrees apart no different from 1
    assert sum(len(call) for call in calls) == 300
    expected = by_angle(pool.texts)
    assert np.array_equal(pool._rows[: len(pool)], expected)


def test_adding_nothing_changes_nothing():
    pool = Pool(by_angle, threshold=0.5)
    assert pool.add([]) == []
    assert pool.texts == []


def one_by_one(texts, threshold):
    """Each text against all kept before it, by itself."""
    kept = []
    for text in texts:
        row = by_angle([text])[0]
        kept += [text] if all(float(row @ by_angle([other])[0]) <= threshold for other in kept) else []
    return kept


def test_batches_and_blocks_decide_as_one_by_one(monkeypatch):
    monkeypatch.setattr(near_duplicates, "BATCH", 7)
    monkeypatch.setattr(near_duplicates, "BLOCK", 5)
    texts = [f"a{angle}" for angle in np.random.default_rng(0).integers(0, 36_000, 200) / 100]
    threshold = float(np.cos(np.radians(2.003)))  # no two of the angles are just so far apart
    pool = Pool(by_angle, threshold)
    verdicts = [verdict for start in (0, 3, 60) for verdict in pool.add(texts[start : {0: 3, 3: 60, 60: 200}[start]])]
    assert pool.texts == one_by_one(texts, threshold)
    assert 60 < len(pool) < 120
    for verdict in verdicts[1:]:
        assert verdict.similarity == pytest.approx(float(by_angle([verdict.text])[0] @ by_angle([verdict.nearest])[0]))


def test_no_matrix_of_all_similarities_is_made(monkeypatch):
    shapes = []
    monkeypatch.setattr(
        near_duplicates, "nearest", lambda rows, others: shapes.append(len(rows)) or nearest(rows, others)
    )
    Pool(by_angle, 1.0).add([f"a{angle / 10}" for angle in range(600)])
    assert shapes == [256, 256, 88]


def test_the_share_of_pairs_above_a_cut_is_counted_over_blocks(monkeypatch):
    monkeypatch.setattr(near_duplicates, "BATCH", 2)
    # 0, 10, 20, 90 degrees; above cos 15: (0, 10) and (10, 20) of six pairs
    assert share_above(by_angle(["a0", "a10", "a20", "a90"]), np.cos(np.radians(15))) == pytest.approx(2 / 6)
    with pytest.raises(ValueError, match="at least two rows"):
        share_above(by_angle(["a0"]), 0.5)
