"""Two processes train what one does: to 1e-3, sharded or not, killed or not; started by a notebook or by hand."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from interrupted import toy_run
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import launching, training
from aloe.errors import UserError
from aloe.params import ROOT
from aloe.records import write_jsonl

pytestmark = pytest.mark.slow

TWO = "params/accelerate/two-processes.yaml"
SAME = 1e-3  # nats; the losses of either training move by 0.3 and more
HERE = Path(__file__).parent
TRAIN = "import sys, pickle; from aloe import training; run = pickle.load(open(sys.argv[1], 'rb')); "


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


def made(folder, base, launcher, method="full", **sft):
    run = toy_run(folder, base, {"learning_rate": 1e-2, "batch_size": 2, **sft}, launcher=launcher, method=method)
    write_jsonl(run.trees, TREES)
    return run


def both(run):
    """Both trainings of a run: summary and losses step by step, by policy."""
    found = {"sft_preferred": training.train_sft(run, "preferred"), "dpo": training.train_dpo(run)}
    tables = {name: pd.read_csv(run.training_log(name)) for name in found}
    return {name: (found[name], tables[name].loc[tables[name]["split"] == "train", "loss"].tolist()) for name in found}


@pytest.fixture(
    scope="module", params=[("full", False), ("lora", False), ("full", True)], ids=["full", "lora", "trees"]
)
def alone(request, base, tmp_path_factory):
    method, off_branch = request.param
    run = made(tmp_path_factory.mktemp("alone"), base, None, method, off_branch=off_branch)
    return method, off_branch, both(run)


@pytest.mark.parametrize("shared", [False, True], ids=["data-parallel", "sharded"])
def test_two_processes_reach_the_losses_of_one(alone, base, tmp_path, monkeypatch, capsys, shared):
    method, off_branch, expected = alone
    launcher = TWO
    if shared:
        settings = yaml.safe_load((ROOT / "params" / "accelerate" / "eight-gpus-fsdp.yaml").read_text())
        launcher = str(tmp_path / "fsdp.yaml")
        Path(launcher).write_text(yaml.safe_dump({**settings, "num_processes": 2}))
        monkeypatch.setenv("PYTHONPATH", str(HERE))
        monkeypatch.setattr(launching, "MODULE", "shards_without_gpu")
    found = both(made(tmp_path / "run", base, launcher, method, off_branch=off_branch))
    assert "loss" in capsys.readouterr().err  # the bar of the first process
    for name, (one, steps) in expected.items():
        two, others = found[name]
        assert others == pytest.approx(steps, abs=SAME), name
        assert max(steps) - min(steps) > 100 * SAME
        for key in {"train_loss", "loss_before", "loss_after", "margin"} & set(one):
            assert two[key] == pytest.approx(one[key], abs=SAME), (name, key)
        assert [two[key] for key in ("steps", "tokens", "repeated")] == [one[key] for key in ("steps", "tokens")] + [0]
        assert (one["settings"]["processes"], two["settings"]["processes"]) == (1, 2)


def workers():
    """The processes of a training that were started, directly or not, by this one."""
    found = psutil.Process().children(recursive=True)
    return [process for process in found if "--handed" in process.cmdline() and "aloe.train" in process.cmdline()
            and "accelerate.commands.launch" not in process.cmdline()]  # fmt: skip


def when_a_checkpoint_is_there(run, do):
    """Watch the run's SFT in a thread and `do` something once, as soon as there is something to go on from."""

    def watch():
        until = time.monotonic() + 300
        while time.monotonic() < until:
            if list(run.unfinished("sft_preferred").glob("checkpoint-*/trainer_state.json")):
                do()
                return
            time.sleep(0.05)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


LONG = {"epochs": 150.0, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    return training.train_sft(made(tmp_path_factory.mktemp("long") / "run", base, TWO, **LONG), "preferred")


@pytest.mark.parametrize("who", ["a process", "the notebook"])
def test_a_kill_ends_all_processes_and_the_training_goes_on(undisturbed, base, tmp_path, capsys, who):
    import pickle

    run = made(tmp_path / "run", base, TWO, **LONG)
    if who == "a process":
        thread = when_a_checkpoint_is_there(run, lambda: workers()[-1].send_signal(signal.SIGKILL))
        with pytest.raises(RuntimeError, match="sft_preferred in several processes ended"):
            training.train_sft(run, "preferred")
        thread.join()
    else:
        (tmp_path / "run.pickle").write_bytes(pickle.dumps(run))
        command = [sys.executable, "-c", TRAIN + "training.train_sft(run, 'preferred')", str(tmp_path / "run.pickle")]
        notebook = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        started = []
        thread = when_a_checkpoint_is_there(run, lambda: (started.extend(workers()), notebook.kill()))
        notebook.wait()
        thread.join()
        assert len(started) == 2
        _, alive = psutil.wait_procs(started, timeout=60)
        assert not alive
    assert not workers()
    capsys.readouterr()
    summary = training.train_sft(run, "preferred")
    assert "sft_preferred: goes on after step" in capsys.readouterr().out
    for key in ("train_loss", "loss_after"):
        assert summary[key] == pytest.approx(undisturbed[key], abs=1e-5), key
    assert summary["tokens"] == undisturbed["tokens"]


def test_what_a_process_cannot_do_is_said_once(base, tmp_path):
    run = made(tmp_path / "run", base, TWO, gradient_accumulation=1, batch_size=3)
    with pytest.raises(UserError, match="2 processes cannot share evenly") as told:
        training.train_sft(run, "preferred")
    assert str(told.value).count("cannot share") == 1


def test_rows_that_do_not_come_out_even_are_repeated_and_counted(base, tmp_path):
    run = made(tmp_path / "run", base, TWO, epochs=1.0)
    write_jsonl(run.trees, TREES[1:])
    summary = training.train_sft(run, "preferred")
    assert (summary["sequences"], summary["repeated"]) == (7, 1)


def test_what_was_trained_by_hand_is_taken_up_by_the_notebook(untouched):
    root, python = untouched.root, [sys.executable, "-m"]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    write_jsonl(root / "outputs" / "smoke" / "trees" / "trees.jsonl", TREES)

    def call(*words):
        return subprocess.run([*python, *words], cwd=root, env=environment, capture_output=True, text=True, timeout=550)

    launched = call(
        "accelerate.commands.launch", "--config_file", TWO, "--module", "aloe.train", "sft", "--preset", "smoke"
    )
    assert launched.returncode == 0, launched.stderr[-3000:]
    wrong = call("torch.distributed.run", "--nproc_per_node", "3", "-m", "aloe.train", "dpo", "--preset", "smoke")
    assert wrong.returncode != 0
    assert wrong.stderr.count("3 processes cannot share evenly") == 1
    launched = call("torch.distributed.run", "--nproc_per_node", "2", "-m", "aloe.train", "dpo", "--preset", "smoke")
    assert launched.returncode == 0, launched.stderr[-3000:]
    notebook = (
        "import json; from aloe import training; from aloe.runs import open_run; run = open_run('smoke'); "
        "training.train_here = None; "
        "print(json.dumps([training.train_sft(run, 'rejected'), training.train_dpo(run)]))"
    )
    done = subprocess.run([sys.executable, "-c", notebook], cwd=root, env=environment, capture_output=True, text=True)
    *said, summaries = done.stdout.splitlines()
    assert said == [f"{name}: was trained in 2 processes before, and is taken up." for name in ("sft_rejected", "dpo")]
    assert [summary["settings"]["processes"] for summary in json.loads(summaries)] == [2, 2]
    left = sorted(path.name for path in (root / "outputs" / "smoke" / "models").iterdir())
    assert left == [".trained", "dpo", "sft_preferred", "sft_rejected"]
