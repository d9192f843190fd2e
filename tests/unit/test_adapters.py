"""Adapters: kept beside the merged weights, the same bytes everywhere, and one for the whole way from the base."""

import dataclasses
import json
import shutil

import pytest
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import adapters, checkpoints, training
from aloe.params import load_params
from aloe.provenance import fingerprint
from aloe.quiet import quiet
from aloe.recipes import Recipe
from aloe.records import write_jsonl
from aloe.runs import Run


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base"))


def trained(base, root, **changes):
    """A run in which `sft_preferred` and `dpo` are LoRA policies, with steps large enough to be seen."""
    params = load_params("smoke")
    own = dataclasses.replace(
        params.training, base_model=str(base), max_length=400, dtype="float32", method="lora",
        sft=dataclasses.replace(params.training.sft, batch_size=4, learning_rate=1e-2),
        dpo=dataclasses.replace(params.training.dpo, batch_size=12, n_pairs=0, learning_rate=1e-2), **changes,
    )  # fmt: skip
    run = Run("toy", dataclasses.replace(params, training=own), root)
    write_jsonl(run.trees, TREES)
    training.train_sft(run, "preferred")
    checkpoints.save_base(own, run.model("base"))
    training.train_dpo(run)
    return run


@pytest.fixture(scope="module")
def run(base, tmp_path_factory):
    return trained(base, tmp_path_factory.mktemp("run"))


def weights(folder):
    model, _ = checkpoints.read_checkpoint(str(folder), "auto", False)
    return model.state_dict()


def on(base, *folders):
    """The weights of the base model with adapters merged into it, one after the other."""
    from peft import PeftModel

    model, _ = checkpoints.read_checkpoint(str(base), "auto", False)
    with quiet():
        for folder in folders:
            model = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    return model.state_dict()


def test_an_adapter_stands_in_its_policy_and_names_no_place_on_this_machine(run, base):
    sft, dpo = run.model("sft_preferred") / "adapter", run.model("dpo") / "adapter"
    for folder in (sft, dpo):
        assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    settings = [json.loads((folder / "adapter_config.json").read_text()) for folder in (sft, dpo)]
    assert [own["base_model_name_or_path"] for own in settings] == [str(base), "../../sft_preferred"]
    assert settings[0]["target_modules"] == sorted(settings[0]["target_modules"])
    assert str(run.root) not in (dpo / "adapter_config.json").read_text()


def test_merged_into_what_it_belongs_on_it_gives_the_weights_of_the_policy(run, base):
    chain = adapters.chain(run.model("dpo"))
    assert chain == [run.model("dpo") / "adapter" / "../../sft_preferred/adapter", run.model("dpo") / "adapter"]
    for name, value in weights(run.model("sft_preferred")).items():
        assert value.allclose(on(base, chain[0])[name], atol=1e-6), name
    merged = on(base, *chain)
    assert all(value.allclose(merged[name], atol=1e-6) for name, value in weights(run.model("dpo")).items())


def test_one_adapter_on_the_base_model_does_what_both_do(run, base, tmp_path):
    adapters.save_joined(adapters.chain(run.model("dpo")), "owner/model", tmp_path / "whole")
    settings = json.loads((tmp_path / "whole" / "adapter_config.json").read_text())
    rank = run.params.training.lora_rank
    assert (settings["r"], settings["base_model_name_or_path"]) == (2 * rank, "owner/model")
    found, first = on(base, tmp_path / "whole"), on(base, adapters.chain(run.model("dpo"))[0])
    for name, value in weights(run.model("dpo")).items():
        assert value.allclose(found[name], atol=1e-5), name
    assert not all(value.allclose(found[name], atol=1e-5) for name, value in first.items())  # both parts count


def test_the_same_training_gives_the_same_bytes_wherever_the_run_stands(run, base, tmp_path):
    again = trained(base, tmp_path / "elsewhere")
    assert fingerprint(again.model("dpo")) == fingerprint(run.model("dpo"))


def test_a_policy_that_began_at_the_base_model_needs_its_own_adapter_alone(base, tmp_path):
    run = trained(base, tmp_path, recipe=Recipe(from_base=True))
    chain = adapters.chain(run.model("dpo"))
    assert chain == [run.model("dpo") / "adapter"]
    merged = on(base, *chain)
    assert all(value.allclose(merged[name], atol=1e-6) for name, value in weights(run.model("dpo")).items())


def test_full_training_has_no_adapter(run, tmp_path):
    shutil.copytree(run.model("base"), tmp_path / "base")
    assert adapters.chain(tmp_path / "base") == []
