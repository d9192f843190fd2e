"""The report: built from executed notebooks without a warning, whole, and without a resource on a network."""

import json
import re
from pathlib import Path

import nbformat
import pytest

from aloe import headline, rendering
from aloe.errors import UserError
from aloe.headline import markdown_table, publish, text_table
from aloe.params import load_params
from aloe.rendered_notebooks import UNASKED, folded
from aloe.report.mathml import mathml
from aloe.runs import Run
from aloe.stages import STAGES

POLICY = {"al": [1.5, 3.25], "al_mean": 2.375, "al_mean_ci": [2.0, 2.75], "ir": 1.75, "ir_ci": [1.5, 2.0], "r2": 1.0,
          "n_ir": 1.0, "n_ir_ci": [None, None], "n_r2": 1.0}  # fmt: skip
FLAT = {"al": [2.0, 2.0], "al_mean": 2.0, "ir": 0.0, "r2": None, "n_ir": None, "n_r2": None}


@pytest.fixture
def run(tmp_path):
    run = Run("smoke", load_params("smoke"), tmp_path / "outputs" / "smoke")
    run.update_metrics({"benchmark": {"n_cases": 4, "n_turns": 2, "policies": {"base": FLAT, "dpo": POLICY}}})
    return run


def execute_all(run: Run) -> None:
    """Leave what the notebooks leave: a formula, code, text on stderr, an HTML table, a script in a persona."""
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="100%|#####| progress"),
        nbformat.v4.new_output("display_data", {"text/html": "<table><tr><td>1</td></tr></table>", "text/plain": "1"}),
        nbformat.v4.new_output("stream", name="stdout", text="<script>alert(1)</script>"),
        nbformat.v4.new_output(
            "display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "Batches: 0%"}
        ),
    ]
    for stage in STAGES:
        cells = [nbformat.v4.new_markdown_cell(f"# {stage.name}\n\nThe slope $\\beta = \\frac{{a}}{{b}}$."),
                 nbformat.v4.new_markdown_cell("$$\\sum_{k=1}^{K} k$$"),
                 nbformat.v4.new_code_cell("preset = 'smoke'", metadata={"tags": ["injected-parameters"]}),
                 nbformat.v4.new_code_cell("x = 1", outputs=outputs)]  # fmt: skip
        run.notebooks.mkdir(parents=True, exist_ok=True)
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
        nbformat.write(notebook, run.notebooks / f"{stage.name}.ipynb")
    run.figures.mkdir()
    (run.figures / "al_curves.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')


def test_the_report_is_built_without_warnings_and_asks_no_network(run):
    execute_all(run)
    assert not rendering.report_is_current(run)
    rendering.build_report(run)
    assert rendering.report_is_current(run)
    front = (run.report / "index.html").read_text()
    assert "Simulated" in front
    assert "3.25" in front
    page = (run.report / "notebooks" / "07_aloe_analysis.html").read_text()
    assert "<math" in page
    assert "progress" not in page
    assert page.count("Show the code") == 1  # not for the cell of parameters
    assert "Batches" not in page
    assert not (run.report / "genindex.html").exists()
    assert "<script>alert" not in page
    assert (run.report / "searchindex.js").is_file()
    for html in run.report.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe|source)[^>]*\bsrc="([^"]*)"', html.read_text())
        loaded += re.findall(r'<link[^>]*rel="(?:stylesheet|preload|icon)[^>]*href="([^"]*)"', html.read_text())
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], html
    for style in run.report.rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import\s+[\"']?http", style.read_text()), style


def test_sections_that_were_not_asked_are_named_and_left_out_and_no_other_text_says_so(tmp_path):
    text, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    unasked = [nbformat.v4.new_output("stream", name="stdout", text=f"x\n{UNASKED} nobody was.\n")]
    tagged = {"metadata": {"tags": ["question"]}, "outputs": unasked}
    cells = [text("# Book"), text("## Further"), text("### Who\n\nWords."), code("1", **tagged), text("#### Why"),
             code("2"), text("### When"), code("3", outputs=unasked), text("### Where"),
             code("4", **tagged)]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "book.ipynb")
    shown = json.loads(folded(tmp_path / "book.ipynb", {}, {}))["cells"]
    assert ["".join(cell["source"]) for cell in shown] == [
        "# Book", "## Further\n\nNot asked of this run, and left out here: *Who*; *Where*.", "### When", "3",
    ]  # fmt: skip


def test_the_page_on_evidence_is_one_paragraph_where_nothing_is_stored(run, tmp_path):
    execute_all(run)
    rendering.write_source(run, tmp_path / "source")
    page = (tmp_path / "source" / "pages" / "evidence.md").read_text()
    assert "`make all PRESET=evidence` makes it" in page
    assert "##" not in page


@pytest.mark.parametrize("formula, spaced", [(r"\log p", True), (r"\ln 2", True), (r"\log \sigma", True),
                                             (r"\log (p)", False), (r"p + 2", False)])  # fmt: skip
def test_the_name_of_a_function_is_set_apart_from_what_it_is_of(formula, spaced):
    assert ("<mspace" in mathml(formula)) is spaced


def test_the_front_page_says_where_judges_are_of_the_responders_family(run, tmp_path):
    execute_all(run)
    rendering.write_source(run, tmp_path / "simulated")
    assert "of their own family" not in (tmp_path / "simulated" / "index.md").read_text()
    real = Run("paper-llama3-8b", load_params("paper-llama3-8b"), run.root)
    rendering.write_source(real, tmp_path / "real")
    front = (tmp_path / "real" / "index.md").read_text()
    assert "`preference_judge`, `alignment_judge[0]`: of the model family `gpt`" in front


def test_a_report_is_not_current_after_a_change_of_what_it_shows(run):
    execute_all(run)
    run.record_stage("report", rendering._inputs(run), [])
    run.report.mkdir()
    (run.report / "index.html").touch()
    assert rendering.report_is_current(run)
    run.update_metrics({"seed": 1})
    assert not rendering.report_is_current(run)


def test_a_report_without_an_executed_notebook_is_refused_and_the_old_one_stays(run):
    execute_all(run)
    run.report.mkdir()
    (run.report / "index.html").write_text("the old one")
    (run.notebooks / "03_dialogue_trees.ipynb").unlink()
    with pytest.raises(UserError, match=r"03_dialogue_trees\.ipynb does not exist; run `make all PRESET=smoke`"):
        rendering.build_report(run)
    assert (run.report / "index.html").read_text() == "the old one"


def test_a_run_that_ended_early_has_a_report_up_to_there_that_says_why_and_how_many_answers_could_not_be_read(run):
    run.metrics.unlink()
    run.update_metrics({"unparseable": {"persona_writer": 4, "inducer": 0}})
    execute_all(run)
    for stage in STAGES[1:]:
        (run.notebooks / f"{stage.name}.ipynb").unlink()
    cells = [
        nbformat.v4.new_markdown_cell("<b>An error</b>", metadata={"tags": ["papermill-error-cell-tag"]}),
        nbformat.v4.new_code_cell("raise NotEnough", metadata={"papermill": {"exception": True}}, outputs=[
            nbformat.v4.new_output("stream", name="stdout", text="the last words"),
            nbformat.v4.new_output("error", ename="NotEnough", evalue="", traceback=["Traceback (most recent"]),
        ]),
        nbformat.v4.new_markdown_cell("never reached"),
    ]  # fmt: skip
    language = {"language_info": {"name": "python"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Expansion"), *cells], metadata=language)
    nbformat.write(notebook, run.notebooks / f"{STAGES[1].name}.failed.ipynb")
    why = "2 texts, `n_profiles` is 8: <script>alert(1)</script> $5 *a*."
    rendering.build_report(run, rendering.Stopped(STAGES[1].name, why))
    front = (run.report / "index.html").read_text()
    assert "This run ended early" in front
    assert re.search(r"2 texts, <code[^>]*>(<[^>]*>)?n_profiles(</span>)?</code> is 8: &lt;script&gt;alert\(1\)", front)
    assert "&lt;/script&gt; $5 *a*." in front
    assert "persona_writer" in front
    assert "inducer" not in front
    page = (run.report / "notebooks" / f"{STAGES[1].name}.html").read_text()
    assert "the last words" in page
    assert "The run ended here" in page
    assert not any(text in page for text in ("Traceback", "An error", "never reached"))
    choices = (run.report / "pages" / "published-and-corrected.html").read_text()
    assert "Not run yet" in choices
    assert "starts from the base model" in choices
    numbers = (run.report / "pages" / "published-numbers.html").read_text()
    assert "in all 4 rows" in numbers
    for page in (choices, numbers):
        assert "$" not in page.partition("<h1>")[2].partition("</article>")[0]
    assert 'href="pages/published-numbers.html"' in front
    assert not (run.report / "notebooks" / f"{STAGES[2].name}.html").exists()
    assert not rendering.report_is_current(run)


def test_the_headline_rounds_and_says_what_there_is_not(run):
    lines = markdown_table(run).splitlines()
    assert lines[2] == "| `base` | 2.00 | 2.00 | 2.00 | 0.000 | none | none |"
    assert lines[3] == "| `dpo` | 1.50 | 3.25 | 2.38 [2.00,\u00a02.75] | 1.750 [1.500,\u00a02.000] | 1.00 | 1.000 |"
    assert "Simulated: a simulated language model" in text_table(run)


def test_the_headline_has_dal_beside_avg_where_some_policy_has_it(run):
    policies = run.read_metrics()["benchmark"]["policies"]
    run.update_metrics({"benchmark": {**run.read_metrics()["benchmark"], "policies": {
        "base": {**policies["base"], "dal": None, "dal_ci": None},
        "dpo": {**policies["dpo"], "dal": 1.125, "dal_ci": [1.0, 1.25]},
    }}})  # fmt: skip
    head, _, base, dpo = markdown_table(run).splitlines()
    assert head == "| policy | AL(1) | AL(2) | AVG | dAL | IR | R² | N-IR |"
    assert base == "| `base` | 2.00 | 2.00 | 2.00 | none | 0.000 | none | none |"
    assert "| 2.38 [2.00,\u00a02.75] | 1.12 [1.00,\u00a01.25] | 1.750" in dpo
    assert "dAL is AVG minus" in headline.headline(run).sentence


def test_the_headline_marks_an_n_ir_inside_its_null_band(run):
    assert "†" not in text_table(run)
    policies = run.read_metrics()["benchmark"]["policies"]
    run.update_metrics({"benchmark": {**run.read_metrics()["benchmark"], "policies": {
        "dpo": {**policies["dpo"], "n_ir": 0.05, "n_ir_ci": [0.01, 0.09], "n_ir_null_band": [-0.08, 0.08]},
        "told": {**policies["dpo"], "n_ir": 0.09, "n_ir_ci": None, "n_ir_null_band": [-0.08, 0.08]},
    }}})  # fmt: skip
    dpo, told = markdown_table(run).splitlines()[-2:]
    assert "| 0.050 [0.010,\u00a00.090]\u00a0† |" in dpo
    assert "| 0.090 |" in told
    assert "† N-IR alone cannot show growth here" in headline.headline(run).sentence


def test_an_unfinished_run_has_no_headline(run):
    run.metrics.unlink()
    run.update_metrics({"trees": {"n_trees": 3}})
    with pytest.raises(UserError, match="the benchmark is not done"):
        markdown_table(run)


def test_only_the_run_that_the_readme_names_is_published_there(run, tmp_path, monkeypatch):
    monkeypatch.setattr(headline, "ROOT", tmp_path)
    monkeypatch.setattr(headline, "README", tmp_path / "README.md")
    text = "# Title\n<!-- headline: {} -->\nold\n<!-- end of headline -->\nrest\n"
    Path(tmp_path, "README.md").write_text(text.format("outputs/sandbox"))
    assert not publish(run)
    Path(tmp_path, "README.md").write_text(text.format("outputs/smoke"))
    assert publish(run)
    written = Path(tmp_path, "README.md").read_text()
    assert "![Alignment level by turn and policy](outputs/smoke/figures/al_curves.svg)" in written
    assert "| `dpo` |" in written
    assert "old" not in written
    assert written.endswith("<!-- end of headline -->\nrest\n")
