"""The simulated model as a server: the OpenAI protocol in process and over a socket, counts, and planted faults."""

import asyncio
import contextlib
import random
import socket
import subprocess
import sys
import time

import httpx2
import pytest
from openai import OpenAI

from aloe.prompts import render
from aloe.sandbox.app import build_app
from aloe.sandbox.faults import Faults, draw_fault, read_faults
from aloe.sandbox.model import Knobs

CHAT = [{"role": "system", "content": render("plain_responder")}, {"role": "user", "content": "Any ideas?"}]
MANY = [{"messages": [*CHAT[:1], {"role": "user", "content": f"Any ideas, number {i}?"}], "seed": i} for i in range(12)]


def in_process(calls, seed=0, **options):
    """What the application answers to several requests at once."""

    async def run():
        transport = httpx2.ASGITransport(app=build_app(Knobs(), seed, **options))
        async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            answers = await asyncio.gather(*(client.post("/v1/chat/completions", json=call) for call in calls))
            return answers, (await client.get("/stats")).json()

    return asyncio.run(run())


def texts(answers):
    return [answer.json()["choices"][0]["message"]["content"] for answer in answers]


@contextlib.contextmanager
def served(*options):
    """The address of `python -m aloe.sandbox` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "aloe.sandbox", "--port", str(port), *map(str, options)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
        try:
            yield f"http://127.0.0.1:{wait_for(port, server)}"
        finally:
            server.terminate()


def wait_for(port, server):
    for _ in range(1200):
        assert server.poll() is None, "the server ended"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return port
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def test_an_answer_has_the_form_of_a_chat_completion():
    (answer,), stats = in_process([{"model": "gpt-x", "messages": CHAT}])
    body = answer.json()
    assert (answer.status_code, body["object"], body["model"]) == (200, "chat.completion", "gpt-x")
    assert body["choices"][0]["message"]["role"] == "assistant"
    assert body["choices"][0]["finish_reason"] == "stop"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["prompt_tokens"] > usage["completion_tokens"] > 0
    assert stats == {"received": 1, "answered": 1}


def test_the_same_requests_get_the_same_answers_in_any_order_and_at_once():
    forwards, _ = in_process(MANY)
    backwards, _ = in_process(MANY[::-1], latency=0.01)
    assert texts(forwards) == texts(backwards)[::-1]
    assert len(set(texts(forwards))) >= 8


def test_the_seed_of_the_server_and_that_of_the_request_both_count():
    first, _ = in_process(MANY)
    other, _ = in_process(MANY, seed=1)
    reseeded, _ = in_process([{**call, "seed": 99} for call in MANY])
    assert texts(first) != texts(other)
    assert texts(first) != texts(reseeded)


def test_calls_that_wait_at_the_same_time_are_all_counted():
    _, stats = in_process(MANY, latency=0.02)
    assert stats == {"received": 12, "answered": 12}


@pytest.mark.parametrize(
    "call", [[], "hello", {}, {"messages": 3}, {"messages": ["x"]}, {"messages": [{"role": "user"}]}]
)
def test_what_is_no_chat_request_is_refused(call):
    (answer,), stats = in_process([call])
    assert answer.status_code == 400
    assert "not a chat request" in answer.json()["error"]["message"]
    assert stats == {"received": 1, "answered": 0}


def test_the_real_client_talks_with_the_served_model_as_with_the_mounted_one():
    mounted, _ = in_process(MANY[:3], seed=5)
    with served("--seed", 5) as address:
        client = OpenAI(base_url=f"{address}/v1", api_key="none")
        said = [
            client.chat.completions.create(model="simulated", messages=call["messages"], seed=call["seed"])
            for call in MANY[:3]
        ]
        assert [answer.choices[0].message.content for answer in said] == texts(mounted)
        assert client.models.list().data[0].id == "simulated"
        assert httpx2.get(f"{address}/stats").json() == {"received": 3, "answered": 3}
        assert httpx2.get(f"{address}/health").json() == {"status": "ok"}
        assert httpx2.get(f"{address}/v2").status_code == 404


def test_a_served_model_fails_as_its_fault_file_says(tmp_path):
    def outcome(address):
        try:
            answer = httpx2.post(f"{address}/v1/chat/completions", json=MANY[0], timeout=30)
            return answer.status_code, bool(texts([answer])[0]) if answer.status_code == 200 else None
        except (httpx2.TransportError, ValueError) as error:
            return type(error)

    expected = {
        "always: true": (500, None),
        "{429: 1.0}": (429, None),
        "{timeout: 1.0, hang: 0.01}": (504, None),
        "{empty_content: 1.0}": (200, False),
        "{reset: 1.0}": httpx2.RemoteProtocolError,
        "{truncated_body: 1.0}": ValueError,
    }
    for number, (text, wanted) in enumerate(expected.items()):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        with served("--faults", file) as address:
            got = outcome(address)
            assert got == wanted or (isinstance(got, type) and issubclass(got, wanted)), text
            assert httpx2.get(f"{address}/stats").json() == {"received": 1, "answered": 0}


def test_a_retry_can_succeed_and_always_does_not():
    half = Faults(server_error=0.5)
    answers = [in_process([MANY[0]] * 8, faults=half)[0] for _ in range(2)]
    statuses = [[answer.status_code for answer in row] for row in answers]
    assert statuses[0] == statuses[1]
    assert set(statuses[0]) == {200, 500}
    assert {answer.status_code for answer in in_process(MANY, faults=Faults(always=True))[0]} == {500}


def test_faults_are_drawn_at_their_rates():
    faults, rng = Faults(rate_limit=0.2, empty=0.1), random.Random(0)
    drawn = [draw_fault(faults, rng) for _ in range(2000)]
    assert abs(drawn.count("rate_limit") / 2000 - 0.2) <= 0.027  # three standard errors
    assert abs(drawn.count("empty") / 2000 - 0.1) <= 0.02
    assert set(drawn) == {"rate_limit", "empty", None}


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("- 1", "expected a mapping"),
        ("", "expected a mapping"),
        ("{a: [", "is not YAML"),
        ("explosion: 0.1", "unknown fault 'explosion'"),
        ("empty: 1.5", "between 0 and 1, got 1.5"),
        ("empty: often", "between 0 and 1, got 'often'"),
        ("empty: [1]", "between 0 and 1"),
        ("empty: .nan", "between 0 and 1"),
        ("always: 1", "true or false, got 1"),
        ("hang: -1", "a time in seconds, got -1"),
    ],
)
def test_a_bad_fault_file_is_refused_in_a_sentence_that_names_it(tmp_path, text, complaint):
    file = tmp_path / "faults.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"faults\.yaml") as refused:
        read_faults(file)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_server_does_not_start_on_a_bad_or_missing_fault_file(tmp_path):
    (tmp_path / "bad.yaml").write_text("{a: [")
    for name in ("bad.yaml", "none.yaml"):
        command = [sys.executable, "-m", "aloe.sandbox", "--port", "0", "--faults", str(tmp_path / name)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert name in done.stderr
        assert "Traceback" not in done.stderr


def test_a_caller_who_has_hung_up_is_not_answered():
    with served("--latency", 0.5) as url:
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{url}/v1/chat/completions", json=MANY[0], timeout=0.1)
        httpx2.post(f"{url}/v1/chat/completions", json=MANY[1]).raise_for_status()
        assert httpx2.get(f"{url}/stats").json() == {"received": 2, "answered": 1}


def test_a_port_that_is_taken_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "aloe.sandbox", "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be had (Address already in use); choose another one" in done.stderr
    assert "Traceback" not in done.stderr
