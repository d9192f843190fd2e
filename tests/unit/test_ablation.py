"""What arms change: differences worked out by hand, and the page that shows them or says that there are none."""

import pytest
from test_rendering import execute_all, run  # noqa: F401

from aloe import rendering
from aloe.ablation import arm_frame, compare_arms, markdown_page
from aloe.findings import NBSP
from aloe.judging import score_frame
from aloe.metrics import both_complete
from aloe.records import Judgement

LEVELS = {"dpo": {"p1": (2, 4), "p2": (2, 2)}, "arm": {"p1": (2, 2), "p2": (1, 1)}}  # by profile, turn by turn


def scores(levels=LEVELS):
    return score_frame([
        Judgement(policy, f"{profile}-t", profile, "t", turn, "judge", level)
        for policy, cases in levels.items() for profile, own in cases.items() for turn, level in enumerate(own, 1)
    ])  # fmt: skip


def metrics():
    gaps = compare_arms(scores(), {"arm": "dpo"}, 0.95)
    benchmark = {"n_cases": 2, "n_turns": 2, "arms": gaps, "arms_commit": "abc123"}
    return {"preset": "ablation", "seed": 3, "simulated": True, "benchmark": benchmark}


def test_differences_are_arm_minus_reference_on_the_same_people():
    [(name, gap)] = compare_arms(scores(), {"arm": "dpo", "unscored": "dpo", "other": "gone"}, 0.95).items()
    assert (name, gap["reference"], gap["n_cases"]) == ("arm", "dpo", 2)
    assert gap["al"] == pytest.approx([-0.5, -1.5])  # turn 1: 0 and -1; turn 2: -2 and -1
    assert gap["al_mean"] == pytest.approx(-1)
    assert gap["al_mean_ci"] == pytest.approx([-1, -1])  # the same mean for both people
    assert gap["ir"] == pytest.approx(-1)  # slopes 0 - 2 and 0 - 0
    assert gap["ir_ci"][0] < -1 < gap["ir_ci"][1]
    frame = arm_frame({"arm": gap})
    assert frame["policy"].tolist() == ["arm - dpo"]
    assert frame["al_mean_low"].tolist() == pytest.approx([-1])


def test_one_profile_leaves_no_interval_and_no_arm_no_row():
    alone = {policy: {"p1": cases["p1"]} for policy, cases in LEVELS.items()}
    gap = compare_arms(scores(alone), {"arm": "dpo"}, 0.95)["arm"]
    assert gap["al_mean_ci"] is None
    assert gap["ir_p_holm"] is None
    assert arm_frame({"arm": gap})["ir_low"].isna().all()
    assert compare_arms(scores(), {}, 0.95) == {}
    assert arm_frame({}).empty


def test_an_arm_without_a_case_that_both_have_is_left_out():
    apart = scores({"dpo": {"p1": (2, 4), "p2": (2, None)}, "arm": {"p1": (None, 2), "p2": (1, 1)}})
    assert not both_complete(apart, "arm", "dpo")
    assert both_complete(scores(), "arm", "dpo")
    assert compare_arms(apart, {"arm": "dpo"}, 0.95) == {}


def test_the_page_has_the_stored_numbers_and_where_they_come_from():
    page = markdown_page(metrics(), "0123456789abcdef")
    assert "**Simulated.**" in page
    assert "Run `ablation`, seed 3; commit abc123; hash of its `metrics.json`: 0123456789ab." in page
    assert "| `arm` | `dpo` | -0.50 [" in page
    assert f"| -1.00 [-1.00,{NBSP}-1.00] |" in page
    assert page.splitlines()[-1].endswith("| 0.500 | – | – |")  # of IR: t = -1 with one degree of freedom


def test_a_result_of_an_earlier_version_has_no_p_values():
    stored = metrics()
    for name in ("al_mean_p_holm", "ir_p_holm"):
        del stored["benchmark"]["arms"]["arm"][name]
    assert markdown_page(stored, "0").splitlines()[-1].endswith("| – | – | – |")


def test_how_much_an_arm_learned_stands_beside_how_much_its_reference_did():
    stored = metrics() | {"training": {"arm": {"steps": 530, "learned_tokens": 250}, "dpo": {"steps": 600}}}
    assert markdown_page(stored, "0").endswith("| 530; 600 | – |")
    stored["training"]["dpo"]["learned_tokens"] = 100
    assert markdown_page(stored, "0").endswith("| 530; 600 | 2.5× |")


@pytest.mark.parametrize("nothing", [None, {"benchmark": {"policies": {}}}])
def test_an_ablation_that_was_not_run_is_said_to_be_missing(nothing):
    assert markdown_page(nothing, "").startswith("Not run yet: `make all PRESET=ablation`")


def test_the_report_shows_the_run_that_lies_beside_it_and_is_made_anew_for_another(run, tmp_path):  # noqa: F811
    execute_all(run)
    rendering.write_source(run, tmp_path / "without")
    page = "pages/published-and-corrected.md"
    text = (tmp_path / "without" / page).read_text()
    assert text.count("Not run yet: `make all PRESET=") == 2
    assert "| `from_base` | starts from the base model" in text
    run.record_stage("report", rendering._inputs(run), [])
    (run.report).mkdir()
    (run.report / "index.html").touch()
    assert rendering.report_is_current(run)
    beside = rendering.open_run("ablation", outputs=run.root.parent)
    beside.update_metrics({"benchmark": metrics()["benchmark"]})
    assert not rendering.report_is_current(run)
    rendering.write_source(run, tmp_path / "with")
    text = (tmp_path / "with" / page).read_text()
    assert text.count("| `arm` | `dpo` |") == 1
    assert "Not run yet: `make all PRESET=evidence`" in text
