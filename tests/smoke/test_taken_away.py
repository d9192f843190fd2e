"""A finished run, exported and pushed as `make export` and `make push` do it: what arrives loads and is told."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(
    str(Path(__file__).resolve().parent.parent / "unit")
)  # the hub on this machine is that of the unit tests
import local_hub

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="module")
def folder(checkout):
    done = checkout.aloe("export", "--preset", "smoke")
    assert done.returncode == 0, done.stderr[-3000:]
    assert str(checkout.run / "export" / "dpo") in done.stdout
    return checkout.run / "export" / "dpo"


def test_what_is_exported_talks_in_the_three_lines_of_its_card(folder, tmp_path):
    card = (folder / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    assert len(lines.splitlines()) == 3
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-I", "-c", lines]  # plain transformers: nothing of this project is needed
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "'role': 'assistant'" in done.stdout


def test_its_card_has_the_numbers_of_the_run(checkout, folder):
    metrics = json.loads((checkout.run / "metrics.json").read_text())
    found = metrics["benchmark"]["policies"]["dpo"]
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| {found['al'][0]:.2f} | {found['al'][-1]:.2f} | {found['al_mean']:.2f} [" in card
    assert "**Simulated.**" in card
    assert "license: mit" in card
    assert str(checkout.root) not in card


def test_it_is_pushed_only_with_a_token_and_a_place_and_then_whole(checkout, folder):
    without = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = checkout.aloe("push", "--preset", "smoke", "--repo", "me/mine", env=without)
    assert (done.returncode, "HF_TOKEN" in done.stderr) == (2, True)
    with local_hub.serve() as hub:
        given = without | hub.environment | {"HF_TOKEN": local_hub.TOKEN}
        done = checkout.aloe("push", "--preset", "smoke", "--repo", "me/mine", env=given)
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"Pushed: {hub.url}/me/mine" in done.stdout
        sent = {path: content for path, content in hub.repositories["me/mine"].items() if path != ".gitattributes"}
    assert sent == {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert local_hub.TOKEN not in done.stdout + done.stderr


def test_an_export_is_no_result_of_a_stage(checkout, folder):
    done = checkout.aloe("run", "--preset", "smoke")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("up to date") == 7
