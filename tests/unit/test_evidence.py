"""What repeated worlds say: verdicts worked out by hand, a planted variance found again, the page that shows it."""

import itertools

import numpy as np
import pandas as pd
import pytest
from test_rendering import execute_all, run  # noqa: F401

from aloe import evidence, rendering
from aloe.evidence_page import MISSING, page_fields, page_figures

CLEAR, NOTHING = (0.001, 0.8, 0.9), (0.5, 0.8, 0.9)


def worlds(effect, n_found, n):
    """Worlds of which the first `n_found` have one clear test."""
    tests = [CLEAR if i < n_found else NOTHING for i in range(n)]
    rows = [{"effect": effect, "seed": i, "al": 3.0, "dal": 0.5, "dal_slope": 0.0, "hinted_preferred": 0.25,
             **dict(zip(("p_dal", "p_dal_slope", "p_hinted_preferred"), own, strict=True))}
            for i, own in enumerate(tests)]  # fmt: skip
    return pd.DataFrame(rows)


def scores(shift=lambda seed, simulator, judge, case: 0.0, effect=1.0):
    """Two training seeds, simulators and judges, four people of two profiles, two turns; dAL is 1 everywhere."""
    rows = []
    for seed, simulator, judge, case, turn in itertools.product(*[range(2)] * 3, range(4), (1, 2)):
        level = 3.0 + shift(seed, simulator, judge, case)
        rows.append({"effect": effect, "seed": seed, "simulator": simulator, "judge": f"j{judge}", "policy": "dpo",
                     "case": f"c{case}", "profile_id": f"p{case // 2}", "personality_id": f"t{case % 2}",
                     "turn": turn, "level": level, "level_shuffled": level - 1, "level_blind": None})  # fmt: skip
    return pd.DataFrame(rows)


def metrics():
    found = evidence.entry(pd.concat([worlds(0.0, 10, 200), worlds(1.0, 170, 200)]), scores(), 0.95)
    policy = {"al": [1.5, 3.25], "al_mean": 2.375, "al_mean_ci": [2.0, 2.75], "ir": 1.75, "ir_ci": [1.5, 2.0],
              "dal": 0.8, "dal_ci": [0.5, 1.1], "dal_ir": 0.1, "dal_ir_ci": [0.0, 0.2]}  # fmt: skip
    style = {**policy, "dal": 0.01, "dal_ci": [-0.1, 0.12]}
    benchmark = {"n_cases": 4, "n_turns": 2, "policies": {"concise": style, "dpo": policy},
                 "evidence": {**found, "commit": "abc123"}}  # fmt: skip
    return {"preset": "evidence", "seed": 3, "simulated": True, "benchmark": benchmark}


@pytest.mark.parametrize("tests, found", [
    ((0.010, 0.040, 0.900), [True, False, False]),  # Holm: 0.03, 0.08, 0.9
    ((0.020, 0.020, 0.020), [False, False, False]),  # 0.06 each
    ((0.900, 0.024, 0.016), [False, True, True]),  # 0.9, 2 x 0.024 = 0.048, 3 x 0.016 = 0.048
    ((0.020, np.nan, np.nan), [True, False, False]),  # a test that nothing varies in is none
])  # fmt: skip
def test_a_world_calls_significant_what_stays_so_after_holm(tests, found):
    row = pd.DataFrame([dict(zip(("p_dal", "p_dal_slope", "p_hinted_preferred"), tests, strict=True))])
    assert evidence.significant(row).tolist() == [found]


@pytest.mark.parametrize(
    "effect, n_found, met",
    [(0.0, 18, True), (0.0, 19, False), (1.0, 180, True), (1.0, 179, False), (0.5, 100, None)],
)
def test_the_limits_are_18_of_200_without_an_effect_and_180_of_200_with_it(effect, n_found, met):
    [entry] = evidence.world_entries(worlds(effect, n_found, 200))
    assert entry["met"] is met
    assert entry["found"] == {"dal": n_found, "dal_slope": 0, "hinted_preferred": 0, "any": n_found}
    assert entry["share"] == n_found / 200
    assert entry["share_ci"][0] < entry["share"] < entry["share_ci"][1]


def test_of_a_trained_model_dal_is_the_level_minus_that_for_a_stranger():
    [first, second] = evidence.training_entries(scores(lambda seed, *_: float(seed)), 0.95)
    assert [own["seed"] for own in (first, second)] == [0, 1]
    assert (first["al_mean"], second["al_mean"]) == (3.0, 4.0)
    assert first["dal"] == second["dal"] == 1.0
    assert first["n_cases"] == 4


@pytest.mark.parametrize("source", ["seed", "simulator", "judge", "case"])
def test_the_variance_is_found_where_it_was_planted(source):
    names = ("seed", "simulator", "judge", "case")
    found = evidence.variance_entries(scores(lambda *levels: float(levels[names.index(source)])))
    shares = {row["component"]: row["share"] for row in found["al_mean"]}
    assert shares[source] == pytest.approx(1.0)
    # Two levels 0 and 1 have the sample variance 0.5, four levels 0 to 3 that of 5/3.
    variances = {row["component"]: row["variance"] for row in found["al_mean"]}
    assert variances[source] == pytest.approx(5 / 3 if source == "case" else 0.5)


def test_a_source_that_was_not_repeated_is_left_out_and_worlds_without_an_effect_do_not_count():
    one_judge = scores().query("judge == 'j0'")
    assert "judge" not in {row["component"] for row in evidence.variance_entries(one_judge)["dal"]}
    assert evidence.variance_entries(scores(effect=0.0)) == {}


def test_a_run_that_repeats_nothing_has_no_entry():
    assert evidence.entry(pd.DataFrame(), pd.DataFrame(), 0.95) == {}


def test_the_page_says_what_was_found_from_the_numbers_alone():
    page = page_fields(metrics(), "0123456789abcdef")
    assert "**Simulated.** Run `evidence`, seed 3;" in page["source"]
    assert "commit abc123; hash of its `metrics.json`: 0123456789ab." in page["source"]
    assert " | 1.50 | 3.25 | " in page["policies"]
    assert "not told apart from replies to anybody with `concise`" in page["policies"]
    assert (
        "With effect 0, 10 of 200 worlds call something significant; the limit, at most 9%, is kept." in page["worlds"]
    )
    assert (
        "With effect 1, 170 of 200 worlds call something significant; the limit, at least 90%, is **missed**."
        in (page["worlds"])
    )
    assert "lies above 0 with 2 of 2 trained models" in page["trainings"]
    assert "| dAL | seed |" in page["variance"]


def test_the_figures_are_drawn_from_the_stored_numbers_the_same_again():
    first, again = page_figures(metrics()), page_figures(metrics())
    assert set(first) == {"evidence-null-worlds.svg", "evidence-variance.svg"}
    assert first == again
    assert all(image.lstrip().startswith(b"<?xml") for image in first.values())
    assert page_figures(None) == {}


@pytest.mark.parametrize("nothing", [None, {"benchmark": {}}, {}])
def test_a_run_that_was_not_made_is_said_to_be_missing(nothing):
    assert page_fields(nothing, "")["source"] == MISSING


def test_a_stored_run_without_worlds_says_so_part_by_part():
    stored = metrics()
    del stored["benchmark"]["evidence"]
    page = page_fields(stored, "0123")
    assert page["worlds"] == page["trainings"] == page["variance"] == "The stored run has no such part."
    assert "commit unknown" in page["source"]


def test_the_report_shows_the_run_that_lies_beside_it_and_is_made_anew_for_another(run, tmp_path):  # noqa: F811
    execute_all(run)
    rendering.write_source(run, tmp_path / "without")
    page = "pages/evidence.md"
    assert "has not been made" in (tmp_path / "without" / page).read_text()
    run.record_stage("report", rendering._inputs(run), [])
    run.report.mkdir()
    (run.report / "index.html").touch()
    assert rendering.report_is_current(run)
    beside = rendering.open_run("evidence", outputs=run.root.parent)
    beside.update_metrics({"benchmark": metrics()["benchmark"]})
    assert not rendering.report_is_current(run)
    rendering.build_report(run)  # Sphinx finds no fault in it
    html = (run.report / "pages" / "evidence.html").read_text()
    assert "10 of 200 worlds" in html
    assert len(list((run.report / "_images").glob("evidence-*.svg"))) == 2
