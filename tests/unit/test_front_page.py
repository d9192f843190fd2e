"""The first screen says what the intervals show and no more; provenance comes from the manifest; pages can be heard."""

import pytest

from aloe import front_page, provenance_page
from aloe.findings import NBSP
from aloe.params import load_params
from aloe.rendered_notebooks import without_dead_links
from aloe.report.accessible import with_names, with_scopes
from aloe.runs import Run


def policy(ir, ir_ci, **more):
    return {"al": [1.0, 2.0], "al_mean": 2.0, "ir": ir, "ir_ci": ir_ci, "r2": 1.0, "n_ir": 0.1, "n_profiles": 4, **more}


@pytest.fixture
def run(tmp_path):
    run = Run("smoke", load_params("smoke"), tmp_path / "smoke", "make all PRESET=smoke")
    policies = {"base": policy(0.0, [-0.1, 0.1]), "dpo": policy(0.5, [0.3, 0.7]), "told": policy(-0.5, [-0.7, -0.3])}
    gap = {"dpo - base": {"al_mean": 0.5, "al_mean_ci": [0.2, 0.8], "ir": 0.5, "ir_ci": [0.1, 0.9]}}
    run.update_metrics({"benchmark": {"n_cases": 8, "n_turns": 2, "policies": policies, "differences": gap}})
    return run


def test_a_rise_is_said_of_those_whose_interval_leaves_zero_out(run):
    assert front_page.fields(run)["found"].startswith(
        "- From turn to turn, the level of alignment rises with `dpo`; it falls with `told`; "
        "it is not shown to change with `base`."
    )


def test_the_trained_policy_stands_beside_the_model_before_training_with_a_word_on_their_difference(run):
    found = front_page.fields(run)["found"]
    assert "2.00 with `dpo`, 2.00 with `base` (the model before training) and 2.00 with `told`" in found
    assert "`dpo` against `base`: higher." in found
    assert "dAL" not in found  # not measured, not said


def test_the_level_for_ones_own_persona_is_said_where_it_was_measured(run):
    policies = run.read_metrics()["benchmark"]["policies"]
    policies["dpo"] |= {"dal": 0.4, "dal_ci": [0.1, 0.7]}
    policies["base"] |= {"dal": 0.0, "dal_ci": [-0.2, 0.2]}
    run.update_metrics({"benchmark": {"policies": policies}})
    said = front_page.fields(run)["found"]
    assert "rated higher for their own user than for a stranger with `dpo`" in said
    assert "not told apart from replies to anybody with `base`" in said


@pytest.mark.parametrize(
    "beyond, slope, told, said",
    [
        ([0.1, 0.7], [0.01, 0.2], [-0.2, 0.4], "**Yes**: replies of `dpo` suit their own user"),
        (
            [0.1, 0.7],
            [0.01, 0.2],
            [0.1, 0.4],
            "and more so from turn to turn, short of the same model told the persona.",
        ),
        ([0.1, 0.7], [-0.1, 0.2], [-0.2, 0.4], "**Yes, in part**: replies of `dpo`"),
        ([-0.1, 0.7], [0.01, 0.2], [-0.2, 0.4], "**Not shown**, that replies of `dpo`"),
    ],
)
def test_what_was_asked_has_an_answer_that_follows_from_intervals(run, beyond, slope, told, said):
    benchmark = run.read_metrics()["benchmark"]
    benchmark["policies"]["dpo"] |= {"dal": 0.4, "dal_ci": [0.1, 0.7], "dal_ir": 0.1, "dal_ir_ci": slope}
    benchmark["differences"]["dpo - base"] |= {"dal": 0.4, "dal_ci": beyond}
    benchmark["differences"]["told - dpo"] = {"al_mean": 0.1, "al_mean_ci": told, "ir": 0.0, "ir_ci": [-1.0, 1.0]}
    run.update_metrics({"benchmark": benchmark})
    assert said in front_page.fields(run)["found"]


def test_what_does_not_hold_for_other_personalities_is_named(run):
    policies = run.read_metrics()["benchmark"]["policies"]
    assert "two-way" not in front_page.fields(run)["sure"]  # not computed, not said
    policies["dpo"] |= {"ir_two_way_ci": [-0.1, 1.1]}
    policies["told"] |= {"ir_two_way_ci": [-0.8, -0.2]}
    run.update_metrics({"benchmark": {"policies": policies}})
    assert front_page.fields(run)["sure"].endswith("no longer told apart from 0: IR of `dpo`.")
    assert "rises with `dpo` (not shown for other personalities)" in front_page.fields(run)["found"]
    policies["dpo"] |= {"ir_two_way_ci": [0.1, 0.9]}
    gap = {"al_mean": 0.5, "al_mean_ci": [0.2, 0.8], "al_mean_two_way_ci": [-0.1, 1.1], "ir": 0.5, "ir_ci": [0.1, 0.9]}
    run.update_metrics({"benchmark": {"policies": policies, "differences": {"dpo - base": gap}}})
    assert front_page.fields(run)["sure"].endswith("no longer told apart from 0: AVG of `dpo` − `base`.")
    gap["al_mean_two_way_ci"] = [0.1, 0.9]
    run.update_metrics({"benchmark": {"differences": {"dpo - base": gap}}})
    assert front_page.fields(run)["sure"].endswith("all are still told apart from 0.")


def test_what_training_costs_is_said_with_its_interval(run):
    assert "garbled" not in front_page.fields(run)["found"]  # not counted, not said
    counted = {"base": {"share": 0.09, "low": None, "high": None}, "dpo": {"share": 0.34, "low": 0.23, "high": 0.445}}
    run.update_metrics({"benchmark": {"unheard_words": counted}})
    assert front_page.fields(run)["found"].endswith(
        f"garbled or from pretraining: 34% [23,{NBSP}44] with `dpo` and 9% with `base`."
    )


def test_how_sure_names_cases_profiles_turns_and_the_one_seed(run):
    sure = front_page.fields(run)["sure"]
    assert sure.startswith("95% intervals from 8 held-out people (4 profiles with 2 personalities each), 2 turns each")
    assert sure.endswith(f"this is one run, with seed {run.read_metrics()['seed']}.")


def test_profiles_that_could_not_be_scored_are_counted_apart(run):
    for own in (metrics := run.read_metrics())["benchmark"]["policies"].values():
        own["n_profiles"] = 1
    run.update_metrics(metrics)
    assert "(4 profiles with 2 personalities each; those of 1 could be scored)" in front_page.fields(run)["sure"]


def test_provenance_names_the_commit_of_the_last_stage_and_what_each_read(run, tmp_path):
    (tmp_path / "read.txt").write_text("x")
    run.record_stage("01_persona_seeds", [tmp_path / "read.txt"], [], seconds=12.0)
    run.record_stage("report", [], [])
    manifest = run.read_manifest()
    fields = provenance_page.page_fields(run)
    commit = manifest["stages"]["01_persona_seeds"]["git_commit"]
    assert (str(commit).removesuffix("-modified") if commit else "not known") in fields["facts"]
    digest = next(iter(manifest["stages"]["01_persona_seeds"]["inputs"].values()))
    assert f"| read | `read.txt` | `{digest[:12]}` |" in fields["hashes"]
    assert "make figures PRESET=smoke" in fields["again"]
    assert "| user |" in fields["roles"]
    assert "report" not in fields["stages"]


def test_a_run_without_a_manifest_says_so(run):
    fields = provenance_page.page_fields(run)
    assert "not known" in fields["facts"]
    assert fields["stages"] == "No stage has been noted in the manifest."


def test_headers_of_tables_have_a_scope_and_an_empty_one_is_no_header():
    head = "<thead><tr><th> </th><th class='a'>al</th></tr></thead>"
    frame = f"<table>{head}<tbody><tr><th>base</th></tr></tbody></table>"
    assert with_scopes(frame) == (
        "<table><thead><tr><td></td><th scope=\"col\" class='a'>al</th></tr></thead>"
        '<tbody><tr><th scope="row">base</th></tr></tbody></table>'
    )


def test_landmarks_have_names_headings_a_level_and_a_page_a_first_heading():
    page = ('<title>Search - Study</title><aside class="toc-drawer no-toc"><p class="caption" role="heading">'
            "a</p></aside>"
            '<article role="main" id="m"></article>')  # fmt: skip
    once = with_names(page)
    assert '<aside class="toc-drawer no-toc" aria-label="On this page">' in once
    assert 'role="heading" aria-level="2"' in once
    assert '<article role="main" id="m"><h1>Search</h1>' in once
    assert with_names(once) == once


def test_a_link_to_a_page_that_is_not_there_leaves_its_words():
    text = "[a](../notebooks/a.ipynb), [b](b.md), [c](https://example.org/c.md)"
    assert without_dead_links(text, {"b.md"}) == "a, [b](b.md), [c](https://example.org/c.md)"


def test_further_judges_have_their_part_of_the_first_page_and_nobody_elses_run_has_one(run):
    assert front_page.fields(run)["judges"] == ""
    judge = {"scale": "strict", "model": "m", "family": None, "temperature": 0.5, "repeat": 1, "replies": 40,
             "answers": 40, "unreadable": 3}  # fmt: skip
    row = {"question": "truth", "scale": "strict", "score": "suits", "one": "second", "other": "truth", "n": 37,
           "measure": "kappa", "value": 0.5, "ci": [0.25, 0.75]}  # fmt: skip
    run.update_metrics({"benchmark": {"judges": {"judges": {"second": judge}, "found": [row]}}})
    part = front_page.fields(run)["judges"]
    assert part.startswith("## Are the judges to be believed?")
    assert "| `second` | strict | 0.5 | – | 40 | 3 of 40 | – | – | 0.50 [0.25,\u00a00.75] |" in part
