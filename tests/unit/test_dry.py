"""A dry run's preset and toy model, for every shipped preset; what it refuses, and what it says it cannot see."""

import shutil
from pathlib import Path

import pytest
import yaml

from aloe import dry, masks
from aloe import toy as toys
from aloe.base_models import FAMILIES, context_of, family_of
from aloe.checkpoints import read_checkpoint
from aloe.errors import UserError
from aloe.execution import NotebookFailed
from aloe.params import ROOT, load_params, presets
from aloe.runs import open_run
from aloe.toy import family_tokenizer, save_toy, shrink

CHAT = [{"role": "user", "content": "Hi there."}, {"role": "assistant", "content": "Good evening, how are you?"}]


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch):
    """A model of a hub is not on this disk, also where it is."""
    real = toys._own
    monkeypatch.setattr(toys, "_own", lambda source, *rest: real(source, *rest) if Path(source).is_dir() else None)


@pytest.fixture
def write(tmp_path):
    """A preset file of one's own with this text."""

    def make(text, name="mine"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return make


@pytest.fixture
def small(write):
    """The dry preset of a preset, loaded, on a machine with or without a GPU."""

    def make(preset, on_gpu=False):
        derived = dry.dry_preset(preset, load_params(preset), Path("nobody/toy"), on_gpu)
        return load_params(write(yaml.safe_dump(derived), "small-dry"))

    return make


@pytest.mark.parametrize("preset", presets())
def test_every_shipped_preset_has_a_small_one_that_keeps_what_is_not_a_size(small, preset):
    real, params = load_params(preset), small(preset)
    assert params.trees.n_turns == 2
    assert params.benchmark.n_turns == (3 if real.benchmark.shift else 2)  # a slope after the change needs two
    assert params.models_from is None
    assert all(endpoint.in_process and endpoint.api_key_env is None for endpoint in params.endpoints.values())
    assert (params.simulated, params.journal, params.budget_usd, params.budget_calls) == (True, None, None, None)
    assert params.benchmark.policies == real.benchmark.policies
    assert {name: role.model for name, role in dry.roles(params).items()} == {
        name: role.model for name, role in dry.roles(real).items()
    }
    for key in ("method", "lora_rank", "dtype", "max_length", "trust_remote_code"):
        assert getattr(params.training, key) == getattr(real.training, key)
    for key in ("learning_rate", "batch_size", "gradient_accumulation", "warmup_ratio"):
        assert getattr(params.training.sft, key) == getattr(real.training.sft, key)
        assert getattr(params.training.dpo, key) == getattr(real.training.dpo, key)
    assert params.training.dpo.beta == real.training.dpo.beta
    assert params.training.sft.packing == real.training.sft.packing
    assert params.trees.branch == real.trees.branch


def test_arms_are_at_toy_width_too_and_keep_their_choices(small, write):
    text = """
extends: sandbox
training: {sft: {mix: {path: general.jsonl, share: 0.02}}}
arms:
  sft: {sft_long: {recipe: {prefixes: true}, sft: {epochs: 9.0, batch_size: 10, mix: {path: x.jsonl, share: 0.5}}}}
  dpo: {dpo_ipo: {dpo: {loss: ipo, n_pairs: 5000, n_dev_pairs: 300}}, dpo_published: {recipe: published}}
benchmark: {policies: [base, dpo, sft_long, dpo_ipo]}
"""
    params = small(write(text))
    [long], (ipo, published) = params.arms.sft.values(), params.arms.dpo.values()
    assert (long.sft.epochs, long.sft.batch_size, long.recipe.prefixes) == (2.0, 10, True)
    assert (params.training.sft.mix.share, long.sft.mix.share, long.sft.mix.path) == (dry.MIXED, 0.5, "x.jsonl")
    assert (ipo.dpo.loss, ipo.dpo.n_pairs, ipo.dpo.n_dev_pairs) == ("ipo", 16, 4)  # 8 dialogues of 2 turns
    assert (published.dpo.beta, published.dpo.n_pairs, published.recipe.from_base) == (0.9, 16, True)
    assert params.benchmark.policies == ("base", "dpo", "sft_long", "dpo_ipo")


@pytest.mark.parametrize("base_model", sorted({load_params(preset).training.base_model for preset in presets()}))
def test_every_base_model_has_a_toy_of_its_architecture_whose_replies_can_be_masked(base_model, tmp_path):
    toy = save_toy(base_model, tmp_path)
    family = family_of(base_model)
    model, tokenizer = read_checkpoint(str(tmp_path), "auto", False)
    assert model.config.model_type == (family.model_type if family else "llama")
    assert model.config.max_position_embeddings == context_of(base_model)
    assert model.num_parameters() < 2_000_000
    assert toy.architecture == type(model).__name__
    [encoded] = masks.encode(tokenizer, [CHAT])
    [run] = encoded.replies
    assert tokenizer.decode(encoded.input_ids[run.start : run.stop]).strip().startswith("Good evening, how are you?")


def test_the_toys_of_the_four_families_are_what_they_stand_for(tmp_path):
    names = {
        "meta-llama/Meta-Llama-3-8B-Instruct": ("llama3", "LlamaForCausalLM", 8192),
        "mistralai/Mistral-7B-Instruct-v0.3": ("mistral", "MistralForCausalLM", 32768),
        "Qwen/Qwen2-7B-Instruct": ("qwen2", "Qwen2ForCausalLM", 32768),
        "allenai/OLMo-7B-0724-Instruct-hf": ("olmo", "OlmoForCausalLM", 4096),
    }
    assert {family.name for family in FAMILIES.values()} == {name for name, _, _ in names.values()}
    for base_model, expected in names.items():
        toy = save_toy(base_model, tmp_path / expected[0])
        assert (family_of(base_model).name, toy.architecture, context_of(base_model)) == expected
        assert (toy.own_config, toy.own_tokenizer) == (False, False)


def test_a_model_on_this_disk_keeps_its_configuration_and_its_tokenizer(tmp_path):
    base = load_params("sandbox").training.base_model
    toy = save_toy(base, tmp_path)
    model, tokenizer = read_checkpoint(str(tmp_path), "auto", False)
    assert (toy.own_config, toy.own_tokenizer) == (True, True)
    assert len(tokenizer) == model.config.vocab_size == 6144
    assert (model.config.hidden_size, model.config.tie_word_embeddings) == (64, True)


def test_shrinking_keeps_how_many_heads_share_a_key_and_what_it_does_not_know():
    from transformers import Qwen2Config

    tokenizer = family_tokenizer(next(iter(FAMILIES.values())))
    small = shrink(Qwen2Config(num_attention_heads=28, num_key_value_heads=7, rope_theta=5e5), tokenizer)
    assert (small.num_attention_heads, small.num_key_value_heads) == (4, 1)
    assert (small.num_hidden_layers, len(small.layer_types), small.vocab_size) == (2, 2, len(tokenizer))
    assert small.rope_parameters["rope_theta"] == 5e5
    assert small.max_position_embeddings == Qwen2Config().max_position_embeddings


@pytest.mark.parametrize("name", ["someone/a-model-of-tomorrow", "meta-llama/Llama-3.1-8B-Instruct"])
def test_an_unknown_architecture_is_a_sentence_that_says_what_to_do(tmp_path, name):
    with pytest.raises(UserError, match=rf"configuration of {name} is not on this disk.*hf download {name}"):
        save_toy(name, tmp_path)


def test_what_is_not_checked_names_endpoints_keys_and_devices_but_no_key(monkeypatch, write):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    path = write("extends: paper-llama3-8b\ntraining: {method: lora, load_in_4bit: true, backend: unsloth}\n")
    said = "\n".join(dry.unchecked(load_params(path), on_gpu=False))
    assert "its key OPENAI_API_KEY is set" in said
    assert "gpt-4o" in said
    assert "4-bit" in said
    assert "Unsloth" in said
    assert "secret" not in said
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY is NOT set" in "\n".join(dry.unchecked(load_params(path), on_gpu=False))
    assert dry.unchecked(load_params("sandbox"), on_gpu=False) == []


def test_without_a_gpu_four_bits_and_unsloth_are_left_out_and_with_one_they_are_not(small, write):
    path = write("extends: paper-llama3-8b\ntraining: {method: lora, load_in_4bit: true, backend: unsloth}\n")
    without, with_one = small(path).training, small(path, on_gpu=True).training
    assert (without.backend, without.load_in_4bit, without.method) == ("auto", False, "lora")
    assert (with_one.backend, with_one.load_in_4bit) == ("unsloth", True)


def test_prompts_of_ones_own_are_checked_for_their_fields(tmp_path, write):
    shutil.copytree(ROOT / "aloe" / "prompts", tmp_path / "prompts")
    params = load_params(write(f"extends: sandbox\nprompts: {tmp_path}/prompts\n"))
    assert "asked with the project's own" in dry.unchecked(params, on_gpu=False)[0]
    (tmp_path / "prompts" / "told.txt").write_text("Du sprichst mit:\n{profile}\n")
    with pytest.raises(UserError, match=r"told\.txt has the fields profile, but they should be personality, profile"):
        dry.unchecked(params, on_gpu=False)
    (tmp_path / "prompts" / "told.txt").write_text("{profile")
    with pytest.raises(UserError, match=r"told\.txt"):
        dry.unchecked(params, on_gpu=False)


def test_a_reporter_that_is_not_installed_shows(monkeypatch, write):
    monkeypatch.setattr(dry.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="is wandb, which is not installed"):
        dry.unchecked(load_params(write("extends: sandbox\ntraining: {report_to: wandb}\n")), on_gpu=False)


def test_a_launcher_that_is_not_there_shows_although_a_dry_run_trains_alone(write):
    mine = "extends: sandbox\ntraining: {launcher: params/accelerate/no.yaml}\n"
    with pytest.raises(UserError, match=r"no\.yaml cannot be read"):
        dry.unchecked(load_params(write(mine)), on_gpu=False)


def test_only_what_a_dry_run_left_is_removed(tmp_path):
    folder = tmp_path / "mine-dry"
    dry._empty(folder)
    assert folder.is_dir()
    (folder / "mine-dry.yaml").write_text("extends: mine\n")
    (folder / "old").write_text("x")
    dry._empty(folder)
    assert list(folder.iterdir()) == []
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match="holds something else"):
        dry._empty(folder)
    assert (folder / "metrics.json").is_file()


@pytest.mark.parametrize("error", [UserError, NotebookFailed])
def test_a_stage_that_fails_is_named_and_the_kind_of_failure_kept(monkeypatch, tmp_path, write, error):
    def fail(run, preset, seed):
        assert run.root == tmp_path / "mine-dry"
        assert (preset, seed) == (str(run.root / "mine-dry.yaml"), None)
        run.record_stage("01_persona_seeds", [], [])
        raise error("a prompt is missing")

    monkeypatch.setattr(dry, "OUTPUTS", tmp_path)
    monkeypatch.setattr(dry, "open_run", lambda preset: open_run(preset, outputs=tmp_path))
    monkeypatch.setattr(dry, "run_all", fail)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(error, match="The dry run of mine stopped in 02_persona_expansion: a prompt is missing"):
        dry.dry_run(write("extends: smoke\nseed: 3\n"), 4)
    assert load_params(str(tmp_path / "mine-dry" / "mine-dry.yaml")).seed == 4
