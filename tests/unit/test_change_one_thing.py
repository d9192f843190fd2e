"""The recipes of the report's page "Change one thing": each is at most seven lines, and each runs.

That of a policy behind a server runs in tests/smoke/test_local_server.py.
"""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from tiny_model import save_tiny_model

from aloe import judging
from aloe.chat import open_chat
from aloe.dialogues import grow_trees
from aloe.params import ROOT
from aloe.personas import expand
from aloe.plan import make_plan
from aloe.records import DialogueTree, Message, Persona, Transcript, Turn, write_jsonl
from aloe.runs import open_run
from aloe.starting import read_start
from aloe.texts import load_texts
from aloe.training import train_sft

PAGE = (ROOT / "aloe" / "report" / "pages" / "change-one-thing.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^## ([^\n]+)\n(?:(?!## )[^\n]*\n)*?```(?:yaml|python)\n(.*?)```", PAGE, re.M | re.S))
PERSONA = Persona("bench-p1-t1", "bench-p1", "bench-t1", "Ana is a baker from Faro. She keeps two goats.", "Blunt.")


@pytest.fixture
def preset(tmp_path):
    """A recipe as a run in `tmp_path`, with other texts put in, such as the smallest preset to extend."""

    def make(title, changes):
        text = RECIPES[title]
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        return open_run(str(path), outputs=tmp_path / "outputs")

    return make


def texts(path, prefix, lines):
    rows = [json.dumps({"id": f"{prefix}{number}", "text": text}) for number, text in enumerate(lines, 1)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


def test_every_recipe_has_at_most_seven_lines():
    assert len(RECIPES) == 10
    assert {title: len(code.splitlines()) for title, code in RECIPES.items() if len(code.splitlines()) > 7} == {}


def test_own_seeds_grow_a_pool_of_their_own(preset, tmp_path):
    own = [text.text for text in load_texts(ROOT / "aloe" / "data" / "benchmark_profiles.jsonl", 5)][:6]
    traits = [text.text for text in load_texts(ROOT / "aloe" / "data" / "benchmark_personalities.jsonl", 5)]
    texts(tmp_path / "mine" / "profiles.jsonl", "seed-p", own)
    texts(tmp_path / "mine" / "personalities.jsonl", "seed-t", traits)
    run = preset("Own seeds", {"extends: sandbox": "extends: smoke", "mine/": f"{tmp_path}/mine/"})
    files = run.params.personas
    for kind, written in (("profile", own), ("personality", traits)):
        seeds = load_texts(Path(files.seed_profiles if kind == "profile" else files.seed_personalities), 5)
        assert [seed.text for seed in seeds] == written
        with open_chat(run) as chat:
            grown = expand(chat, seeds, kind, files, 0, [])
        assert len(grown.texts) > len(written)


def test_an_own_judge_scores_over_http(preset, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "aloe.sandbox", "--port", str(port)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert f"http://127.0.0.1:{port}/v1" in server.stdout.readline()
        run = preset("Own judge", {"127.0.0.1:8000": f"127.0.0.1:{port}"})
        said = (Message("user", "I keep two goats. Any advice?"), Message("assistant", "Milk your goats twice a day."))
        with open_chat(run) as chat:
            [row] = judging.judge(chat, [Transcript("x", "x", PERSONA, said)], run.params.roles.alignment_judge)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    assert row.judge == "my-judge"
    assert row.level in {1, 2, 3, 4, 5}


def test_an_own_policy_is_scored_turn_by_turn(tmp_path, capsys):
    code = RECIPES["Own policy"]
    for old, new in {'open_run("sandbox")': 'open_run("smoke", outputs=OUTPUTS)', "n_turns=10": "n_turns=2"}.items():
        assert old in code
        code = code.replace(old, new)
    space = {"OUTPUTS": tmp_path}
    exec(code, space)
    space["asked"].close()
    assert list(space["scores"]["turn"].unique()) == [1, 2]
    assert all(transcript.messages[1].content.startswith("You say: ") for transcript in space["held"])
    assert "turn" in capsys.readouterr().out


def test_another_base_model_is_trained(preset, tmp_path):
    model = save_tiny_model(tmp_path / "model", max_position_embeddings=4096)
    run = preset("Another base model", {"extends: sandbox": "extends: smoke", "mine/model": str(model)})
    turn = Turn("k", None, "Hi there!", "", "", "Yes, thanks.", "No.", ("", ""), "hinted", "hinted")
    people = [Persona(f"{split}-p1-t{n}", "p", "t", "", "") for split in ("train", "dev") for n in range(3)]
    write_jsonl(run.trees, [DialogueTree(f"tree-{p.id}", p, (turn,)) for p in people])
    summary = train_sft(run, "preferred")
    assert summary["settings"]["method"] == "lora"
    assert (run.model("sft_preferred") / "model.safetensors").is_file()


def test_every_preferred_reply_is_learned(preset, tmp_path):
    model = save_tiny_model(tmp_path / "model", max_position_embeddings=4096)
    changes = {
        "extends: sandbox": "extends: smoke",
        "backend: transformers": f"backend: transformers, base_model: {model}",
    }
    run = preset("Learn every preferred reply", changes)
    turn = Turn(
        "k", None, "Hi there!", "", "", "Yes, thanks.", "No.", ("", ""), "hinted", "plain"
    )  # goes on with "No."
    people = [Persona(f"{split}-p1-t{n}", "p", "t", "", "") for split in ("train", "dev") for n in range(3)]
    write_jsonl(run.trees, [DialogueTree(f"tree-{p.id}", p, (turn,)) for p in people])
    assert train_sft(run, "preferred")["sequences"] == 3


def test_another_language_is_what_is_asked(preset, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    shutil.copytree(ROOT / "aloe" / "prompts", tmp_path / "german" / "prompts")
    (tmp_path / "german" / "prompts" / "user.txt").write_text(
        "Du bist diese Person:\n{profile}\n{personality}\nDas Gespräch:\n{conversation}\nSchreibe nur die Nachricht.\n"
    )
    run = preset("Another language", {"german/": f"{tmp_path}/german/"})
    asked = []

    def answer(request):
        asked.append(json.loads(request.content)["messages"])
        text = "\n".join(message["content"] for message in asked[-1])
        reply = "Preferred: 1" if "Preferred" in text else "Profile: Sie backt.\nPersonality: nothing yet"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": reply}}
        return httpx2.Response(200, json={"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})

    with open_chat(run, httpx2.MockTransport(answer)) as chat:
        [tree] = grow_trees(chat, [PERSONA], run.params.trees, 0)
    assert tree.turns
    assert any("Schreibe nur die Nachricht." in messages[0]["content"] for messages in asked)


def test_a_trained_policy_loads_in_three_lines(tmp_path, capsys):
    model = save_tiny_model(tmp_path / "model")
    code = RECIPES["Use the aligned model elsewhere"]
    assert len(code.splitlines()) == 3
    exec(code.replace("outputs/sandbox/models/dpo", str(model)), {})
    assert "assistant" in capsys.readouterr().out


def test_dialogues_that_branch_hold_what_the_recipe_says(preset, tmp_path):
    changes = {"sandbox": "smoke", "expand_share: 0.2": "expand_share: 1.0"}
    run = preset("Dialogues that branch", changes)
    with open_chat(run) as chat:
        [tree] = grow_trees(chat, [PERSONA], run.params.trees, 0)
    assert len(tree.turns) == 1 + 2 + 4 + 8


def test_released_dialogues_are_read_instead_of_held(preset, tmp_path):
    turn = {"user": "Hi!", "assistant": {"preferred": "Yes.", "rejected": "No."}, "chosen": "preferred",
            "inferred_profile": "", "inferred_personality": ""}  # fmt: skip
    copy = tmp_path / "conversations.jsonl"
    copy.write_text(json.dumps({"profile": "Ana.", "personality": "Blunt.", "conversations": [turn]}) + "\n")
    run = preset("Start from the released dialogues", {"mine/conversations.jsonl": str(copy)})
    assert [tree.persona.profile for tree in read_start(run.params).dialogues] == ["Ana."]
    asked = {role.role: role.calls for role in make_plan(run.params).roles}
    assert asked["persona_writer"] == asked["inducer"] == 0
