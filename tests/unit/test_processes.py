"""Several processes: which examples each has of a step, how they are started, and what of theirs is taken up."""

import dataclasses
import os

import pytest
import yaml
from interrupted import toy_run
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import checkpoints, launching, processes, training
from aloe.errors import UserError
from aloe.launching import Job
from aloe.params import ROOT
from aloe.records import write_jsonl

LAUNCHERS = sorted((ROOT / "params" / "accelerate").glob("*.yaml"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def run(base, tmp_path):
    run = toy_run(tmp_path / "run", base, sft={"epochs": 1.0}, save_minutes=None)
    write_jsonl(run.trees, TREES)
    return run


@pytest.mark.parametrize("batch_size, accumulation, n, expected", [
    (4, 12, 1, (4, 12)),
    (4, 12, 2, (4, 6)),
    (2, 24, 8, (2, 3)),
    (4, 12, 8, (3, 2)),  # 6 each: not in fours
    (8, 1, 2, (4, 1)),  # nothing is gathered: each has half a batch
])  # fmt: skip
def test_a_step_has_as_many_examples_in_several_processes(batch_size, accumulation, n, expected):
    assert processes.share("sft", batch_size, accumulation, n) == expected
    assert expected[0] * expected[1] * n == batch_size * accumulation


def test_a_step_that_cannot_be_shared_is_a_sentence():
    with pytest.raises(UserError, match=r"`training.dpo` has 48 examples .* 5 processes cannot share"):
        processes.share("dpo", 4, 12, 5)


@pytest.mark.parametrize("n_processes", [2, 3, 8])
def test_steps_hold_the_same_examples_and_the_repeated_ones_are_counted(n_processes):
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    for n_rows in range(24, 60):
        share = processes.share("sft", 4, 6, n_processes)
        shards = [
            list(BatchSamplerShard(BatchSampler(range(n_rows), share.batch_size, False), n_processes, own))
            for own in range(n_processes)
        ]
        whole = n_rows // 24
        for step in range(whole):
            part = slice(step * share.accumulation, (step + 1) * share.accumulation)
            assert sorted(row for shard in shards for batch in shard[part] for row in batch) == [
                *range(24 * step, 24 * (step + 1))
            ]
        rows = [row for shard in shards for batch in shard for row in batch]
        assert set(rows) == set(range(n_rows))
        assert len(rows) - n_rows == processes.repeated(n_rows, share.batch_size, n_processes)


def test_who_is_alone_is_the_first_of_one(monkeypatch):
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert (processes.count(), processes.rank()) == (1, 0)
    monkeypatch.setenv("WORLD_SIZE", "4")  # of a batch system, whose job is a single notebook
    assert (processes.count(), processes.rank()) == (1, 0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "3")
    assert (processes.count(), processes.rank()) == (4, 3)


@pytest.mark.parametrize("path", LAUNCHERS, ids=lambda path: path.stem)
def test_accelerate_reads_every_launcher(path):
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

    found = load_config_from_file(str(path))
    assert found.num_processes % found.num_machines == 0
    assert found.num_processes > 1
    shards = found.distributed_type == DistributedType.FSDP
    assert shards == path.stem.endswith("-fsdp")
    taken = {field.name for field in dataclasses.fields(FullyShardedDataParallelPlugin)}
    renamed = {"fsdp_offload_params": "cpu_offload"}
    assert {renamed.get(key, key) for key in found.fsdp_config} <= taken | {f"fsdp_{name}" for name in taken}


def test_processes_that_share_a_model_take_the_plain_backend(monkeypatch, run):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert checkpoints.choose_backend("auto") == "transformers"
    with pytest.raises(UserError, match=r"share one model \(FSDP\)"):
        checkpoints.choose_backend("unsloth")


def test_several_machines_are_told_which_command_each_of_them_needs(run):
    with pytest.raises(UserError, match=r"2 machines .*--machine_rank RANK .* aloe.train sft --preset smoke --seed 0`"):
        launching.launch(Job(run, "sft", "sft_preferred"), "params/accelerate/two-machines.yaml")
    own = dataclasses.replace(run, name="mine", params=dataclasses.replace(run.params, name="mine"))
    with pytest.raises(UserError, match=r"aloe.train dpo --preset FOLDER/mine.yaml`"):
        launching.launch(Job(own, "dpo", "dpo"), "params/accelerate/two-machines.yaml")


@pytest.mark.parametrize("place", ["eight-gpus", "two-machines"])
def test_a_launcher_that_shares_a_model_is_the_other_one_with_a_section_more(place):
    folder = ROOT / "params" / "accelerate"
    whole, shared = (yaml.safe_load((folder / f"{place}{end}.yaml").read_text()) for end in ("", "-fsdp"))
    settings = shared.pop("fsdp_config")
    assert shared == {k: v for k, v in whole.items() if k != "gpu_ids"} | {"distributed_type": "FSDP"}
    assert settings == yaml.safe_load((folder / "eight-gpus-fsdp.yaml").read_text())["fsdp_config"]


def test_a_launcher_that_is_not_there_is_a_sentence(run):
    with pytest.raises(UserError, match=r"no-such\.yaml cannot be read"):
        launching.launch(Job(run, "sft", "sft_preferred"), "params/accelerate/no-such.yaml")


def test_processes_share_the_processor_unless_somebody_has_decided(monkeypatch):
    cores = len(os.sched_getaffinity(0))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert launching._environment(1)["OMP_NUM_THREADS"] == str(cores)
    assert launching._environment(1000)["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert launching._environment(2)["OMP_NUM_THREADS"] == "7"


def test_of_several_processes_that_fail_one_is_quoted(run, tmp_path):
    job = Job(run, "sft", "sft_preferred")
    (tmp_path / launching.NOISE).write_text("No module named accelerate")
    assert "No module named accelerate" in str(launching._explained(tmp_path, job, 1))
    for number, fault in enumerate(("KeyError: 'the cause'", "RuntimeError: connection closed")):
        path = tmp_path / f"fault-{1 - number}"
        path.write_text(fault)
        os.utime(path, (number, number))
    found = launching._explained(tmp_path, job, 1)
    assert isinstance(found, RuntimeError)
    assert "the cause" in str(found)
    assert "connection closed" not in str(found)
    (tmp_path / launching.NOISE).write_text("traceback : Signal 9 (SIGKILL) received by PID 7")
    assert "was killed, most often because memory" in str(launching._explained(tmp_path, job, 1))
    for rank in (10, 2):
        (tmp_path / f"error-{rank}").write_text(f"Process {rank} says what to do.")
    found = launching._explained(tmp_path, job, 2)
    assert isinstance(found, UserError)
    assert str(found) == "Process 2 says what to do."


def test_what_processes_write_is_shown_piece_by_piece_and_whole(tmp_path, capsys):
    path = tmp_path / "said"
    shown = launching._Shown(path, "stdout")
    shown.show()
    with path.open("wb") as file:
        for part in (b"step 1\r", "Grü".encode()[:-1], "ü".encode()[1:]):
            file.write(part)
            file.flush()
            shown.show()
    assert capsys.readouterr().out == "step 1\rGrü"


def trained(run, name="sft_preferred"):
    """A training that several processes have done, as far as its record tells."""
    job = next(job for job in launching.jobs(run, "sft") if job.name == name)
    launching.note(job, training.train_here(job), 4)
    return job


def test_what_was_trained_is_taken_up_and_not_trained_again(run, capsys, monkeypatch):
    job = trained(run)
    monkeypatch.setattr(training, "train_here", lambda job: pytest.fail("was trained again"))
    summary = training.train_sft(run, "preferred")
    assert summary["sequences"] == 8
    assert "sft_preferred: was trained in 4 processes before, and is taken up." in capsys.readouterr().out
    assert launching.taken_up(job) == summary  # again: a notebook may be run twice


def other_rate(run):
    section = dataclasses.replace(run.params.training, sft=dataclasses.replace(run.params.training.sft, epochs=2.0))
    return dataclasses.replace(run, params=dataclasses.replace(run.params, training=section))


def other_trees(run):
    write_jsonl(run.trees, TREES[1:])
    return run


def other_weights(run):
    (run.model("sft_preferred") / "config.json").write_text("{}")
    return run


@pytest.mark.parametrize("change, why", [
    (other_rate, "changed: params training.sft"),
    (other_trees, "changed: trees.jsonl"),
    (other_weights, "is not what it wrote"),
])  # fmt: skip
def test_what_was_trained_otherwise_is_trained_again(run, capsys, change, why):
    trained(run)
    assert launching.taken_up(Job(change(run), "sft", "sft_preferred")) is None
    assert why in capsys.readouterr().out
    assert not run.trained("sft_preferred").exists()


def test_the_other_trainings_of_a_stage_and_the_launcher_change_nothing(run, capsys):
    from aloe.params import Arms, SftArm
    from aloe.recipes import Recipe

    trained(run)
    arms = Arms(sft={"sft_new": SftArm(Recipe(all_tokens=True), run.params.training.sft)})
    section = dataclasses.replace(run.params.training, launcher="params/accelerate/eight-gpus.yaml")
    own = dataclasses.replace(run, params=dataclasses.replace(run.params, arms=arms, training=section))
    assert training.train_sft(own, "preferred")["steps"] == 4
    assert [job.name for job in launching.jobs(own, "sft")] == ["sft_preferred", "sft_rejected", "sft_new"]


def test_whole_weights_are_written_in_the_dtype_that_was_asked_for(run, tmp_path):
    import torch

    class Shared:
        is_fsdp_enabled = True
        model = None

        class accelerator:
            get_state_dict = staticmethod(lambda model: {"a": torch.ones(2, dtype=torch.float64), "n": torch.arange(2)})

    found = checkpoints.whole_weights(Shared, "", run.params.training)
    assert {name: value.dtype for name, value in found.items()} == {"a": torch.float32, "n": torch.int64}


def test_launchers_are_no_presets():
    assert all(yaml.safe_load(path.read_text())["num_processes"] > 1 for path in LAUNCHERS)
    assert len(LAUNCHERS) == 5
