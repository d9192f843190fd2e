"""The data set of a run: what `datasets` loads of it, what its card says, when it is refused, and where it is sent."""

import dataclasses
import json
import os
import subprocess
import sys

import local_hub
import pytest
import yaml
from datasets import load_dataset
from test_branching import TREE

from aloe.branching import trunk
from aloe.dataset import CARD, ORIGIN, rows, write_dataset, written
from aloe.errors import UserError
from aloe.params import ROOT, ReleasedPool, load_params
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.records import Models, Persona, write_jsonl
from aloe.runs import Run
from aloe.stages import STAGES, recipe

HOSTILE = "---\nlicense: other\n---\n<script>alert(1)</script> ![x](https://evil.example/p.png) | a | \u202e"
DEV = Persona("dev-p0-t0", "dev-p0", "dev-t0", "Bo.", "Shy.")
MODELS = Models("user-model", "note-model", "hint-model", "plain-model", "judge-model")
TREES = [
    dataclasses.replace(TREE, models=MODELS),
    dataclasses.replace(trunk(TREE), id="tree-dev", persona=DEV, models=MODELS),
]
METRICS = {"hinted_preferred_rate": 0.625, "orders_agree": 0.9, "labels": {"hinted": 3, "tie": 1}, "n_turns": 3,
           "length_audit": {"share": 0.123}}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A run whose dialogues are grown, as far as a data set looks at it."""
    params = dataclasses.replace(load_params("smoke"), description=HOSTILE)
    run = Run("mine", params, tmp_path / "outputs" / "mine")
    write_jsonl(run.trees, TREES)
    run.update_metrics({"trees": METRICS})
    for stage in STAGES[:3]:
        outputs, metrics = ([run.trees], {"trees": METRICS}) if stage.name.startswith("03") else ([], {})
        run.record_stage(stage.name, [], outputs, recipe=recipe(stage, run), metrics=metrics)
    return run


def loaded(folder, tmp_path, name):
    return load_dataset(str(folder), name, cache_dir=str(tmp_path / "cache"))


def test_every_configuration_loads_by_split_and_holds_what_the_study_trains_on(run, tmp_path):
    folder = write_dataset(run)
    assert folder == run.root / "dataset"
    turns, sft, dpo = (loaded(folder, tmp_path, name) for name in ("dialogues", "sft", "dpo"))
    assert {split: len(own) for split, own in turns.items()} == {"train": 6, "dev": 3}
    # by hand (test_branching): the whole tree has 2 + 3 conversations and 5 pairs; its trunk abc 0 + 1 and 2
    assert {split: len(own) for split, own in sft.items()} == {"train": 5, "dev": 1}
    assert {split: len(own) for split, own in dpo.items()} == {"train": 5, "dev": 2}
    preferred = sft["train"].filter(lambda row: row["reply"] == "preferred")
    assert [{"messages": row["messages"], "train": row["train"]} for row in preferred] == sft_conversations(
        TREES[:1], "preferred"
    )
    pair, wanted = dpo["train"][4], dpo_pairs(TREES[:1])[4]
    assert [m["content"] for m in pair["prompt"]] == [m.content for m in wanted.prompt]
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == (wanted.chosen, wanted.rejected)
    assert turns["train"][3]["off_branch"] is True
    assert {row["turn"] for row in turns["train"]} == {1, 2, 3}
    for own in (turns, sft, dpo):
        assert not set(own["train"]["persona_id"]) & set(own["dev"]["persona_id"])


def test_the_card_says_what_is_in_it_who_wrote_it_and_whether_it_is_simulated(run, tmp_path):
    text = (write_dataset(run) / CARD).read_text(encoding="utf-8")
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["license"], "simulated" in head["tags"]) == ("mit", True)
    assert "**Simulated.**" in text
    assert "| `train` | 1 | 1 | 1 | 1 | 6 | 5 | 5 |" in text
    assert "| preference judge | judge\\-model |" in text
    for name in ("hinted_preferred_rate", "orders_agree", "length_audit.share"):
        assert f"| `{name}` |" in text
    assert "| `verdict_hinted_first` | `string` | the judge's answer, hinted reply shown first |" in text
    assert str(tmp_path) not in text
    assert "<script>" not in text
    assert "![x]" not in text
    assert "\u202e" not in text


def test_a_data_set_of_real_models_names_no_licence_of_its_own(run):
    real = dataclasses.replace(run, params=dataclasses.replace(run.params, simulated=False))
    for stage in STAGES[:3]:
        outputs, metrics = ([run.trees], {"trees": METRICS}) if stage.name.startswith("03") else ([], {})
        run.record_stage(stage.name, [], outputs, recipe=recipe(stage, real), metrics=metrics)
    text = (write_dataset(real) / CARD).read_text(encoding="utf-8")
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "other"
    assert "Simulated" not in text
    assert "providers' terms" in text


def test_what_a_schema_holds_is_what_rows_have(run):
    from aloe.dataset_schema import SCHEMAS

    for name, schema in SCHEMAS.items():
        assert all(list(row) == schema.names for row in rows(name, TREES)), name


def test_the_same_dialogues_give_the_same_files(run):
    first = {p.name: p.read_bytes() for p in write_dataset(run).rglob("*.parquet")}
    assert first == {p.name: p.read_bytes() for p in write_dataset(run).rglob("*.parquet")}


def test_an_edited_card_is_kept_and_sent_but_never_overwritten(run):
    folder = write_dataset(run)
    (folder / CARD).write_text("mine")
    assert written(run) == folder
    assert (folder / CARD).read_text() == "mine"
    with pytest.raises(UserError, match=r"README\.md was edited"):
        write_dataset(run)


def test_what_is_not_the_stages_or_not_the_presets_is_refused(run):
    other = dataclasses.replace(run.params, trees=dataclasses.replace(run.params.trees, n_turns=2))
    with pytest.raises(UserError, match="was made with other values of `trees`"):
        write_dataset(dataclasses.replace(run, params=other))
    released = dataclasses.replace(run.params.personas, from_released=ReleasedPool("a", "b"))
    with pytest.raises(UserError, match="carry no licence"):
        write_dataset(dataclasses.replace(run, params=dataclasses.replace(run.params, personas=released)))
    write_jsonl(run.trees, TREES[:1])
    with pytest.raises(UserError, match="is not what the stage of the dialogues wrote"):
        write_dataset(run)
    run.trees.unlink()
    with pytest.raises(UserError, match="has no dialogues; run `make all PRESET=smoke` first"):
        write_dataset(run)
    assert not run.dataset.exists()


CODE = """
import sys
from pathlib import Path
from aloe.hub import DATASET, push, read_token
print(push(Path(sys.argv[1]), sys.argv[2], read_token(sys.argv[2], DATASET), DATASET))
"""


def test_it_is_sent_whole_to_a_private_repository_of_data(run, tmp_path):
    folder = write_dataset(run)
    with local_hub.serve() as hub:
        given = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        given |= {"PYTHONPATH": str(ROOT), "HF_TOKEN": local_hub.TOKEN, "HF_HOME": str(tmp_path), **hub.environment}
        command = [sys.executable, "-c", CODE, str(folder), "me/pairs"]
        done = subprocess.run(command, env=given, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.stdout.strip() == f"{hub.url}/datasets/me/pairs", done.stderr
        sent = {path: content for path, content in hub.repositories["me/pairs"].items() if path != ".gitattributes"}
        assert (hub.private, hub.kinds) == ({"me/pairs": True}, {"me/pairs": "dataset"})
        assert hub.commits[0] == ["header", f"file {ORIGIN}"]
    assert sent == {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert json.loads(sent[ORIGIN])["simulated"] is True
    assert local_hub.TOKEN not in done.stdout + done.stderr
