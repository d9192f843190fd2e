"""A killed training goes on and ends as an undisturbed one; what belongs to another training is not gone on from."""

import dataclasses
import json
import random
import shutil
import signal
from pathlib import Path

import pytest
from interrupted import toy_run, train_in_a_process
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import checkpoints, losses, pipeline, recipes, resuming, trainers, training
from aloe.examples import sft_tokens
from aloe.params import Arms, Mix, SftArm
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.quiet import quiet
from aloe.recipes import CORRECTED, Recipe
from aloe.records import DialogueTree, read_jsonl, write_jsonl

NAME = {"sft": "sft_preferred", "dpo": "dpo"}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model that forgets at random while it learns, so that random states count."""
    folder = save_tiny_model(tmp_path_factory.mktemp("base"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.2}))
    return folder


@pytest.fixture
def make_run(base, tmp_path):
    def make(name, **changes):
        run = toy_run(tmp_path / name, base, **changes)
        write_jsonl(run.trees, TREES)
        shutil.copytree(base, run.model("sft_preferred"))
        return run

    return make


def result(run, stage):
    """Summary without times, table, weights."""
    from safetensors.torch import load_file

    summary = run.read_metrics()["training"][stage]
    timed = {"seconds", "tokens_per_second"}
    table = run.training_log(NAME[stage]).read_text()
    weights = load_file(run.model(NAME[stage]) / "model.safetensors")
    return {key: value for key, value in summary.items() if key not in timed}, table, weights


def differences(run, other, stage):
    """The largest difference of a weight, and that of a loss; the tables must be the same to the byte."""
    (summary, table, weights), (expected, expected_table, expected_weights) = result(run, stage), result(other, stage)
    assert table == expected_table
    assert summary.keys() == expected.keys()
    assert {k: v for k, v in summary.items() if not isinstance(v, float)} == {
        k: v for k, v in expected.items() if not isinstance(v, float)
    }
    numbers = [abs(summary[key] - expected[key]) for key in summary if isinstance(summary[key], float)]
    assert weights.keys() == expected_weights.keys()
    return max(float((weights[key] - expected_weights[key]).abs().max()) for key in weights), max(numbers)


def kill_and_go_on(run, stage, step):
    """Kill at the end of a step, then let it end in another process."""
    assert train_in_a_process(run, stage, step) == -signal.SIGKILL
    assert train_in_a_process(run, stage) == 0
    assert 0 < run.read_metrics()["started_from"] < step
    assert not run.unfinished(NAME[stage]).parent.exists()


def random_step(run, stage, seed):
    """One that a checkpoint comes before: the first step has one."""
    return random.Random(seed).randrange(2, run.read_metrics()["training"][stage]["steps"] + 1)


@pytest.mark.parametrize("stage, method, changes", [
    ("sft", "full", {"sft": {"packing": True, "epochs": 4.0}}),
    ("sft", "full", {"sft": {"off_branch": True}}),
    ("dpo", "lora", {}),
    ("dpo", "full", {"dpo": {"loss": "kto"}}),
    ("dpo", "full", {"dpo": {"loss": "simpo", "beta": 2.0}}),
])  # fmt: skip
def test_a_killed_training_ends_with_the_same_weights_and_numbers(make_run, stage, method, changes):
    changes = {"method": method, **changes}
    undisturbed, killed = make_run("undisturbed", save_minutes=None, **changes), make_run("killed", **changes)
    assert train_in_a_process(undisturbed, stage) == 0
    kill_and_go_on(killed, stage, random_step(undisturbed, stage, seed=0))
    assert differences(killed, undisturbed, stage) == (0, pytest.approx(0, abs=1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["ipo", "kto", "cpo", "orpo"])
def test_whatever_the_loss_a_kill_changes_nothing(make_run, loss):
    changes = {"method": "lora", "dpo": {"loss": loss}}
    undisturbed, killed = make_run("undisturbed", save_minutes=None, **changes), make_run("killed", **changes)
    assert train_in_a_process(undisturbed, "dpo") == 0
    kill_and_go_on(killed, "dpo", random_step(undisturbed, "dpo", seed=1))
    assert differences(killed, undisturbed, "dpo") == (0, pytest.approx(0, abs=1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("stage", ["sft", "dpo"])
def test_five_kills_at_random_steps_change_neither_loss_nor_weights(make_run, stage, method):
    undisturbed = make_run("undisturbed", save_minutes=None, method=method)
    assert train_in_a_process(undisturbed, stage) == 0
    for number in range(5):
        killed, step = make_run(f"killed-{number}", method=method), random_step(undisturbed, stage, number)
        kill_and_go_on(killed, stage, step)
        weight, loss = differences(killed, undisturbed, stage)
        print(f"{stage}, {method}: killed at step {step}, weights differ by {weight:.1e}, losses by {loss:.1e}")
        assert weight <= 1e-5
        assert loss <= 1e-5


class Stopped(Exception):
    """What a stop key would raise."""


@pytest.fixture(scope="module")
def stopped(base, tmp_path_factory):
    """A training on a model of its own that was stopped at step 5; its checkpoint is of step 4."""
    from transformers import TrainerCallback

    class Stopper(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise Stopped

    root = tmp_path_factory.mktemp("stopped")
    run = toy_run(root / "run", shutil.copytree(base, root / "base"))
    write_jsonl(run.trees, TREES)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(resuming, "SHARE", 1e9)
        patched.setattr(trainers, "progress", lambda label: Stopper())
        with pytest.raises(Stopped):
            training.train_sft(run, "preferred")
    return run


def start_of(run):
    """Where a training of the run would start."""
    params = run.params.training
    policy = checkpoints.load_policy(params.base_model, params, run.params.seed)
    train = [tree for tree in read_jsonl(DialogueTree, run.trees) if "-dev-" not in tree.id]
    rows = sft_tokens(policy.tokenizer, sft_conversations(train, "preferred"), params.max_length)
    with quiet():
        return resuming.take_up(trainers.sft_trainer(run, "sft_preferred", policy, rows), "toy")


def cut(run):
    (run.unfinished("sft_preferred") / "checkpoint-4" / "trainer_state.json").write_text('{"log_hist')


def other_seed(run):
    return dataclasses.replace(run, params=dataclasses.replace(run.params, seed=1))


def another_model(run):
    folder = save_tiny_model(run.root / "base", seed=1)
    training = dataclasses.replace(run.params.training, base_model=str(folder))
    return dataclasses.replace(run, params=dataclasses.replace(run.params, training=training))


@pytest.mark.parametrize("change, said, step", [
    (lambda run: None, "toy: goes on after step 4, where an interrupted training stopped.", 4),
    (lambda run: write_jsonl(run.trees, TREES[1:]), "but its data were others; this one begins anew", 0),
    (other_seed, "but its data and settings were others", 0),  # the seed orders the data
    (another_model, "but its weights were others", 0),
    (cut, "", 0),  # killed while the checkpoint was written
])  # fmt: skip
def test_only_a_training_of_the_same_thing_goes_on(stopped, capsys, tmp_path, change, said, step):
    run = dataclasses.replace(stopped, root=Path(shutil.copytree(stopped.root, tmp_path / "run")))
    start = start_of(change(run) or run)
    assert start.step == step
    assert said in capsys.readouterr().out
    left = [path.name for path in run.unfinished("sft_preferred").glob("checkpoint-*")]
    assert left == (["checkpoint-4"] if step else [])
    if step:
        assert start.tokens > 0
        assert start.seconds > 0
        assert start.loss_sum > 4


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_checkpoint_that_a_file_is_missing_from_or_cut_short_in_is_not_gone_on_from(stopped, tmp_path, name, gone):
    if gone and name == "model.safetensors":
        return  # what is trained may be an adapter, under another name
    run = dataclasses.replace(stopped, root=Path(shutil.copytree(stopped.root, tmp_path / "run")))
    path = run.unfinished("sft_preferred") / "checkpoint-4" / name
    content = path.read_bytes()
    path.unlink()
    if not gone:
        path.write_bytes(content[: len(content) // 2])
    assert start_of(run).step == 0
    assert not path.parent.exists()


class Reached(Exception):
    """A training would begin now; its argument is the key."""


@pytest.fixture
def key_of(base, tmp_path, monkeypatch):
    """The key that a training of the run would be known by, with these switches, mix or values of its section."""

    def note(run, name, trainer):
        raise Reached(resuming.key_of(trainer))

    run = toy_run(tmp_path / "run", base)
    write_jsonl(run.trees, TREES)
    for name, folder in (("sft_preferred", base), ("base", save_tiny_model(tmp_path / "other", seed=1))):
        shutil.copytree(folder, run.model(name))
    monkeypatch.setattr(training, "run_trainer", note)
    monkeypatch.setattr(training, "CUT_ABOVE", 40)
    monkeypatch.setattr(training, "CUT_TO", 1)

    def key(stage, recipe=CORRECTED, **changes):
        params = run.params.training
        params = dataclasses.replace(params, recipe=recipe, dpo=recipes.applied(recipe, params.dpo))
        params = dataclasses.replace(params, **{stage: dataclasses.replace(getattr(params, stage), **changes)})
        own = dataclasses.replace(run, params=dataclasses.replace(run.params, training=params))
        with pytest.raises(Reached) as reached:
            training.train_sft(own, "preferred") if stage == "sft" else training.train_dpo(own)
        return reached.value.args[0]

    return key


def test_every_recipe_loss_and_mix_has_a_key_of_its_own(key_of, tmp_path):
    file = tmp_path / "general.jsonl"
    rows = [[{"role": role, "content": f"{n}"} for role in ("user", "assistant")] for n in range(20)]
    file.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    parts = {"from_base": "weights", "large_beta": "settings", "no_sft_term": "settings"}
    for stage in ("sft", "dpo"):
        keys = {"corrected": key_of(stage)}
        for name in recipes.switches(stage):
            keys[name] = key_of(stage, Recipe(**{name: True}))
            changed = {part for part, value in keys[name].items() if value != keys["corrected"][part]}
            assert parts.get(name, "data") in changed, name
        if stage == "sft":
            keys |= {f"mix of {share}": key_of(stage, mix=Mix(str(file), share)) for share in (0.3, 0.5)}
        else:
            keys |= {loss: key_of(stage, loss=loss) for loss in losses.LOSSES if loss != "sigmoid"}
        assert key_of(stage) == keys["corrected"]
        assert len({json.dumps(key) for key in keys.values()}) == len(keys)


def test_an_arm_that_was_interrupted_goes_on_under_its_own_name(base, tmp_path, monkeypatch, capsys):
    from transformers import TrainerCallback

    class Stopper(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise Stopped

    run = toy_run(tmp_path / "run", base)
    sft = run.params.training.sft
    arms = {"sft_same": SftArm(CORRECTED, sft), "sft_all_tokens": SftArm(Recipe(all_tokens=True), sft)}
    run = dataclasses.replace(run, params=dataclasses.replace(run.params, arms=Arms(sft=arms)))
    write_jsonl(run.trees, TREES)
    monkeypatch.setattr(resuming, "SHARE", 1e9)
    with monkeypatch.context() as patched:
        patched.setattr(trainers, "progress", lambda label: Stopper() if "all" in label else TrainerCallback())
        with pytest.raises(Stopped):
            training.train_arms(run, "sft")
    assert run.model("sft_same").is_dir()
    assert [path.name for path in run.unfinished("sft_all_tokens").parent.iterdir()] == ["sft_all_tokens"]
    capsys.readouterr()
    summaries = training.train_arms(run, "sft")
    assert "sft_all_tokens: goes on after step 4" in capsys.readouterr().out
    assert summaries["sft_all_tokens"]["steps"] == summaries["sft_same"]["steps"]
    assert not run.unfinished("sft_all_tokens").parent.exists()


def test_what_is_left_is_one_checkpoint_of_safetensors_and_whose_it_is(stopped):
    folder = stopped.unfinished("sft_preferred")
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["checkpoint-4"]
    assert [path.name for path in (folder / "checkpoint-4").glob("*.safetensors")] == ["model.safetensors"]
    assert json.loads((folder / resuming.KEY).read_text()).keys() == {"data", "settings", "weights", "libraries"}
    files = pipeline._files(stopped.root)
    assert stopped.trees in files
    assert not [path for path in files if path.is_relative_to(stopped.root / "models")]
    assert not [path for path in files if "tensorboard" in path.parts]


def test_checkpoints_come_by_the_clock_at_logged_steps_and_cost_a_small_share(monkeypatch):
    from transformers import TrainerControl, TrainerState

    clock = {"now": 0.0}
    monkeypatch.setattr(resuming.time, "monotonic", lambda: clock["now"])
    callback = resuming.checkpoints(1.0, resuming.Start())
    callback.on_train_begin(None, None, None)

    def asks(now, logged=True, step=5):
        clock["now"], control = now, TrainerControl(should_log=logged)
        callback.on_step_end(None, TrainerState(global_step=step, max_steps=10), control)
        return control.should_save

    assert not asks(59)
    assert not asks(61, logged=False)
    assert asks(61)
    clock["now"] = 67  # it took 6 s, so the next one comes after 6 / 0.03 = 200 s
    callback.on_save(None, None, None)
    assert not asks(266)
    assert not asks(268, step=10)  # the last step
    assert asks(268)
    clock["now"] = 268.3
    callback.on_save(None, None, None)
    assert not asks(320)
    assert asks(329)
    callback = resuming.checkpoints(None, resuming.Start())
    callback.on_train_begin(None, None, None)
    assert not asks(1e9)


@pytest.mark.parametrize("loss, kind, column", [
    ("sigmoid", "DPOTrainer", "ref_chosen_logps"), ("kto", "KTOTrainer", "ref_logps"),
])  # fmt: skip
def test_what_the_reference_gives_is_computed_once_however_often_a_training_is_begun(
    make_run, monkeypatch, loss, kind, column
):
    import trl

    run, passes, kind = make_run("run", dpo={"loss": loss}), [], getattr(trl, kind)
    real = kind.compute_ref_log_probs
    monkeypatch.setattr(kind, "compute_ref_log_probs", lambda *given: passes.append(1) or real(*given))
    params, found = run.params.training, []
    for _ in range(2):
        policy = checkpoints.load_policy(params.base_model, params, 0)
        with quiet():
            trainer = trainers.pair_trainer(run, policy, dpo_pairs(TREES[:8]), dpo_pairs(TREES[8:]))
        found.append((len(passes), trainer.train_dataset[column][:]))
    assert found[0] == found[1]
    assert found[0][0] > 0
