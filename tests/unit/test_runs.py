"""Runs: names, metrics, manifest, figures, whole folders and locks."""

import json
import signal
import subprocess
import sys
import time

import pytest

from aloe.__main__ import main
from aloe.errors import UserError
from aloe.folders import whole_folder
from aloe.locks import Lock
from aloe.params import ROOT
from aloe.provenance import fingerprint, git_commit, versions
from aloe.runs import OUTPUTS, open_run, split_of

HOLD = (
    "import sys, time; from pathlib import Path; from aloe.locks import Lock\nLock(Path(sys.argv[1]), 'It').acquire()"
)


@pytest.fixture
def run(tmp_path):
    return open_run("smoke", outputs=tmp_path)


def test_a_run_is_named_after_its_preset_and_the_seed_that_was_given():
    assert open_run("smoke").root == OUTPUTS / "smoke"
    assert open_run("smoke", 3).root == OUTPUTS / "smoke-seed3"
    assert open_run("smoke", 3).params.seed == 3


def test_opening_a_run_writes_nothing(run):
    assert not run.root.exists()


def test_every_place_lies_inside_the_run(run):
    places = [getattr(run, name) for name, kind in vars(type(run)).items() if isinstance(kind, property)]
    places += [run.model("dpo"), run.training_log("dpo")]
    assert len(set(places)) == len(places) >= 15
    assert all(place.is_relative_to(run.root) for place in places)


def test_a_journal_may_be_that_of_another_run_under_the_same_seed(tmp_path):
    preset = tmp_path / "mine.yaml"
    preset.write_text("extends: smoke\njournal: smoke\n")
    for seed in (None, 3):
        mine, smoke = (open_run(name, seed, outputs=tmp_path) for name in (str(preset), "smoke"))
        assert mine.journal == smoke.journal != open_run("sandbox", seed, outputs=tmp_path).journal
        assert mine.trees != smoke.trees
    assert open_run(str(preset), outputs=tmp_path).journal != open_run(str(preset), 3, outputs=tmp_path).journal


def test_an_id_tells_its_split():
    assert [split_of(name) for name in ("train-p012-t034", "dev-p003-t002", "bench-p07-t2")] == [
        "train",
        "dev",
        "bench",
    ]


def test_metrics_are_merged_key_by_key_below_each_section(run):
    run.update_metrics({"training": {"sft_preferred": {"loss": 1.0}, "dpo": {"loss": 2.0, "accuracy": 0.5}}})
    run.update_metrics({"training": {"dpo": {"loss": 3.0}}, "benchmark": {"n_cases": 8}})
    assert run.read_metrics() == {
        "preset": "smoke", "simulated": True, "seed": 0,
        "training": {"sft_preferred": {"loss": 1.0}, "dpo": {"loss": 3.0}}, "benchmark": {"n_cases": 8},
    }  # fmt: skip


def test_metrics_hold_no_nan(run):
    run.update_metrics({"a": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        run.update_metrics({"b": float("nan")})
    assert "b" not in run.read_metrics()


def test_metrics_that_are_missing_or_damaged_say_what_to_do(run):
    with pytest.raises(UserError, match="make all PRESET=smoke"):
        run.read_metrics()
    run.metrics.parent.mkdir(parents=True)
    run.metrics.write_text('{"a": ')
    with pytest.raises(UserError, match=r"is damaged.*delete it"):
        run.read_metrics()


def test_a_stage_is_recorded_with_hashes_of_what_it_read_and_wrote(run):
    assert run.read_manifest() == {}
    run.update_metrics({"a": 1})
    seed = ROOT / "params" / "smoke.yaml"
    run.record_stage("first", inputs=[seed], outputs=[run.metrics], seconds=1.5)
    run.record_stage("second", inputs=[run.metrics], outputs=[])
    manifest = run.read_manifest()
    assert list(manifest["stages"]) == ["first", "second"]
    first = manifest["stages"]["first"]
    assert first["inputs"] == {"params/smoke.yaml": fingerprint(seed)}
    assert first["outputs"] == manifest["stages"]["second"]["inputs"] == {"metrics.json": fingerprint(run.metrics)}
    assert first["seconds"] == 1.5
    assert (manifest["families"]["preference_judge"], manifest["self_judging"]) == ("simulated", [])
    assert manifest["params"]["trees"]["n_turns"] == run.params.trees.n_turns
    assert {"python", "torch", "transformers", "trl", "peft", "datasets", "openai"} <= set(manifest["versions"])


def test_a_missing_output_cannot_be_recorded(run):
    with pytest.raises(UserError, match=r"trees\.jsonl does not exist"):
        run.record_stage("first", inputs=[], outputs=[run.trees])


def test_a_fingerprint_is_the_sha256_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")  # the example of FIPS 180-2, appendix B.1
    assert fingerprint(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_fingerprint_of_a_folder_sees_names_and_bytes_but_no_hidden_files(tmp_path):
    seen = set()
    for name, text in (("a", "1"), ("b", "1"), ("b", "2")):
        for old in tmp_path.iterdir():
            old.unlink()
        (tmp_path / name).write_text(text)
        seen.add(fingerprint(tmp_path))
    (tmp_path / ".hidden").write_text("x")
    seen.add(fingerprint(tmp_path))
    assert len(seen) == 3


def test_what_cannot_be_known_is_none(tmp_path, monkeypatch):
    assert git_commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))  # no git at all
    assert git_commit(ROOT) is None
    monkeypatch.setattr("aloe.provenance.LIBRARIES", ("no-such-library",))
    assert versions()["no-such-library"] is None


def test_a_commit_is_told_with_whether_files_were_modified(tmp_path):
    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "outputs").mkdir()
    written = [tmp_path / name for name in ("README.md", "outputs/metrics.json")]  # by a run itself
    for path in (tmp_path / "x", *written):
        path.write_text("1")
    git("add", ".")
    git("commit", "-m", "first")
    clean = git_commit(tmp_path)
    for path in written:
        path.write_text("2")
    assert not clean.endswith("modified")
    assert git_commit(tmp_path) == clean
    (tmp_path / "x").write_text("2")
    assert git_commit(tmp_path) == f"{clean}-modified"
    (tmp_path / "inner").mkdir()
    assert git_commit(tmp_path / "inner") is None  # the commit of a folder around it says nothing


def test_the_same_figure_gives_the_same_bytes(run):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import pandas as pd
    from matplotlib.figure import Figure

    bytes_seen = []
    for _ in range(2):
        figure = Figure()
        figure.subplots().plot([1, 3, 2], label="toy")
        run.save_figure(figure, "toy", pd.DataFrame({"turn": [1, 2], "al": [1.5, 0.1 + 0.2]}))
        bytes_seen.append([(run.figures / f"toy.{kind}").read_bytes() for kind in ("svg", "png")])
    assert bytes_seen[0] == bytes_seen[1]
    assert (run.figures / "toy.csv").read_text() == "turn,al\n1,1.5\n2,0.30000000000000004\n"


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    place = tmp_path / "models" / "dpo"
    with whole_folder(place) as folder:
        (folder / "weights").write_text("old")
        assert not place.exists()
    with pytest.raises(FileNotFoundError), whole_folder(place) as folder:
        (folder / "weights").write_text("half") and (folder / "missing").read_text()
    assert (place / "weights").read_text() == "old"
    with whole_folder(place) as folder:
        (folder / "config").write_text("new")
    assert [path.name for path in place.iterdir()] == ["config"]
    assert list(place.parent.iterdir()) == [place]


def test_what_a_killed_process_left_of_a_folder_is_cleared_away(tmp_path):
    (tmp_path / ".dpo.999.new").mkdir()
    with whole_folder(tmp_path / "dpo"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["dpo"]


@pytest.fixture
def holder(tmp_path):
    """Another process that holds a lock; it says `held` when it does."""
    started = []

    def hold(path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD + "\nprint('held', flush=True); time.sleep(60)", str(path)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_lock_says_whose_it_is_and_vanishes_with_its_process(tmp_path, holder):
    other = holder(tmp_path / "lock")
    with pytest.raises(UserError, match=rf"It is in use by process {other.pid} on .* \(user .*, since 20"):
        Lock(tmp_path / "lock", "It").acquire(wait=False)
    other.send_signal(signal.SIGKILL)
    other.wait()
    with Lock(tmp_path / "lock", "It"):
        assert "pid" in json.loads((tmp_path / "lock").read_text())


def test_waiting_for_a_lock_prints_one_line(tmp_path, holder):
    other = holder(tmp_path / "lock")
    program = HOLD + "; print('mine', flush=True)"
    waiting = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert f"in use by process {other.pid}" in waiting.stdout.readline()
    time.sleep(0.6)  # more than two tries
    other.kill()
    assert waiting.communicate(timeout=20)[0] == "mine\n"


def test_a_process_may_take_its_own_lock_twice(tmp_path, holder):
    inner = Lock(tmp_path / "lock", "It")
    with Lock(tmp_path / "lock", "It"):
        inner.acquire(wait=False)
        inner.release()
        program = HOLD.replace("acquire()", "acquire(wait=False)")
        refused = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / "lock")], capture_output=True, text=True, cwd=ROOT
        )
        assert "is in use by process" in refused.stderr
    inner.release()  # once too often does nothing
    holder(tmp_path / "lock")


FIRST = "run `make all PRESET=smoke` first"


@pytest.mark.parametrize("command, said", [
    ("figures", FIRST), ("report", FIRST), ("table", FIRST), ("export", FIRST), ("journal", "nothing has been asked"),
])  # fmt: skip
def test_what_reads_a_run_makes_no_folder_for_one_that_does_not_exist(monkeypatch, tmp_path, capsys, command, said):
    monkeypatch.setattr("aloe.runs.open_run.__defaults__", (None, tmp_path))
    assert main([command, "--preset", "smoke"]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_whole_folder_can_be_read_by_whom_the_folder_can(tmp_path):
    with whole_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("w")
        (folder / "weights").chmod(0o600)
    assert (tmp_path / "model" / "weights").stat().st_mode & 0o666 == (tmp_path / "model").stat().st_mode & 0o666
