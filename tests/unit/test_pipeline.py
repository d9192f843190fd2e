"""The driver: what is run again and what is not, what is never overwritten, and how a notebook's end is told."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from aloe import pipeline, stages
from aloe.__main__ import main
from aloe.errors import NotEnough, UserError
from aloe.execution import NotebookFailed, execute, refresh_prose
from aloe.headline import note
from aloe.notebook_code import code_cells, imported_modules, source_hash
from aloe.params import load_params
from aloe.runs import Run
from aloe.stages import STAGES, Stage, recipe

WORDS = Stage("01_words", ("seed",), (), ("words.txt",), ("personas",))
COUNT = Stage("02_count", ("seed",), ("words.txt",), ("count.txt",), ("trees",))


class Study:
    """Two stages whose notebooks run in this process: `01_words` writes words.txt, `02_count` reads it."""

    def __init__(self, folder: Path) -> None:
        self.sources = folder / "notebooks"
        self.sources.mkdir()
        self.run = Run("toy", load_params("smoke"), folder / "outputs" / "toy")
        self.executed: list[str] = []
        self.write("01_words", 'write("words.txt", "one two"); metric("personas", {"n": 2})')
        self.write("02_count", 'write("count.txt", str(len(read("words.txt").split()))); metric("trees", {"n": 2.5})')

    def write(self, name: str, code: str, prose: str = "# Title", tags: tuple[str, ...] = ()) -> None:
        cells = [
            nbformat.v4.new_markdown_cell(prose, id="text"),
            nbformat.v4.new_code_cell('preset = "smoke"\nseed = None', id="given", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(code, id="code", metadata={"tags": list(tags)}),
        ]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), self.sources / f"{name}.ipynb")

    def execute(self, notebook: Path, target: Path, parameters: dict) -> None:
        self.executed.append(notebook.stem)
        names = {
            "write": lambda name, text: (self.run.root / name).write_text(text),
            "read": lambda name: (self.run.root / name).read_text(),
            "metric": lambda key, value: self.run.update_metrics({key: value}),
        }
        for code in code_cells(notebook):
            exec(code, names)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(notebook.read_bytes())

    def make(self) -> list[str]:
        """Run what is not up to date and return its names."""
        self.executed.clear()
        pipeline.run_all(self.run, "smoke", None)
        return list(self.executed)


@pytest.fixture
def study(tmp_path, monkeypatch):
    study = Study(tmp_path)
    monkeypatch.setattr(stages, "NOTEBOOKS", study.sources)
    monkeypatch.setattr(pipeline, "STAGES", (WORDS, COUNT))
    monkeypatch.setattr(pipeline, "execute", study.execute)
    monkeypatch.setattr(pipeline, "build_report", lambda run: None)
    monkeypatch.setattr(pipeline, "report_is_current", lambda run: True)
    monkeypatch.setattr(pipeline, "publish", lambda run: False)
    monkeypatch.setattr(pipeline, "text_table", lambda run: "the table")
    assert study.make() == ["01_words", "02_count"]
    return study


def test_a_second_run_does_nothing(study, capsys):
    assert study.make() == []
    printed = capsys.readouterr().out
    assert "[2/2] 02_count: up to date" in printed
    assert "the table" in printed
    assert "report/index.html" in printed


def test_a_missing_output_is_rebuilt_and_the_same_content_forces_no_later_stage(study):
    (study.run.root / "words.txt").unlink()
    assert study.make() == ["01_words"]


def test_other_content_of_an_earlier_stage_forces_the_later_one(study):
    study.write("01_words", 'write("words.txt", "one two three"); metric("personas", {"n": 3})')
    assert study.make() == ["01_words", "02_count"]
    assert (study.run.root / "count.txt").read_text() == "3"


def test_a_missing_executed_notebook_is_made_again(study):
    (study.run.notebooks / "02_count.ipynb").unlink()
    assert study.make() == ["02_count"]


def test_another_seed_or_preset_value_forces_the_stages_that_read_it(study):
    study.run = Run("toy", load_params("smoke", seed=7), study.run.root)
    assert study.make() == ["01_words", "02_count"]


def test_edited_prose_reaches_the_executed_notebook_without_running_it(study):
    code = code_cells(study.sources / "01_words.ipynb")[-1]
    study.write("01_words", code, prose="# A better title", tags=("hide-output",))
    assert study.make() == []
    executed = json.loads((study.run.notebooks / "01_words.ipynb").read_text())
    assert executed["cells"][0]["source"] in ("# A better title", ["# A better title"])
    assert executed["cells"][2]["metadata"]["tags"] == ["hide-output"]
    assert study.make() == []


def test_a_damaged_output_is_refused_and_left_as_it_is(study):
    damaged = study.run.root / "words.txt"
    damaged.write_text("one tw")
    with pytest.raises(UserError, match=r"words\.txt is not what stage 01_words wrote.*rm -r"):
        study.make()
    assert study.executed == []
    assert damaged.read_text() == "one tw"


def test_a_deleted_metrics_file_is_put_back_and_a_changed_one_is_refused(study):
    before = study.run.read_metrics()
    study.run.metrics.unlink()
    assert study.make() == []
    assert study.run.read_metrics() == before
    study.run.update_metrics({"trees": {"n": 3.5}})
    with pytest.raises(UserError, match="`trees` is not what stage 02_count wrote"):
        study.make()


def test_the_analysis_alone_puts_numbers_of_earlier_stages_back(study):
    whole = study.run.read_metrics()
    study.run.metrics.unlink()
    pipeline.redo_analysis(study.run, "smoke", None)
    assert study.run.read_metrics() == whole


def test_an_interrupted_stage_runs_again_and_is_not_taken_for_damage(study):
    study.write("01_words", 'write("words.txt", "half"); raise KeyboardInterrupt')
    with pytest.raises(KeyboardInterrupt):
        study.make()
    study.write("01_words", 'write("words.txt", "one two"); metric("personas", {"n": 2})')
    assert study.make() == ["01_words"]


@pytest.mark.parametrize("finished", [False, True], ids=["never finished", "once finished"])
def test_a_run_that_replies_do_not_do_for_ends_with_a_report_unless_it_has_a_finished_one(study, monkeypatch, finished):
    built = []
    monkeypatch.setattr(pipeline, "build_report", lambda run, stopped: built.append(stopped))
    if finished:
        study.run.record_stage("report", [], [])
    study.write("02_count", "from aloe.errors import NotEnough\nraise NotEnough('0 of 3 words.')")
    with pytest.raises(NotEnough, match=r"^0 of 3 words\.") as caught:
        study.make()
    assert built == ([] if finished else [("02_count", "0 of 3 words.")])
    assert ("index.html" in str(caught.value)) is not finished


def test_a_stage_that_leaves_a_declared_output_out_is_not_done(study):
    study.write("02_count", 'metric("trees", {"n": 0})')
    (study.run.root / "count.txt").unlink()
    with pytest.raises(RuntimeError, match=r"02_count ended without writing .*count\.txt"):
        study.make()


def test_files_that_a_stage_leaves_besides_the_declared_ones_are_watched_too(study):
    study.write("02_count", 'write("extra.csv", "a"); write("count.txt", "2"); metric("trees", {"n": 2.5})')
    assert study.make() == ["02_count"]
    (study.run.root / "extra.csv").unlink()
    assert study.make() == ["02_count"]


def test_the_recipe_follows_imports_through_modules_and_leaves_the_sandbox_out_of_real_runs():
    code = ["%matplotlib inline\nfrom aloe.benchmark import score\nimport numpy"]
    simulated, real = imported_modules(code), imported_modules(code, simulated=False)
    assert {"aloe.benchmark", "aloe.records", "aloe.chat"} <= real
    assert any(name.startswith("aloe.sandbox") for name in simulated)
    assert not any(name.startswith("aloe.sandbox") for name in real)


def test_comments_docstrings_and_layout_of_a_module_are_not_part_of_the_recipe(tmp_path):
    (tmp_path / "aloe").mkdir()
    module = tmp_path / "aloe" / "thing.py"
    hashes = []
    for text in ('"""A."""\nX = 1\n', '"""Other words."""\n\nX = 1  # one\n', '"""A."""\nX = 2\n'):
        module.write_text(text)
        hashes.append(source_hash(module))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_reads_files_that_are_shipped_or_written_by_an_earlier_stage(stage):
    run = Run("toy", load_params("smoke"), Path("/nowhere"))
    earlier = {run.root / name for other in STAGES[: STAGES.index(stage)] for name in other.writes}
    if stage.name == "07_aloe_analysis":
        earlier.add(run.further_verdicts)  # which the benchmark leaves where a preset has further judges, as this one
    for path in stages.inputs(stage, run):
        assert path in earlier or path.exists(), path


def test_the_seven_notebooks_are_the_stages_in_order():
    run = Run("sandbox", load_params("sandbox"), Path("/nowhere"))
    assert [stage.notebook(run) for stage in STAGES] == sorted(stages.NOTEBOOKS.glob("[0-9]*.ipynb"))


def test_a_change_of_the_judge_reruns_the_benchmark_but_no_training():
    sandbox, other = (Run("toy", load_params(name), Path("/nowhere")) for name in ("sandbox", "paper-llama3-8b"))
    by_name = {stage.name: stage for stage in STAGES}
    keys = {name: set(recipe(stage, sandbox)) for name, stage in by_name.items()}
    assert "params roles.alignment_judge" in keys["06_aloe_benchmark"]
    assert not any("roles" in key for key in keys["04_sft"] | keys["05_dpo"])
    assert recipe(by_name["03_dialogue_trees"], sandbox) != recipe(by_name["03_dialogue_trees"], other)


def test_what_decides_about_a_training_reruns_it_and_no_stage_before_it():
    run = Run("toy", load_params("smoke"), Path("/nowhere"))
    parts = {stage.name: set(recipe(stage, run)) for stage in STAGES}
    decisive = {"aloe.recipes", "aloe.departures", "aloe.losses", "aloe.mixes", "aloe.training", "aloe.trainers"}
    assert decisive <= parts["04_sft"] & parts["05_dpo"]
    for name in parts.keys() - {"04_sft", "05_dpo"}:
        assert not decisive & parts[name], name
    assert not {"aloe.resuming", "aloe.room", "aloe.watching", "aloe.preset_data"} & set.union(*parts.values())
    assert [name for name, own in parts.items() if "aloe.figures" in own] == ["07_aloe_analysis"]
    evidence = {stage.name: set(recipe(stage, Run("toy", load_params("evidence"), run.root))) for stage in STAGES}
    assert decisive - {"aloe.recipes"} <= evidence["06_aloe_benchmark"]  # which trains small models too


def make_notebook(path: Path, code: str) -> Path:
    cells = [
        nbformat.v4.new_code_cell('preset = "smoke"\nseed = None', metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
        nbformat.v4.new_markdown_cell("old words"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_an_executed_notebook_has_its_parameters_and_new_prose_can_be_put_in(tmp_path):
    notebook = make_notebook(tmp_path / "a.ipynb", "import os\nprint(preset, seed, os.path.isfile('pyproject.toml'))")
    target = tmp_path / "out" / "a.ipynb"
    execute(notebook, target, {"preset": "sandbox", "seed": 3})
    assert not list(target.parent.glob("*.failed.ipynb"))
    notebook.write_text(notebook.read_text().replace("old words", "new words"))
    refresh_prose(notebook, target)
    cells = nbformat.read(target, as_version=4).cells
    assert [cell.metadata.get("tags") for cell in cells[:2]] == [["parameters"], ["injected-parameters"]]
    assert cells[2].outputs[0].text == "sandbox 3 True\n"
    assert cells[3].source == "new words"


@pytest.mark.parametrize("error", ["aloe.errors.UserError", "aloe.clients.AskError"])
def test_a_user_error_in_a_cell_comes_out_as_its_sentence_and_leaves_no_finished_notebook(tmp_path, error):
    module, name = error.rsplit(".", 1)
    code = f"from {module} import {name}\nraise {name}('seeds.jsonl, line 3: empty; fill it.')"
    target = tmp_path / "out" / "b.ipynb"
    target.parent.mkdir()
    target.write_text("the last good one")
    with pytest.raises(UserError, match=r"^seeds\.jsonl, line 3: empty; fill it\.$"):
        execute(make_notebook(tmp_path / "b.ipynb", code), target, {"preset": "smoke", "seed": None})
    assert target.read_text() == "the last good one"
    assert target.with_suffix(".failed.ipynb").is_file()


def test_an_error_of_one_job_among_many_comes_out_of_a_notebook_as_its_sentence(tmp_path, monkeypatch):
    preset = tmp_path / "keyed.yaml"
    preset.write_text(
        "extends: smoke\nendpoints:\n  simulated: {base_url: 'http://127.0.0.1:9/v1', api_key_env: NO_KEY}\n"
    )
    monkeypatch.delenv("NO_KEY", raising=False)
    code = f"""
from pathlib import Path
from aloe.asking import instruct
from aloe.chat import open_chat
from aloe.runs import open_run
run = open_run({str(preset)!r}, outputs=Path({str(tmp_path)!r}))
with open_chat(run) as chat:
    chat.run([lambda i=i: chat.ask("user", instruct(str(i))) for i in range(9)], "jobs")"""
    with pytest.raises(UserError, match="set the environment variable NO_KEY"):
        execute(make_notebook(tmp_path / "b.ipynb", code), tmp_path / "out.ipynb", {"preset": "smoke", "seed": None})


def test_not_enough_in_a_cell_stays_what_it_is(tmp_path):
    code = "from aloe.errors import NotEnough\nraise NotEnough('no pair')"
    with pytest.raises(NotEnough, match=r"^no pair$"):
        execute(make_notebook(tmp_path / "b.ipynb", code), tmp_path / "out.ipynb", {"preset": "smoke", "seed": None})


@pytest.mark.parametrize(
    ("code", "told"),
    [("1 / 0", "ZeroDivisionError"), ("import os\nos.kill(os.getpid(), 9)", "kernel died")],
    ids=["a bug", "a kill"],
)
def test_any_other_end_names_the_failed_notebook(tmp_path, code, told):
    target = tmp_path / "c.out.ipynb"
    with pytest.raises(NotebookFailed, match=told) as caught:
        execute(make_notebook(tmp_path / "c.ipynb", code), target, {"preset": "smoke", "seed": None})
    assert str(target.with_suffix(".failed.ipynb")) in str(caught.value)


@pytest.mark.parametrize("arguments", [["run", "--preset", "nope"], ["compare", "outputs/x", "outputs/y"]])
def test_a_mistake_of_the_user_is_one_sentence_and_exit_code_2(arguments, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert "Traceback" not in printed.err


def test_metrics_that_differ_in_cost_and_time_only_are_those_of_another_run_that_found_the_same(study):
    study.write(
        "02_count", 'write("count.txt", "2"); metric("trees", {"n": 2.5, "cost": {"usd": 1.0}, "seconds": 3.0})'
    )
    study.make()
    study.run.update_metrics({"trees": {"n": 2.5, "cost": {"usd": 0.0}, "seconds": 1.0}})
    assert study.make() == []
    study.run.update_metrics({"trees": {"n": 2.25, "cost": {"usd": 0.0}, "seconds": 1.0}})
    with pytest.raises(UserError, match="`trees` is not what stage 02_count wrote"):
        study.make()


@pytest.mark.parametrize("content", ["xx", "{}", '{"cells": [1]}'])
def test_a_damaged_executed_notebook_is_a_sentence(study, content):
    damaged = study.run.notebooks / "01_words.ipynb"
    damaged.write_text(content)
    with pytest.raises(UserError, match=r"01_words\.ipynb is damaged: it is no notebook"):
        study.make()
    damaged.unlink()
    assert study.make() == ["01_words"]


def test_errors_name_the_command_with_the_preset_and_the_seed_that_were_given(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("aloe.runs.open_run.__defaults__", (None, tmp_path / "outputs"))
    preset = tmp_path / "mine.yaml"
    preset.write_text("extends: smoke\n")
    assert main(["table", "--preset", str(preset), "--seed", "4"]) == 2
    assert f"run `make all PRESET={preset} SEED=4` first" in capsys.readouterr().err


def test_numbers_from_before_a_change_come_with_a_note(study, monkeypatch):
    monkeypatch.setattr("aloe.headline.STAGES", pipeline.STAGES)
    study.make()
    assert pipeline.outdated(study.run) is None
    study.write("02_count", 'write("count.txt", "3"); metric("trees", {"n": 2.5})')
    assert "to be run again, from 02_count (changed: " in pipeline.outdated(study.run)
    study.make()
    assert pipeline.outdated(study.run) is None


def test_cleaning_beside_a_run_is_refused_and_removes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("aloe.runs.open_run.__defaults__", (None, tmp_path))
    (tmp_path / "smoke").mkdir()
    (tmp_path / "smoke" / "kept.txt").write_text("kept")
    hold = "import sys, time; from pathlib import Path; from aloe.locks import Lock; Lock(Path(sys.argv[1]), 'It').acquire(); print(1, flush=True); time.sleep(60)"  # noqa: E501
    held = subprocess.Popen([sys.executable, "-c", hold, str(tmp_path / "smoke" / ".run.lock")], stdout=subprocess.PIPE)
    held.stdout.readline()
    assert main(["clean", "--preset", "smoke"]) == 2
    assert "is in use by process" in capsys.readouterr().err
    assert (tmp_path / "smoke" / "kept.txt").is_file()
    held.kill()
    held.wait()
    assert main(["clean", "--preset", "smoke"]) == 0
    assert not (tmp_path / "smoke" / "kept.txt").exists()


def test_numbers_of_a_run_that_is_not_at_its_end_come_with_a_note(tmp_path):
    every = {stage.name: {} for stage in STAGES}
    for manifest, said in (
        (None, "has 0 of 7"),
        ({"stages": {STAGES[0].name: {}, "report": {}}}, "has 1 of 7"),
        ({"stages": {**every, "report": {}}}, None),
    ):
        if manifest is not None:
            (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        found = note(tmp_path)
        assert found is None if said is None else said in found
