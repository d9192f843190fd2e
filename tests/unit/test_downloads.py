"""Data behind figures: who draws which, what is seen on it, and what can be downloaded."""

import nbformat
import pandas as pd
import pytest

from aloe import downloads
from aloe.figure_sentences import seen
from aloe.figures import estimates
from aloe.params import load_params
from aloe.records import Judgement
from aloe.rendered_notebooks import folded, title
from aloe.runs import Run

CURVES = pd.DataFrame({
    "policy": ["base", "base", "dpo", "dpo"], "turn": [1, 2, 1, 2], "al": [1.5, 1.25, 1.5, 3.0],
    "low": [1.0, 1.0, 1.0, 2.5], "high": [2.0, 1.5, 2.0, 3.5],
})  # fmt: skip


@pytest.fixture
def run(tmp_path):
    run = Run("smoke", load_params("smoke"), tmp_path / "smoke")
    run.figures.mkdir(parents=True)
    for name in ("al_curves", "sft_training", "dpo_training", "stray"):
        CURVES.to_csv(run.figures / f"{name}.csv", index=False)
    cells = {
        "a": ('run.save_figure(ax.figure, "al_curves", own[["policy", "turn"]])', "Line chart: levels."),
        "b": ('for name in ("sft",):\n    run.save_figure(ax.figure, f"{name}_training", log)', ""),
        "c": ('run.save_figure(axes[0].figure, "dpo_training", log)', "Losses."),
        "d": ("%matplotlib inline\nrun.save_figure(figure, name, log)", ""),
    }
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Analysis: what came of it")])
    for name, (code, alt) in cells.items():
        metadata = {"mystnb": {"image": {"alt": alt}}} if alt else {}
        notebook["cells"].append(nbformat.v4.new_code_cell(code, id=name, metadata=metadata))
    run.notebooks.mkdir()
    nbformat.write(notebook, run.notebooks / "n.ipynb")
    return run


def found(run):
    return downloads.figures(run, {"n": run.notebooks / "n.ipynb"})


def test_a_figure_belongs_to_the_cell_that_saves_it_and_a_name_in_full_goes_before_a_pattern(run):
    cells = {figure.name: figure.cell for figure in found(run)}
    # `{name}_training` would fit dpo_training too, which another cell saves by its name
    assert cells == {"al_curves": "a", "sft_training": "b", "dpo_training": "c", "stray": None}
    assert [figure.name for figure in found(run)][-1] == "stray"


def test_the_page_links_every_figures_data_and_the_notebook_that_draws_it(run, tmp_path):
    judged = Judgement("dpo", "c", "p", "t", 1, "j", 4)
    run.scores.parent.mkdir()
    pd.DataFrame([vars(judged)]).to_parquet(run.scores)
    pd.DataFrame([{"judge": "second", "value": 1}]).to_parquet(run.further_verdicts)
    run.update_metrics({})
    downloads.write_downloads(run, tmp_path / "data")
    assert (tmp_path / "data" / "further_verdicts.csv").read_text() == "judge,value\nsecond,1\n"
    fields = downloads.page_fields(found(run), tmp_path / "data", {"n": "Analysis"})
    row = next(line for line in fields["figures"].splitlines() if "al_curves" in line)
    assert row.startswith('| <a href="../data/al_curves.csv" download>al_curves.csv</a> | 4 | ')
    assert "[Analysis](../notebooks/n.ipynb)" in row
    assert "Line chart" in row
    assert "scores.csv" in fields["others"]
    assert "metrics.json" in fields["others"]
    assert "manifest.json" not in fields["others"]  # this run has none
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "data" / "al_curves.csv"), CURVES)
    assert (tmp_path / "data" / "scores.csv").read_text() == (
        "policy,case,profile_id,personality_id,turn,judge,level,level_shuffled,level_blind\ndpo,c,p,t,1,j,4,,\n"
    )


def test_below_a_figure_stands_what_is_seen_and_a_link_to_its_data(run):
    [figure] = [figure for figure in found(run) if figure.name == "al_curves"]
    text = downloads.caption([figure])
    assert "dpo from 1\\.50 to 3" in text
    assert 'href="../data/al_curves.csv"' in text
    shown = nbformat.reads(
        folded(run.notebooks / "n.ipynb", {"a": text}, {"a": figure.sentence}), as_version=nbformat.NO_CONVERT
    )
    cells = {cell["id"]: cell for cell in shown["cells"]}
    assert cells["a-data"]["source"] == text
    assert cells["a"]["metadata"]["mystnb"]["image"]["alt"] == f"Line chart: levels. {figure.sentence}"
    assert title(run.notebooks / "n.ipynb") == "Analysis"


def test_a_curve_is_said_from_its_first_turn_to_its_last_the_highest_end_first():
    assert seen("al_curves", CURVES) == "From turn 1 to 2: dpo from 1.50 to 3; base from 1.50 to 1.25."


def test_of_many_curves_only_those_that_end_highest_and_lowest_are_said():
    many = pd.concat([CURVES[["turn", "al"]].assign(policy=f"p{i}", al=lambda own, i=i: own["al"] + i)
                      for i in range(7)])  # fmt: skip
    said = seen("al_curves", many.groupby(["policy", "turn"], as_index=False).last())
    assert "p6 from 7.50 to 9; p0 from 1.50 to 3 (of 7 lines" in said
    assert "p3" not in said


def test_intervals_are_said_by_where_they_lie():
    table = pd.DataFrame({"policy": ["a", "b", "c"], "ir": [0.5, -0.25, 0.125], "ir_low": [0.1, -0.4, -0.1],
                          "ir_high": [0.9, -0.1, 0.3]})  # fmt: skip
    assert seen("ir", table) == (
        "Highest is a 0.50, lowest b -0.25. Of the intervals, above zero: a; below zero: b; around zero: c."
    )


def test_a_value_with_a_null_band_is_said_by_the_band_and_not_by_zero():
    table = pd.DataFrame({"policy": ["a", "b"], "n_ir": [0.05, 0.1], "n_ir_low": [0.01, 0.08],
                          "n_ir_high": [0.09, 0.12], "n_ir_null_low": [-0.07, -0.07],
                          "n_ir_null_high": [0.07, 0.07]})  # fmt: skip
    assert seen("n_ir", table) == (
        "Highest is b 0.10, lowest a 0.05. Of the values, inside the band without trend: a; outside it: b."
    )


def test_a_small_negative_number_is_not_a_minus_before_a_zero():
    table = pd.DataFrame({"policy": ["a"], "ir": [-0.0004], "ir_low": [-0.1], "ir_high": [0.1]})
    assert seen("ir", table) == "a 0.00. Of the intervals, around zero: a."


@pytest.mark.parametrize("frame, said", [
    (pd.DataFrame({"kind": ["p", "p"], "seen": [10, 1200], "pool": [9, 331]}),
     "p: a pool of 331 after 1,200 candidates."),
    (pd.DataFrame({"policy": ["a"], "1": [0.25], "2": [0.75]}), "The level given most often: a 2 (75%)."),
    (pd.DataFrame({"x": [0, 1, 2], "y": [0, 1, 2], "split": ["s", "s", "t"]}),
     "3 points; the largest groups: s (2), t (1)."),
    (pd.DataFrame({"kind": ["p", "p", "q"], "similarity": [0.2, 0.4, 0.9]}), "Median by group: p 0.30; q 0.90."),
    (pd.DataFrame({"step": [1, 2], "split": ["train"] * 2, "loss": [2.0, 1.5]}),
     "From the first logged step to the last: loss in training from 2 to 1.50."),
    (pd.DataFrame({"tree": ["a", "a"], "turn": [1, 2], "facts": [1, 3]}),
     "Means. From turn 1 to 2: facts from 1 to 3."),
    (pd.DataFrame({"unheard": [1]}), None),
    (pd.DataFrame({"policy": [], "turn": [], "al": []}), None),
])  # fmt: skip
def test_each_form_of_data_has_its_sentence_and_an_unknown_or_empty_one_none(frame, said):
    assert seen("any", frame) == said


def test_figures_of_repeated_worlds_have_their_sentence():
    worlds = pd.DataFrame(
        {"effect": [0.0, 0.0, 1.0], "question": ["dal", "any", "any"], "worlds": 200, "found": [2, 3, 199]}
    )
    assert seen("null_worlds", worlds) == (
        "Worlds in which any of the questions is called significant: "
        "3 of 200 with effect 0 and 199 of 200 with effect 1."
    )
    split = pd.DataFrame(
        {"quantity": "dal", "component": ["case", "seed"], "share": [0.9, 0.1], "share_of_mean": [0.3, 0.7]}
    )
    assert seen("variance", split) == (
        "Most of the variance comes from, of dAL: case (90%) for one score, seed (70%) for the mean."
    )


def test_a_level_beside_that_for_a_stranger_is_told_as_their_difference():
    frame = pd.DataFrame({"policy": ["dpo"] * 2, "turn": [1, 2], "al": [2.5, 3.0], "al_shuffled": [1.5, 1.25],
                          "dal": [1.0, 1.75], "low": [0.5, 1.5], "high": [1.5, 2.0]})  # fmt: skip
    assert seen("dal", frame) == (
        "The level minus that for a stranger: From turn 1 to 2: dpo from 1 to 1.75. "
        "The level for a stranger: From turn 1 to 2: dpo from 1.50 to 1.25."
    )


def test_a_level_is_not_held_against_zero_and_a_difference_of_levels_is():
    table = pd.DataFrame({"policy": ["a", "b"], "al_mean": [1.5, 3.5], "al_mean_low": [1.25, 3.0],
                          "al_mean_high": [1.75, 4.0]})  # fmt: skip
    assert seen("both_intervals", table) == "Highest is b 3.50, lowest a 1.50."
    gaps = table.assign(al_mean_low=[0.5, 3.0])
    assert seen("differences", gaps).endswith("Of the intervals, above zero: a and b.")
    lines = [len(estimates(rows, "al_mean", "t", "levels").get_lines()) for rows in (table, gaps)]
    assert lines[1] == lines[0] + 1  # the line at zero
