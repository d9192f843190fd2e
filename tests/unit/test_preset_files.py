"""What a preset names is read before anything is planned or run."""

import json

import pytest

from aloe.__main__ import main
from aloe.errors import UserError
from aloe.params import load_params
from aloe.preset_files import check_files


def preset(tmp_path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(f"extends: smoke\n{text}\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", ["smoke", "sandbox", "ablation", "paper-llama3-8b"])
def test_the_files_of_the_presets_here_are_whole(name):
    check_files(load_params(name))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("personas: {seed_profiles: no/such.jsonl}", "no/such.jsonl"),
        ("personas: {benchmark_profiles: no/such.jsonl}", "no/such.jsonl"),
        ("benchmark: {n_profiles: 400}", "20 texts, but at least 400 are needed"),
        ("training: {sft: {mix: {path: no/such.jsonl, share: 0.2}}}", "no/such.jsonl is no file of JSON lines"),
        ("training: {launcher: params/accelerate/no.yaml}", "no.yaml cannot be read"),
        ("training: {launcher: params/accelerate/eight-gpus.yaml, dpo: {batch_size: 3}}", "8 processes cannot share"),
        ("training: {launcher: params/smoke.yaml}", "it has no `distributed_type`"),
        (
            "training: {launcher: params/accelerate/eight-gpus-fsdp.yaml, backend: unsloth}",
            "backend: unsloth` does not go",
        ),
        (
            "training: {launcher: params/accelerate/eight-gpus-fsdp.yaml, method: lora, load_in_4bit: true}",
            "load_in_4bit` does not go",
        ),
    ],
    ids=[
        "no seeds",
        "no benchmark",
        "too few",
        "no mix",
        "no launcher",
        "a step not shared evenly",
        "no launcher either",
        "a shared model and Unsloth",
        "a shared model in four bits",
    ],
)
def test_what_is_wrong_with_a_file_shows_before_the_first_call(tmp_path, capsys, text, said):
    assert main(["plan", "--preset", preset(tmp_path, text)]) == 2
    planned = capsys.readouterr()
    assert said in planned.err
    assert planned.out == ""
    assert "Traceback" not in planned.err
    with pytest.raises(UserError, match=said):
        check_files(load_params(preset(tmp_path, text)))


def test_fewer_seeds_than_are_shown_at_once_are_refused(tmp_path):
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps({"id": f"seed-p{i}", "text": f"Ana is nurse {i}."}) + "\n" for i in range(6)))
    check_files(load_params(preset(tmp_path, f"personas: {{seed_profiles: {few}, shots: 6}}")))
    with pytest.raises(UserError, match="6 texts, but at least 7 are needed"):
        check_files(load_params(preset(tmp_path, f"personas: {{seed_profiles: {few}, shots: 7}}")))


@pytest.mark.parametrize("command", ["plan", "run", "table", "clean"])
def test_a_seed_that_is_no_number_is_a_sentence(capsys, command):
    assert main([command, "--preset", "smoke", "--seed", "abc"]) == 2
    assert capsys.readouterr().err == "error: SEED should be a whole number, got 'abc'.\n"
