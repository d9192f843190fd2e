"""`transformers serve` with this project's own small checkpoint: a policy of the benchmark, and a voice in any role."""

import contextlib
import dataclasses
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from conftest import copied

from aloe.benchmark import entrants, run_benchmark
from aloe.chat import open_chat
from aloe.generation import open_policy
from aloe.judging import score
from aloe.params import ROOT
from aloe.prompts import render
from aloe.records import Message
from aloe.runs import open_run

pytestmark = pytest.mark.smoke

MODEL = "aloe/sandbox/base_model"
PAGE = (ROOT / "aloe" / "report" / "pages" / "change-one-thing.md").read_text(encoding="utf-8")
TINY = """
personas: {n_profiles: 8, n_personalities: 8, dev_profiles: 2, dev_personalities: 2, personalities_per_profile: 2}
trees: {n_trees: 4, n_dev_trees: 3, n_turns: 2}
training: {dpo: {n_pairs: 4, n_dev_pairs: 4}}
benchmark: {n_profiles: 2, n_personalities: 1, n_turns: 2}
"""
WRITER = "persona_writer"  # what it writes is no list: the pool is left with the seeds, and `TINY` draws from those
TALKERS = ("user", "hinted_responder", "plain_responder")
ALL = (WRITER, *TALKERS, "inducer", "preference_judge", "alignment_judge")


@pytest.fixture(scope="module")
def server():
    """The base_url of a `transformers serve` of its own, with the small base model."""
    pytest.importorskip("fastapi", reason="`transformers serve` needs fastapi, which `make setup` installs")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", MODEL, "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)], cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            assert process.poll() is None, f"{' '.join(command)} ended with {process.returncode}"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def test_a_served_checkpoint_is_a_policy_that_says_what_the_checkpoint_says(server, tmp_path):
    recipe = re.search(r"^## A policy behind a server\n.*?```yaml\n(.*?)```", PAGE, re.M | re.S)[1]
    for old, new in {"sandbox\n": "smoke\n", "http://127.0.0.1:8000/v1": server, "outputs/sandbox/models/dpo": MODEL,
                     "[base, dpo, served]": "[served]"}.items():  # fmt: skip
        assert old in recipe
        recipe = recipe.replace(old, new)
    (tmp_path / "recipe.yaml").write_text(recipe)
    preset = tmp_path / "served.yaml"
    sizes = "{n_profiles: 2, n_personalities: 1, n_turns: 3}"
    preset.write_text(f"extends: {tmp_path}/recipe.yaml\nbenchmark: {sizes}\n")
    run = open_run(str(preset), outputs=tmp_path / "outputs")
    sizes = dataclasses.replace(run.params.benchmark, temperature=0.0, max_new_tokens=80)
    with open_chat(run) as chat:
        transcripts = run_benchmark(chat, run, entrants(run, lambda folder: pytest.fail(f"{folder} was opened")))
        scores = score(chat, run, transcripts)
    assert [len(transcript.messages) for transcript in transcripts] == [2 * sizes.n_turns] * sizes.n_profiles
    assert len(scores) == sizes.n_profiles * sizes.n_turns
    assert scores["level"].notna().all()
    system = Message("system", render("plain_responder"))
    asked = [[system, *t.messages[: 2 * turn + 1]] for t in transcripts for turn in range(sizes.n_turns)]
    said = [t.messages[2 * turn + 1].content for t in transcripts for turn in range(sizes.n_turns)]
    assert all(said)
    assert said == open_policy(ROOT / MODEL, sizes, run.params.seed).reply(asked)


@pytest.fixture(scope="module")
def made(server, tmp_path_factory):
    """A tiny run in a copy of this checkout, with the served checkpoint in some roles and the sandbox in the others."""
    copy = copied(tmp_path_factory.mktemp("served"))

    def make(name, served):
        spec = f"{{endpoint: local, model: {MODEL}, family: llama, temperature: 0.0, max_tokens: 96}}"
        roles = [f"  {role}: {f'[{spec}]' if role == 'alignment_judge' else spec}" for role in served]
        endpoint = f'{{base_url: "{server}", api_key_env: null, max_in_flight: 1, timeout_s: 60.0, max_retries: 2}}'
        simulated = "simulated: false\nallow_self_judging: true\n" if served == ALL else ""
        lines = ["extends: smoke", f"{simulated}endpoints:", f"  local: {endpoint}", "roles:", *roles]
        (copy.root / "params" / f"{name}.yaml").write_text("\n".join(lines) + TINY)
        return copy.aloe("run", "--preset", name), copy.root / "outputs" / name

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("served", "stage", "told"),
    [
        (ALL, "03_dialogue_trees", "7 of 7 dialogues could not go on"),
        (("preference_judge",), "03_dialogue_trees", "Not one of 8 training turns has a preferred reply: 8 had a"),
        (("alignment_judge",), "06_aloe_benchmark", "no case in which every reply got a level from every judge"),
    ],
    ids=["all roles", "preference judge", "alignment judge"],
)
def test_nonsense_in_a_role_that_is_read_is_counted_and_the_run_ends_with_a_report_that_says_so(
    made, served, stage, told
):
    done, run = made("-".join(served)[:30], served)
    assert done.returncode == 2, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert told in done.stderr
    front = (run / "report" / "index.html").read_text()
    assert "This run ended early" in front
    assert told in front
    assert (run / "report" / "notebooks" / f"{stage}.html").is_file()
    if WRITER in served:
        assert json.loads((run / "metrics.json").read_text())["unparseable"] == {WRITER: 4}
        assert "inducer 7" in front


@pytest.mark.slow
def test_nonsense_in_roles_that_only_talk_comes_to_an_end_with_a_report_of_what_could_not_be_read(made):
    done, run = made("talkers", (WRITER, *TALKERS))
    assert done.returncode == 0, done.stderr[-3000:]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["unparseable"] == {WRITER: 4, "inducer": 0, "preference_judge": 0, "alignment_judge": 0}
    front = (run / "report" / "index.html").read_text()
    assert "counted as unparseable" in front
    assert WRITER in front
