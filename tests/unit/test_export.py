"""An export: weights that load anywhere, an adapter that fits, a card that says what was measured, or a refusal."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from test_adapters import on, trained, weights
from tiny_model import save_tiny_model

from aloe import export, gguf
from aloe.base_models import LICENCES
from aloe.errors import UserError
from aloe.export import export_policy, exported
from aloe.finished import finished
from aloe.lineage import of_a_hub, recipe, settings_table
from aloe.markdown import literal
from aloe.model_card import Written, model_card
from aloe.params import ROOT, load_params, presets
from aloe.records import Message, Persona, Transcript, write_jsonl
from aloe.runs import Run
from aloe.stages import STAGES
from aloe.stages import recipe as stage_recipe

PUBLISHED = json.loads((ROOT / "outputs" / "sandbox" / "metrics.json").read_text(encoding="utf-8"))
HOSTILE = (
    "---\nlicense: other\n---\n# Ignore the card\n<script>alert(1)</script> ![x](https://evil.example/p.png) "
    "[free](javascript:alert(1)) | a | b |\n```\ncode\n```\n<img src=x> \u202egnp.exe\u0000 &lt;b&gt; http://evil.example"
)
SAID = tuple(Message(role, HOSTILE) for role in ("user", "assistant"))
EXAMPLE = Transcript("c1", "dpo", Persona("bench-p1-t1", "bench-p1", "bench-t1", "p", "t"), SAID)


def note(run):
    """The records of a finished run, as the pipeline writes them, of what these tests look at."""
    for stage in STAGES:
        inputs = [run.transcripts] if stage.name.startswith("07") else []
        inputs += [run.model("dpo"), run.model("sft_preferred")] if stage.name.startswith("06") else []
        outputs = [run.model(n) for n, s in (("sft_preferred", "04_sft"), ("dpo", "05_dpo")) if s == stage.name]
        metrics = {key: run.read_metrics()[key] for key in ("benchmark",) if stage.name.startswith("07")}
        run.record_stage(stage.name, inputs, outputs, recipe=stage_recipe(stage, run), metrics=metrics)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def original(base, tmp_path_factory):
    """A run with two LoRA policies, the published numbers, and a conversation in which everything is hostile."""
    run = trained(base, tmp_path_factory.mktemp("outputs") / "toy")
    settings = {"method": "lora", "departures": [], "dtype": "float32"}
    sft = {"sequences": 8, "steps": 2, "loss_before": 2.0, "loss_after": 1.5, "settings": {**settings, "mix": None}}
    pairs = {"pairs": 24, "steps": 2, "loss_before": 0.7, "loss_after": None,
             "settings": {**settings, "beta": 0.1, "loss": "sigmoid"}}  # fmt: skip
    run.update_metrics({**PUBLISHED, "simulated": True, "training": {"sft_preferred": sft, "dpo": pairs}})
    write_jsonl(run.transcripts, [dataclasses.replace(EXAMPLE, policy=p) for p in ("sft_preferred", "dpo")])
    note(run)
    return run


@pytest.fixture
def run(original, tmp_path):
    shutil.copytree(original.root, tmp_path / "toy")
    return dataclasses.replace(original, root=tmp_path / "toy")


@pytest.fixture(scope="module")
def folder(original, tmp_path_factory):
    root = tmp_path_factory.mktemp("exported") / "toy"
    shutil.copytree(original.root, root)
    return export_policy(dataclasses.replace(original, root=root), "dpo")


def code(folder, number):
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)[number]


def test_it_holds_weights_tokenizer_adapter_card_and_origin(folder):
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "README.md", "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "chat_template.jinja",
        "config.json", "export.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip


def test_the_three_lines_of_the_card_talk_with_it(folder, monkeypatch, capsys):
    lines = code(folder, 0)
    assert len(lines.splitlines()) == 3
    monkeypatch.chdir(folder)
    exec(lines, {})
    assert "assistant" in capsys.readouterr().out


def test_its_weights_are_those_of_the_run_rounded_to_sixteen_bits(folder, original):
    import torch

    found, stored = weights(folder), weights(original.model("dpo"))
    assert found.keys() == stored.keys()
    for name, value in stored.items():
        assert value.dtype == torch.float32
        assert found[name].dtype == torch.bfloat16
        assert found[name].equal(value.to(torch.bfloat16)), name


def test_its_adapter_on_the_base_model_gives_the_same_weights(folder, original, base, monkeypatch):
    import torch

    stored, merged = weights(original.model("dpo")), on(base, folder / "adapter")
    assert all(merged[name].allclose(value, atol=1e-5) for name, value in stored.items())
    (folder.parent / "tiny").symlink_to(base)
    monkeypatch.chdir(folder.parent)
    space: dict = {}
    exec(code(folder, 1).replace('"adapter"', f'"{folder.name}/adapter"'), space)
    with torch.no_grad():
        said = space["model"](torch.tensor([[5, 6, 7]])).logits
    assert said.shape == (1, 3, stored["model.embed_tokens.weight"].shape[0])


def test_no_path_of_this_machine_is_in_it(folder, original, base):
    texts = {path: path.read_text(encoding="utf-8") for path in folder.rglob("*") if path.suffix != ".safetensors"
             and path.is_file()}  # fmt: skip
    assert len(texts) > 5
    for place in (ROOT, Path.home(), original.root, base, folder):
        assert [path for path, text in texts.items() if str(place) in text and str(place) != "/"] == []


def test_its_card_has_metadata_and_the_numbers_of_the_run(folder):
    card = ModelCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == ("other", "transformers", "text-generation")
    assert {"simulated", "lora", "dpo"} <= set(data["tags"])
    assert "base_model" not in data  # a folder of this machine is nothing that a hub could show
    found = PUBLISHED["benchmark"]["policies"]["dpo"]
    scores = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert scores == {key: round(found[key], 4) for key in ("al_mean", "ir", "dal") if found.get(key) is not None}
    text = card.text.replace("\u00a0", " ")
    low, high = found["al_mean_ci"]
    assert f"{found['al_mean']:.2f} [{low:.2f}, {high:.2f}]" in text
    assert "**Simulated.**" in text
    assert "does not know it: look it up" in text
    assert "`sft_preferred` began at the base model, tiny," in text
    assert "`dpo` began at `sft_preferred`, and was optimised on 24 preference pairs." in text
    assert f"`dpo` − `base` | {PUBLISHED['benchmark']['differences']['dpo - base']['al_mean']:+.2f}" in text
    assert "$" not in text


def test_what_a_model_wrote_stays_text(folder):
    text = ModelCard.load(folder / "README.md").text
    html = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").render(text)
    assert "alert(1)" in html
    assert not re.search(r"<(script|img|a)\b", html)
    assert re.findall(r"<h1>(.*?)</h1>", html) == ["toy: dpo"]
    assert html.count("<pre>") == 3  # the card's own: two of Python and one of BibTeX
    assert "\u202e" not in text
    assert "\x00" not in text


def test_a_text_is_literal_whatever_is_in_it():
    assert MarkdownIt("commonmark").renderInline(literal("1. *a* [b](c) &amp; <d>")) == (
        "1. *a* [b](c) &amp;amp; &lt;d&gt;"
    )
    assert literal("a\u202eb\ud800\tc\n") == "a\ufffdb\ufffd c"


def test_a_card_that_was_edited_is_sent_as_it_is_and_never_overwritten(run):
    folder = export_policy(run, "dpo")
    (folder / "README.md").write_text("by hand")
    assert exported(run, "dpo") == folder
    assert (folder / "README.md").read_text() == "by hand"
    run.update_metrics({"cost": {"calls": 1}})
    for again in (export_policy, exported):
        with pytest.raises(UserError, match=r"README\.md was edited"):
            again(run, "dpo")
    assert (folder / "README.md").read_text() == "by hand"
    (folder / "README.md").unlink()
    exported(run, "dpo")
    assert "## Limits" in (folder / "README.md").read_text()


def test_the_training_of_an_arm_is_found_although_its_files_are_noted_one_by_one(run):
    manifest = run.read_manifest()
    noted = manifest["stages"]["05_dpo"]["outputs"]
    noted["models/dpo/config.json"] = noted.pop("models/dpo")
    noted["models/dpo_small/config.json"] = ""
    run.manifest.write_text(json.dumps(manifest))
    assert finished(run, "dpo").record == manifest["stages"]["05_dpo"]


def test_another_policy_stands_beside_it_with_its_own_adapter(run, base):
    folder = export_policy(run, "sft_preferred")
    assert folder == run.export("sft_preferred")
    merged = on(base, folder / "adapter")
    assert all(merged[n].allclose(v, atol=1e-5) for n, v in weights(run.model("sft_preferred")).items())
    assert "sft" in ModelCard.load(folder / "README.md").data.tags


def unnoted(run):
    manifest = run.read_manifest()
    del manifest["stages"]["05_dpo"]
    run.manifest.write_text(json.dumps(manifest))


def retrained(run):
    (run.model("dpo") / "config.json").write_text("{}")


def talked_on(run):
    write_jsonl(run.transcripts, [EXAMPLE])


def polished(run):
    run.update_metrics({"benchmark": {"n_cases": 10_000}})


@pytest.mark.parametrize("harm, said", [
    (lambda run: run.metrics.unlink(), "metrics.json does not exist; run `make all PRESET=smoke` first"),
    (lambda run: run.update_metrics({"benchmark": {"policies": {}}}), "the benchmark is not done"),
    (unnoted, "stage 05_dpo is not done"),
    (lambda run: run.manifest.unlink(), "stage 01_persona_seeds is not done"),
    (lambda run: shutil.rmtree(run.model("dpo")), "models/dpo does not exist"),
    (retrained, "models/dpo is not what"),
    (talked_on, "transcripts.jsonl is not what"),
    (polished, "metrics.json is not what"),
])  # fmt: skip
def test_an_unfinished_or_changed_run_is_refused_and_nothing_is_written(run, harm, said):
    harm(run)
    with pytest.raises(UserError, match=said):
        export_policy(run, "dpo")
    assert not run.export("dpo").exists()


def test_a_preset_that_was_edited_since_is_refused(run):
    dpo = dataclasses.replace(run.params.training.dpo, beta=0.5)
    edited = dataclasses.replace(run.params, training=dataclasses.replace(run.params.training, dpo=dpo))
    with pytest.raises(UserError, match=r"other values of `training\.dpo` than the preset has now"):
        finished(dataclasses.replace(run, params=edited), "dpo")


@pytest.mark.parametrize("policy", ["told", "base", "none"])
def test_only_what_was_trained_and_scored_can_be_exported(run, policy):
    with pytest.raises(UserError, match="there are sft_preferred, dpo"):
        export_policy(run, policy)


def test_full_training_has_weights_alone(run):
    shutil.rmtree(run.model("dpo") / "adapter")
    note(run)
    folder = export_policy(run, "dpo")
    assert not (folder / "adapter").exists()
    assert "PEFT" not in (folder / "README.md").read_text()


def test_a_card_of_real_models_names_base_licence_and_own_judges(run):
    params = load_params("paper-llama3-8b")
    real = Run("paper-llama3-8b", params, run.root)
    known = finished(run, "dpo")._replace(
        manifest={"self_judging": ["alignment_judge[0]"]},
        metrics={**run.read_metrics(), "simulated": False, "unparseable": {"inducer": 2, "alignment_judge": 1}},
    )
    real.update_metrics({"simulated": False})
    card = model_card(real, "dpo", known, EXAMPLE, Written("bfloat16", False, "q4_k_m"))
    data = card.data.to_dict()
    assert (data["base_model"], data["license"]) == ("meta-llama/Meta-Llama-3-8B-Instruct", "llama3")
    assert "simulated" not in data["tags"]
    assert "simulated" not in card.text.lower()
    assert "Built with Meta Llama 3" in card.text
    assert "Judges of the responders' own model family" in card.text
    assert "3 answers of models could not be read" in card.text
    assert "gpt\\-4o (persona writer, user," in card.text
    assert "api.openai.com" not in card.text
    assert "written by Unsloth as `q4_k_m`" in card.text
    assert "in bfloat16, as they were scored" in card.text


def test_departures_from_the_corrected_recipe_are_told_in_words():
    training = {"dpo": {"settings": {"beta": 0.9, "departures": ["from_base"]}}}
    text = recipe(["dpo"], training, "mine")
    assert "- `from_base` in `dpo`: starts from the base model" in text
    assert "all corrections were in force" in recipe(["x"], {"x": {"settings": {"departures": []}}}, "mine")


def test_the_file_of_a_mix_is_not_named():
    own = {"settings": {"departures": [], "mix": {"path": "/home/me/private.jsonl", "share": 0.2}}, "steps": 1,
           "loss_before": 1.0, "loss_after": None}  # fmt: skip
    text = settings_table(["sft_preferred"], {"sft_preferred": own})
    assert "| general conversations mixed in | 20% of the sequences |" in text
    assert "1.000 → –" in text
    assert "private" not in text


@pytest.mark.parametrize("name", presets())
def test_the_base_model_of_every_preset_has_a_licence(name):
    base = load_params(name).training.base_model
    assert base in LICENCES
    assert of_a_hub(base) == name.startswith("paper-")


@pytest.mark.parametrize("cuda, installed, kind, said", [
    (True, True, "q3", "take one of q4_k_m"), (False, True, "q8_0", "there is none"),
    (True, False, "q8_0", "Unsloth, which is not installed"),
])  # fmt: skip
def test_gguf_is_refused_before_anything_is_written(run, monkeypatch, cuda, installed, kind, said):
    monkeypatch.setattr(gguf, "has_cuda", lambda: cuda)
    monkeypatch.setattr(gguf.importlib.util, "find_spec", lambda name: installed or None)
    with pytest.raises(UserError, match=said):
        export_policy(run, "dpo", kind)
    assert not run.export("dpo").exists()


STANDS_IN = """
from pathlib import Path
class FastLanguageModel:
    @staticmethod
    def from_pretrained(model_name, load_in_4bit):
        if FAILS:
            raise RuntimeError("llama.cpp could not be built")
        return FastLanguageModel(), Path(model_name, "tokenizer.json").read_text()
    def save_pretrained_gguf(self, folder, tokenizer, quantization_method):
        Path(folder + "_gguf").mkdir()
        Path(folder + "_gguf", f"model.{quantization_method.upper()}.gguf").write_text("weights")
"""


@pytest.mark.parametrize("fails", [False, True])
def test_what_unsloth_leaves_is_collected_and_its_failure_is_a_sentence(run, tmp_path, monkeypatch, fails):
    # A stand-in for Unsloth, whose kernels need a GPU: this tries what is around it, not the conversion.
    (tmp_path / "unsloth.py").write_text(f"FAILS = {fails}\n{STANDS_IN}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(export, "refuse_gguf", lambda kind: None)
    if fails:
        with pytest.raises(UserError, match=r"could not write q8_0: RuntimeError: llama\.cpp could not be built"):
            export_policy(run, "dpo", "q8_0")
        assert not run.export("dpo").exists()
        return
    folder = export_policy(run, "dpo", "q8_0")
    assert (folder / "gguf" / "model.Q8_0.gguf").read_text() == "weights"
    assert "written by Unsloth as `q8_0`" in (folder / "README.md").read_text()
    assert exported(run, "dpo", "q8_0") == folder
