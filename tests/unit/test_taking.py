"""A run that takes another one's models: what is linked, what counts as done, and when nothing is taken."""

import dataclasses
import json
from pathlib import Path

import pytest

from aloe import pipeline, stages, taking
from aloe.errors import UserError
from aloe.launching import Job, taken_up
from aloe.notebook_code import code_cells
from aloe.params import Arms, SftArm, load_params
from aloe.recipes import CORRECTED
from aloe.runs import Run
from aloe.stages import STAGES, Stage

TRAIN = Stage("04_sft", ("seed",), (), ("models/base", "words.txt"), ("training.sft_preferred",))
ASK = Stage("06_aloe_benchmark", ("seed", "benchmark"), ("models/base",), ("scores.txt",), ("cost",))


class Study:
    """A stage that trains and one that asks; their notebooks run in this process."""

    def __init__(self, folder: Path) -> None:
        self.sources, self.executed = folder / "notebooks", []
        self.sources.mkdir()
        params = load_params("smoke")
        self.source = Run("smoke", params, folder / "outputs" / "smoke")
        taker = dataclasses.replace(params, name="other", models_from="smoke")
        self.run = Run("other", taker, folder / "outputs" / "other")
        self.code("04_sft", 'write("models/base/weights", "w1"); write("words.txt", "one"); '
                  'metric({"training": {"sft_preferred": {"loss": 1.5}}})')  # fmt: skip
        self.code(
            "06_aloe_benchmark", 'write("scores.txt", read("models/base/weights")); metric({"cost": {"calls": 1}})'
        )

    def code(self, name: str, source: str) -> None:
        cells = [{"cell_type": "code", "id": "a", "metadata": {}, "source": [source]}]
        (self.sources / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))

    def make(self, run: Run) -> list[str]:
        def execute(notebook: Path, target: Path, parameters: dict) -> None:
            own = next(each for each in (run, self.source) if target.is_relative_to(each.root))

            def write(name: str, text: str) -> None:
                (own.root / name).parent.mkdir(parents=True, exist_ok=True)
                (own.root / name).unlink(missing_ok=True)  # as the stages do: a file is replaced, never written into
                (own.root / name).write_text(text)

            self.executed.append(notebook.stem)
            names = {"write": write, "read": lambda n: (own.root / n).read_text(), "metric": own.update_metrics}
            for code in code_cells(notebook):
                exec(code, names)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(notebook.read_bytes())

        pipeline.execute = execute  # put back by monkeypatch, which set it first
        self.executed.clear()
        pipeline.run_all(run, run.params.name, None)
        return list(self.executed)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "STAGES", (TRAIN, ASK))
    monkeypatch.setattr(taking, "TAKEN", (TRAIN,))
    for name, value in (("execute", None), ("build_report", None), ("report_is_current", lambda run: True),
                        ("publish", lambda run: False), ("text_table", lambda run: "the table")):  # fmt: skip
        monkeypatch.setattr(pipeline, name, value)
    study = Study(tmp_path)
    monkeypatch.setattr(stages, "NOTEBOOKS", study.sources)
    return study


def test_the_stages_before_the_benchmark_are_the_ones_that_are_taken():
    assert [stage.name for stage in taking.TAKEN] == [stage.name for stage in STAGES[:5]]
    assert not {"06_aloe_benchmark", "07_aloe_analysis"} & {stage.name for stage in taking.TAKEN}


def test_models_are_linked_and_only_what_comes_after_is_run(study, capsys):
    assert study.make(study.source) == ["04_sft", "06_aloe_benchmark"]
    assert study.make(study.run) == ["06_aloe_benchmark"]
    printed = capsys.readouterr().out
    assert "Taken from" in printed
    assert "[1/2] 04_sft: up to date" in printed
    assert (study.run.root / "scores.txt").read_text() == "w1"
    weights = [run.model("base") / "weights" for run in (study.source, study.run)]
    assert weights[0].samefile(weights[1])
    assert study.run.read_metrics()["training"] == {"sft_preferred": {"loss": 1.5}}
    assert study.run.read_metrics()["preset"] == "other"
    assert study.make(study.run) == []
    assert "Taken from" not in capsys.readouterr().out


def test_the_time_of_taken_stages_is_told_apart(study, capsys):
    study.make(study.source)
    study.make(study.run)
    for run, seconds in ((study.source, 61), (study.run, 5)):
        manifest = run.read_manifest()
        manifest["stages"]["06_aloe_benchmark"]["seconds"] = seconds
        manifest["stages"]["04_sft"]["seconds"] = 130.4
        run.manifest.write_text(json.dumps(manifest))
    capsys.readouterr()
    study.make(study.source)
    assert "Stages: 3 min 11 s in all; largest" in capsys.readouterr().out
    study.make(study.run)
    assert f"Stages: 0 min 05 s, and 2 min 10 s in {study.source.name} before; largest" in capsys.readouterr().out


SFT = ('for name in ("sft_preferred", "sft_rejected"): write(f"models/{name}/weights", name)\n'
       'write("words.txt", "one"); write("models/base/weights", "w1")\n'
       'summary = {"loss": 1.5, "settings": {"processes": 1}}\n'
       'metric({"training": {"sft_preferred": summary, "sft_rejected": summary}})')  # fmt: skip


@pytest.fixture
def with_arm(study, monkeypatch):
    """The study with a further arm in the run that takes; its notebook leaves what it found to be trained before."""
    train = dataclasses.replace(TRAIN, params=("seed", "arms.sft"))
    monkeypatch.setattr(pipeline, "STAGES", (train, ASK))
    monkeypatch.setattr(taking, "TAKEN", (train,))
    params = study.run.params
    arm = SftArm(CORRECTED, params.training.sft)
    study.run = dataclasses.replace(study.run, params=dataclasses.replace(params, arms=Arms(sft={"other_sft": arm})))
    study.code("04_sft", SFT)
    return study


def test_where_this_run_has_a_further_arm_all_others_are_taken_and_its_notebook_is_run(with_arm, capsys):
    assert with_arm.make(with_arm.source) == ["04_sft", "06_aloe_benchmark"]
    assert with_arm.make(with_arm.run) == ["04_sft", "06_aloe_benchmark"]
    assert "all but the arms of 04_sft" in capsys.readouterr().out
    own, other = (Job(with_arm.run, "sft", name) for name in ("sft_preferred", "other_sft"))
    assert taken_up(other) is None
    # The toy notebook writes its models anew instead of taking them up, as the real one does; same weights, same hash.
    assert taken_up(own) == {"loss": 1.5, "settings": {"processes": 1}}
    assert with_arm.make(with_arm.run) == []


def test_models_of_other_data_are_not_taken_because_there_is_an_arm(with_arm):
    with_arm.make(with_arm.source)
    other = dataclasses.replace(with_arm.run, params=dataclasses.replace(with_arm.run.params, seed=9))
    with pytest.raises(UserError, match=r"changed: params arms.sft, params seed"):
        with_arm.make(other)
    assert with_arm.executed == []


def test_taken_models_take_the_place_of_those_of_before(with_arm):
    with_arm.make(with_arm.source)
    with_arm.make(with_arm.run)
    with_arm.code("04_sft", SFT.replace('"one"', '"two"').replace("1.5", "0.5"))
    with_arm.make(with_arm.source)
    assert with_arm.make(with_arm.run) == ["04_sft"]  # the same weights, so nobody is asked again
    assert (with_arm.run.root / "words.txt").read_text() == "two"
    assert taken_up(Job(with_arm.run, "sft", "sft_preferred"))["loss"] == 0.5


def test_metrics_that_are_gone_come_back_with_those_of_arms_and_of_what_only_some_presets_ask(with_arm, monkeypatch):
    monkeypatch.setattr(pipeline, "STAGES", (pipeline.STAGES[0], dataclasses.replace(ASK, perhaps=("fallbacks",))))
    with_arm.code("04_sft", SFT + '\nmetric({"training": {"other_sft": summary}})')
    with_arm.code(
        "06_aloe_benchmark", 'write("scores.txt", "a"); metric({"cost": {"calls": 1}, "fallbacks": {"a": 2}})'
    )
    with_arm.make(with_arm.source)
    with_arm.make(with_arm.run)
    held = with_arm.run.read_metrics()
    with_arm.run.metrics.unlink()
    assert with_arm.make(with_arm.run) == []
    found = with_arm.run.read_metrics()
    assert found["fallbacks"] == held["fallbacks"] == {"a": 2}
    assert found["training"]["other_sft"] == held["training"]["other_sft"]


def test_what_the_other_run_makes_anew_is_taken_anew(study):
    study.make(study.source)
    study.make(study.run)
    study.code("04_sft", 'write("models/base/weights", "w2"); write("words.txt", "two"); '
               'metric({"training": {"sft_preferred": {"loss": 0.5}}})')  # fmt: skip
    assert study.make(study.source) == ["04_sft", "06_aloe_benchmark"]
    assert study.make(study.run) == ["06_aloe_benchmark"]
    assert (study.run.root / "scores.txt").read_text() == "w2"
    assert study.run.read_metrics()["training"]["sft_preferred"]["loss"] == 0.5


def test_a_file_that_is_gone_is_linked_again(study):
    study.make(study.source)
    study.make(study.run)
    (study.run.root / "words.txt").unlink()
    assert study.make(study.run) == []
    assert (study.run.root / "words.txt").read_text() == "one"


def test_a_simulated_run_that_is_not_there_is_run_first(study, capsys):
    assert study.make(study.run) == ["04_sft", "06_aloe_benchmark", "06_aloe_benchmark"]
    said = capsys.readouterr().out
    assert "other takes the models of smoke, which is not at its end here, so that is run first" in said
    assert (study.source.root / "scores.txt").is_file()
    assert study.make(study.run) == []
    assert "run first" not in capsys.readouterr().out


def test_one_with_real_models_is_not_run_unasked_and_the_command_is_named(study):
    real = dataclasses.replace(study.run, params=dataclasses.replace(study.run.params, simulated=False))
    with pytest.raises(UserError, match=r"has no models to take.*run `make all PRESET=smoke` first"):
        study.make(real)
    assert study.executed == []


def test_models_that_this_preset_would_have_made_otherwise_are_refused(study):
    study.make(study.source)
    other = dataclasses.replace(study.run, params=dataclasses.replace(study.run.params, seed=9))
    with pytest.raises(UserError, match=r"04_sft is not what other takes .*changed: params seed"):
        study.make(other)
    assert study.executed == []
    assert not (study.run.root / "models").exists()


def test_damaged_models_are_refused(study):
    study.make(study.source)
    (study.source.model("base") / "weights").write_text("w?")
    with pytest.raises(UserError, match=r"smoke/models/base is not what stage 04_sft wrote"):
        study.make(study.run)
    assert study.executed == []


def test_where_a_disk_knows_no_links_files_are_copied(study, monkeypatch):
    def no_link(path, target):
        raise OSError("no links here")

    study.make(study.source)
    monkeypatch.setattr(taking.os, "link", no_link)
    study.make(study.run)
    weights = [run.model("base") / "weights" for run in (study.source, study.run)]
    assert weights[0].read_text() == weights[1].read_text()
    assert not weights[0].samefile(weights[1])


def test_a_seed_takes_from_the_run_with_the_same_seed(tmp_path):
    params = dataclasses.replace(load_params("smoke", seed=3), name="other", models_from="smoke")
    source = taking.source_of(Run("other-seed3", params, tmp_path / "other-seed3"))
    assert (source.name, source.root) == ("smoke-seed3", tmp_path / "smoke-seed3")
    assert source.command() == "make all PRESET=smoke SEED=3"
