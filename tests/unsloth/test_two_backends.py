"""Unsloth's branch of the code on a CPU: the same losses as the plain backend. `make unsloth-check` runs it."""

import ast
import importlib.util
import inspect
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from aloe import checkpoints
from aloe.params import ROOT

pytestmark = pytest.mark.unsloth
SCRIPT = Path(__file__).with_name("two_steps.py")
SAME = 1e-3  # nats; the second step of each training moves the loss by 0.4 and more


@pytest.fixture(scope="module", params=["full", "lora"])
def both(request, tmp_path_factory):
    """What either backend made of the same two trainings, by its name."""
    return {name: trained(name, request.param, tmp_path_factory.mktemp(name)) for name in ("transformers", "unsloth")}


def trained(backend, method, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(SCRIPT), backend, method, str(folder)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{backend}, {method}:\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def test_each_backend_is_the_one_that_was_named_and_unsloth_comes_before_what_it_patches(both):
    for name, found in both.items():
        assert found["early"] == (name == "unsloth")
        assert {found[stage]["settings"]["backend"] for stage in ("sft_preferred", "dpo")} == {name}


@pytest.mark.parametrize("stage, keys", [
    ("sft_preferred", ["loss_before", "train_loss", "loss_after"]),
    ("dpo", ["train_loss", "loss_after", "margin"]),
])  # fmt: skip
def test_two_steps_through_both_backends_have_the_same_losses(both, stage, keys, capsys):
    plain, unsloth = (both[name][stage] for name in ("transformers", "unsloth"))
    steps, others = (losses(found["table"]) for found in (plain, unsloth))
    with capsys.disabled():
        print(f"\n{stage}, {plain['settings']['method']}: plain {steps}, Unsloth {others}")
    assert len(steps) == len(others) == 2
    assert steps == pytest.approx(others, abs=SAME)
    assert abs(steps[1] - steps[0]) > 100 * SAME
    for key in keys:
        assert plain[key] == pytest.approx(unsloth[key], abs=SAME), key
    same = ("steps", "tokens", "settings")
    assert [plain[key] for key in same[:2]] == [unsloth[key] for key in same[:2]]
    assert {**plain["settings"], "backend": ""} == {**unsloth["settings"], "backend": ""}


@pytest.mark.parametrize("function, module, owner", [
    ("from_pretrained", "models/loader.py", "FastLanguageModel"),
    ("get_peft_model", "models/llama.py", "FastLlamaModel"),
])  # fmt: skip
def test_the_class_that_a_gpu_uses_takes_every_argument_too(function, module, owner):
    # The CPU's class takes anything. That of a GPU cannot be imported here, but it can be read.
    spec = importlib.util.find_spec("unsloth")
    source = ast.parse(Path(spec.submodule_search_locations[0], module).read_text(encoding="utf-8"))
    [cls] = [node for node in source.body if isinstance(node, ast.ClassDef) and node.name == owner]
    [taken] = [node.args for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == function]
    ours = ast.parse(inspect.getsource(checkpoints._load_with_unsloth))
    calls = [
        node for node in ast.walk(ours) if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == function
    ]
    [given] = [{keyword.arg for keyword in call.keywords} for call in calls]
    assert given <= {argument.arg for argument in (*taken.args, *taken.kwonlyargs)}


def losses(table):
    """Loss of each step of a training's table."""
    frame = pd.read_csv(io.StringIO(table))
    return frame.loc[frame["split"] == "train", "loss"].tolist()
