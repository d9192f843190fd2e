"""Dialogues with the served sandbox, disturbed: kills, faults and budgets change no tree and pay for nothing twice."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from aloe.params import ROOT
from aloe.prompts import render

pytestmark = pytest.mark.smoke

IN_FLIGHT, N_TREES, N_TURNS = 8, 6, 2
CALLS = N_TREES * N_TURNS * 6  # user, inducer, two responders, the judge in both orders
GROW = """
import sys
from pathlib import Path
from aloe.chat import open_chat
from aloe.dialogues import grow_trees
from aloe.errors import UserError
from aloe.params import ROOT
from aloe.records import Persona, write_jsonl
from aloe.runs import open_run
from aloe.texts import load_texts

run = open_run(sys.argv[1], outputs=Path(sys.argv[2]))
profiles = load_texts(ROOT / run.params.personas.seed_profiles, 6)
personalities = load_texts(ROOT / run.params.personas.seed_personalities, 6)
personas = [Persona(f"train-p{i}-t{i}", f"train-p{i}", f"train-t{i}", p.text, t.text)
            for i, (p, t) in enumerate(zip(profiles[:6], personalities))]
try:
    with open_chat(run) as chat:
        write_jsonl(run.trees, grow_trees(chat, personas, run.params.trees, run.params.seed))
except UserError as error:
    sys.exit(f"error: {error}")
"""


WARM_UP = {"profile": "Ana keeps goats.", "personality": "Blunt.", "conversation": "", "reply": "Milk them."}


@contextlib.contextmanager
def served(*options, warm=True):
    """A sandbox server of its own with 0.05 s latency: its base_url, and a function that gives its counters.

    With `warm`, it has scored a reply before: the first one loads the judge, which takes seconds.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "aloe.sandbox", "--port", str(port), "--latency", "0.05", *options],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def ask(path, body=None):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", data=body, timeout=120) as answer:
            return json.loads(answer.read())

    messages = [{"role": "system", "content": render("alignment_judge", **WARM_UP)}]
    request = json.dumps({"model": "x", "messages": messages}).encode() if warm else None
    try:
        for _ in range(600):
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                if ask("v1/chat/completions" if warm else "health", request):
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", lambda: ask("stats")
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def growing(tmp_path):
    """Start growing trees in a process of its own, in a run of this name."""

    def start(url, name="mine", more="", **endpoint):
        values = {"max_in_flight": IN_FLIGHT, "timeout_s": 30.0, "max_retries": 12} | endpoint
        keys = ", ".join(f"{key}: {value}" for key, value in values.items())
        preset = tmp_path / f"{name}.yaml"
        preset.write_text(
            f"extends: smoke\n{more}\ntraining: {{dpo: {{n_dev_pairs: 4}}}}\n"
            f"trees: {{n_trees: {N_TREES}, n_turns: {N_TURNS}}}\n"
            f'endpoints: {{simulated: {{base_url: "{url}", {keys}}}}}\n'
        )
        command = [sys.executable, "-c", GROW, str(preset), str(tmp_path)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    return start


@pytest.fixture(scope="module")
def server():
    with served() as found:
        yield found


@pytest.fixture
def trees(tmp_path):
    """The bytes of a run's trees."""
    return lambda name="mine": (tmp_path / name / "trees" / "trees.jsonl").read_bytes()


def finish(process):
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said[-2000:]


def test_kills_and_any_number_in_flight_give_the_same_trees_and_pay_hardly_anything_twice(server, growing, trees):
    url, stats = server
    before = stats()["answered"]
    finish(growing(url, "undisturbed"))
    undisturbed = stats()["answered"] - before
    assert undisturbed <= CALLS
    finish(growing(url, "alone", max_in_flight=1))
    before = stats()["answered"]
    for kill in range(1, 4):
        process = growing(url)
        while stats()["answered"] < before + kill * undisturbed // 5 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL  # it had not ended by itself
    finish(growing(url))
    assert undisturbed <= stats()["answered"] - before <= undisturbed + 3 * IN_FLIGHT
    assert trees() == trees("undisturbed") == trees("alone")


def test_a_budget_stops_at_its_cap_and_a_higher_one_ends_with_the_undisturbed_trees(server, growing, trees):
    url, stats = server
    finish(growing(url, "undisturbed"))
    before = stats()["answered"]
    process = growing(url, more=f"budget_calls: {CALLS // 2}")
    _, said = process.communicate(timeout=300)
    assert process.returncode != 0
    assert f"The budget of {CALLS // 2} calls is used up" in said
    assert "raise `budget_calls` in the preset and run again" in said
    assert stats()["answered"] - before == CALLS // 2
    finish(growing(url, more=f"budget_calls: {CALLS}"))
    assert trees() == trees("undisturbed")


def test_a_server_with_faults_gives_the_same_trees(server, growing, trees, tmp_path):
    finish(growing(server[0], "undisturbed"))
    faults = tmp_path / "faults.yaml"
    faults.write_text(
        "{429: .05, 500: .05, reset: .05, timeout: .05, truncated_body: .05, empty_content: .05, hang: 5}"
    )
    with served("--faults", str(faults)) as (url, stats):
        finish(growing(url, timeout_s=3.0))
        assert stats()["received"] > stats()["answered"]
    assert trees() == trees("undisturbed")


def test_a_server_that_always_fails_ends_the_run_within_the_bound_and_the_journal_can_be_used(
    server, growing, tmp_path
):
    faults = tmp_path / "faults.yaml"
    faults.write_text("always: true")
    with served("--faults", str(faults), warm=False) as (url, stats):
        process = growing(url, max_retries=2)
        _, said = process.communicate(timeout=120)
        assert process.returncode != 0
        assert "3 requests in a row; everything had so far is kept" in said
        assert "Traceback" not in said
        assert stats()["received"] <= 3 * N_TREES
    finish(growing(server[0]))
