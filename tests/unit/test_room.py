"""Room for a training: bytes by hand, refused if clearly too small, told if tight, silent otherwise."""

import dataclasses

import pytest

from aloe import room
from aloe.errors import UserError
from aloe.params import load_params


def training(**changes):
    return dataclasses.replace(load_params("smoke").training, **changes)


def test_what_a_training_needs_worked_out_by_hand():
    # full: weights, gradients, two moments; LoRA: weights, and those four of an adapter of 3%
    assert room.training_bytes(training(method="full"), 8e9, 2) == 4 * 16e9
    assert room.training_bytes(training(method="lora"), 8e9, 2) == pytest.approx(16e9 + 4 * 0.48e9)
    assert room.training_bytes(training(method="lora", load_in_4bit=True), 8e9, 2) == pytest.approx(4.4e9 + 1.92e9)
    # a checkpoint: what is trained and its two moments
    assert room.checkpoint_bytes(training(method="full"), 8e9, 2) == 48e9
    assert room.checkpoint_bytes(training(method="lora"), 8e9, 2) == pytest.approx(1.44e9)


@pytest.mark.parametrize("dtype, full, lora", [("float32", 4, 4), ("bfloat16", 4, 2), ("bfloat16_weights", 2, 2)])
def test_weights_that_are_trained_keep_32_bits_unless_it_is_said_otherwise(dtype, full, lora):
    assert [room.weight_bytes(training(dtype=dtype, method=method)) for method in ("full", "lora")] == [full, lora]


def test_memory_is_refused_if_too_small_and_told_if_tight(monkeypatch, capsys):
    def look(free):
        monkeypatch.setattr(room, "_free_memory", lambda on_gpu: free)
        room.refuse_without_memory("owner/model-8B", training(method="full"), 1, True, False)  # 4 x 8 GB
        return "tight" in capsys.readouterr().out

    with pytest.raises(UserError, match=r"need about 32\.0 GB on the GPU, and 31\.0 GB are free"):
        look(31e9)
    assert look(33e9)
    assert not look(40e9)


def test_a_model_of_unknown_size_is_not_refused(monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda on_gpu: 0.0)
    room.refuse_without_memory("owner/model", training(), 2, on_gpu=True, shared=False)


def test_of_a_model_that_processes_share_each_needs_room_for_the_weights(monkeypatch):
    monkeypatch.setattr(room, "_free_memory", lambda on_gpu: 40e9)
    room.refuse_without_memory("owner/model-8B", training(method="full"), 4, on_gpu=True, shared=True)
    monkeypatch.setattr(room, "_free_memory", lambda on_gpu: 31e9)
    with pytest.raises(UserError, match=r"The weights, which every .* about 32\.0 GB on the GPU") as refused:
        room.refuse_without_memory("owner/model-8B", training(method="full"), 4, on_gpu=True, shared=True)
    assert "launcher" not in str(refused.value)  # it has one


@pytest.mark.parametrize("minutes, free, refused", [(10.0, 111e9, True), (10.0, 113e9, False), (None, 17e9, False)])
def test_the_disk_must_hold_the_model_and_two_checkpoints(monkeypatch, tmp_path, minutes, free, refused):
    asked = []

    def usage(path):
        asked.append(path)
        return type("Usage", (), {"free": free})

    monkeypatch.setattr(room.shutil, "disk_usage", usage)
    settings = training(method="full", save_minutes=minutes)
    if refused:  # 16 + 2 x 48 GB
        with pytest.raises(
            UserError, match=r"two checkpoints need about 112\.0 GB on the disk that holds .*save_minutes"
        ):
            room.refuse_without_disk(tmp_path / "a" / "b", 8e9, settings, 2)
    else:
        room.refuse_without_disk(tmp_path / "a" / "b", 8e9, settings, 2)
    assert asked == [tmp_path]


def test_this_machine_has_room_for_the_small_model_and_says_nothing(tmp_path, capsys):
    settings = training()
    room.refuse_without_memory(settings.base_model, settings, 4, on_gpu=False, shared=False)
    room.refuse_without_disk(tmp_path, room.model_size(settings.base_model), settings, 4)
    assert capsys.readouterr().out == ""
