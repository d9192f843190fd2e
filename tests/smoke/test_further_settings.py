"""The benchmark again, with models that were trained before: users who change, slots, a given first message."""

import json

import pytest

from aloe.records import Transcript, read_jsonl

pytestmark = pytest.mark.smoke

PRESET = """
extends: smoke
description: Another setting of the benchmark
models_from: smoke
benchmark: {n_profiles: 2, shift: {turn: 2}, opening: Hello, slots: aloe/data/benchmark_slots.jsonl}
"""


@pytest.fixture(scope="module")
def setting(checkout, tmp_path_factory):
    """A run beside the smallest one, which takes its models; its folder, and what it printed."""
    path = tmp_path_factory.mktemp("setting") / "setting.yaml"
    path.write_text(PRESET)
    done = checkout.aloe("run", "--preset", str(path))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return checkout.root / "outputs" / "setting", done.stdout, path


def test_nothing_is_trained_and_the_models_are_those_of_the_other_run(checkout, setting):
    root, printed, _ = setting
    for number, stage in enumerate(
        ("01_persona_seeds", "02_persona_expansion", "03_dialogue_trees", "04_sft", "05_dpo")
    ):
        assert f"[{number + 1}/7] {stage}: up to date" in printed
    weights = [folder / "models" / "dpo" / "model.safetensors" for folder in (root, checkout.run)]
    assert weights[0].samefile(weights[1])


def test_users_open_as_told_change_where_told_and_are_made_of_slots(setting):
    held = read_jsonl(Transcript, setting[0] / "benchmark" / "transcripts.jsonl")
    assert {t.messages[0].content for t in held} == {"Hello"}
    assert {t.shift.turn for t in held} == {2}
    assert all(t.shift.persona.profile_id != t.persona.profile_id for t in held)
    assert all(" name is " in t.persona.profile for t in held)


def test_fall_and_recovery_of_every_policy_stand_in_the_metrics_and_in_a_figure(setting):
    root, _, _ = setting
    found = json.loads((root / "metrics.json").read_text())["benchmark"]
    beside, found = found["shift_level_minus_told"], found["shift_level"]
    assert set(found) == {"base", "told", "sft_rejected", "sft_preferred", "dpo"}
    assert all({"fall", "fall_low", "recovery"} <= set(policy) for policy in found.values())
    assert set(beside) == set(found) - {"told"}
    assert beside["dpo"]["recovery"] == pytest.approx(found["dpo"]["recovery"] - found["told"]["recovery"])
    assert (root / "figures" / "shift_level.svg").is_file()


def test_a_second_run_has_nothing_to_do(checkout, setting):
    again = checkout.aloe("run", "--preset", str(setting[2]))
    assert again.returncode == 0
    assert "Taken from" not in again.stdout
    assert again.stdout.count("up to date") == 7
