"""Dry runs from end to end: a real preset passes without key and network, and a wrong one stops where it is wrong."""

import os

import pytest

pytestmark = [pytest.mark.smoke, pytest.mark.slow]

NOWHERE = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
REMOVED = ("OPENAI_API_KEY", "NO_PROXY", "no_proxy", "PYTHONPATH")  # the last: kernels should import the copy


@pytest.fixture
def environment():
    """Without a key, and with every way to a network closed."""
    kept = {name: value for name, value in os.environ.items() if name not in REMOVED}
    return kept | NOWHERE | {name.lower(): value for name, value in NOWHERE.items()}


@pytest.mark.parametrize("preset", ["paper-mistral-7b", "paper-qwen2-7b-qlora", "paper-olmo-7b"])
def test_a_paper_preset_is_dry_run_to_its_end_without_key_or_network(untouched, environment, preset):
    done = untouched.aloe("dry", "--preset", preset, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    assert f"Dry run of {preset}: every stage ran" in done.stdout
    assert "its key OPENAI_API_KEY is NOT set" in done.stdout
    assert ("4-bit weights" in done.stdout) == preset.endswith("-qlora")
    assert [path.name for path in (untouched.root / "outputs").iterdir()] == [f"{preset}-dry"]


def test_a_preset_whose_dialogues_leave_nothing_to_learn_stops_before_anything_is_trained(untouched, environment):
    path = untouched.root / "mine.yaml"
    path.write_text("extends: paper-llama3-8b\ntrees: {branch: preferred}\n")
    done = untouched.aloe("dry", "--preset", str(path), env=environment)
    assert done.returncode == 2
    assert "stopped in 03_dialogue_trees: None of" in done.stderr
    assert "goes on with a rejected reply" in done.stderr
    assert "Traceback" not in done.stderr
