"""Chat and journal: what is sent, what is kept, and what happens when an endpoint does not do its part."""

import asyncio
import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import signal
import socket
import threading
import time
import traceback

import httpx2
import pytest

from aloe import pace, spending
from aloe.chat import AskError, open_chat
from aloe.errors import UserError
from aloe.journal import Entry, Journal
from aloe.params import Endpoint, EndpointPolicy, load_params
from aloe.prices import usd
from aloe.records import Message
from aloe.runs import Run

KEY = "sk-very-secret-0123456789"
HELLO = [Message("system", "Be brief."), Message("user", "Hello?")]
ENTRY = Entry("user", "sandbox:", "simulated", "hi", "stop", 3, 4, 0.5)


class Server:
    """An endpoint in this process: `answers` gives (status, body) or an exception for each request in turn.

    A third part of an answer is its headers, in place of those that ask for a retry at once.
    """

    def __init__(self, *answers):
        self.answers, self.requests, self.headers = list(answers), [], []
        self.now = self.most = 0

    async def __call__(self, scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message.get("more_body", False)
        self.requests.append(json.loads(body))
        number = len(self.requests)
        self.headers.append(dict(scope["headers"]))
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        answer = self.answers.pop(0) if self.answers else completion(f"reply {number}")
        if isinstance(answer, Exception):
            raise answer
        status, content, *own = answer
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        own = own[0] if own else {"retry-after-ms": "1"}
        headers = [(b"content-type", b"application/json"), *((k.encode(), v.encode()) for k, v in own.items())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def completion(text, reason="stop", usage=True):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
    counts = {"usage": {"prompt_tokens": 1000, "completion_tokens": 100}} if usage else {}
    return 200, {"id": "x", "object": "chat.completion", "choices": [choice], **counts}


def failure(status, text, code=None):
    return status, {"error": {"message": text, "code": code}}


@pytest.fixture
def run(tmp_path):
    """A run whose one endpoint is asked with one retry, three at a time."""
    params = load_params("smoke", seed=5)
    endpoint = Endpoint("sandbox:", None, max_in_flight=3, timeout_s=5.0, max_retries=1)
    return Run("toy", dataclasses.replace(params, endpoints={"simulated": endpoint}), tmp_path)


def at(run, **changes):
    """The run with another endpoint."""
    endpoint = dataclasses.replace(run.params.endpoints["simulated"], **changes)
    return dataclasses.replace(run, params=dataclasses.replace(run.params, endpoints={"simulated": endpoint}))


def with_budget(run, usd=None, calls=None):
    """The run with caps."""
    return dataclasses.replace(run, params=dataclasses.replace(run.params, budget_usd=usd, budget_calls=calls))


@pytest.fixture
def opened():
    """Open chats on a server in this process; they are closed when the test ends."""
    chats = []

    def chat_on(run, server):
        chats.append(open_chat(run, httpx2.ASGITransport(app=server) if server else None))
        return chats[-1]

    yield chat_on
    for chat in chats:
        chat.close()


def ask(chat, *questions, role="user", **options):
    """The replies to some questions, asked at once."""
    jobs = [functools.partial(chat.ask, role, [Message("user", text)], **options) for text in questions]
    return chat.run(jobs, "asking")


def test_only_five_fields_are_sent_and_a_repeat_has_its_own_seed(run, opened):
    server = Server()
    chat = opened(run, server)
    assert chat.run([lambda: chat.ask("user", HELLO)], "x") == ["reply 1"]
    assert chat.run([lambda: chat.ask("user", HELLO, repeat=2)], "x") == ["reply 2"]
    role = run.params.roles.user
    assert server.requests[0] == {
        "model": role.model, "temperature": role.temperature, "max_tokens": role.max_tokens, "seed": 5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
    }  # fmt: skip
    assert server.requests[1]["seed"] == 5 + 2 * 1_000_003


def test_a_role_with_a_seed_of_its_own_sends_that(run, opened):
    server = Server()
    user = dataclasses.replace(run.params.roles.user, seed=77)
    roles = dataclasses.replace(run.params.roles, user=user)
    chat = opened(dataclasses.replace(run, params=dataclasses.replace(run.params, roles=roles)), server)
    chat.run([lambda: chat.ask("user", HELLO, repeat=1), lambda: chat.ask("inducer", HELLO)], "x")
    assert sorted(request["seed"] for request in server.requests) == [5, 77 + 1_000_003]


def test_a_reply_once_had_comes_from_the_journal_ever_after(run, opened):
    first = Server()
    chat = opened(run, first)
    assert ask(chat, "a") == ask(chat, "a") == ["reply 1"]
    chat.close()
    second = Server()
    again = opened(run, second)
    assert ask(again, "a") == ["reply 1"]
    assert (len(first.requests), len(second.requests)) == (1, 0)
    assert (again.usage.calls, again.usage.cached_calls) == (0, 1)


def test_runs_that_share_a_journal_pay_once_also_while_both_are_open(run, opened, tmp_path):
    owner = dataclasses.replace(run, root=tmp_path / "toy")
    params = dataclasses.replace(run.params, name="other", journal="toy")
    other = Run("other", params, tmp_path / "other")
    server = Server()
    first, second = opened(owner, server), opened(other, server)
    assert ask(first, "a", "b") == ["reply 1", "reply 2"]
    assert ask(second, "b", "c", "a") == ["reply 2", "reply 3", "reply 1"]
    assert ask(first, "c") == ["reply 3"]
    assert len(server.requests) == 3
    assert (second.usage.calls, second.usage.cached_calls) == (1, 2)
    assert not other.root.exists()


def test_the_key_of_a_request_stays_what_it_was_so_that_old_journals_are_found(run, opened):
    chat = opened(at(run, base_url="https://example.org/v1"), Server())
    ask(chat, "a")
    request = {"model": "simulated", "messages": [{"role": "user", "content": "a"}], "temperature": 0.8,
               "max_tokens": 256, "seed": 5}  # fmt: skip
    key = hashlib.sha256(json.dumps(["https://example.org/v1", request, 0], ensure_ascii=False).encode()).hexdigest()
    with Journal(run.journal) as journal:
        assert journal.get(key).reply == "reply 1"


def test_whatever_changes_the_reply_changes_the_request(run, opened):
    server = Server()
    ask(opened(run, server), "a")
    ask(opened(dataclasses.replace(run, params=dataclasses.replace(run.params, seed=6)), server), "a")
    ask(opened(at(run, base_url="http://127.0.0.1:1/v1"), server), "a")
    ask(opened(run, server), "a", role="inducer")
    assert len(server.requests) == 4


def test_the_same_question_at_the_same_time_is_asked_once(run, opened):
    server = Server()
    replies = ask(opened(run, server), "a", "a", "b", "a")
    assert replies[0] == replies[1] == replies[3] != replies[2]
    assert len(server.requests) == 2


def test_a_policy_behind_an_endpoint_is_asked_as_its_entry_says(run, opened):
    rival = EndpointPolicy(**dataclasses.asdict(run.params.roles.user) | {"model": "rival", "temperature": 0.3})
    bench = dataclasses.replace(run.params.benchmark, endpoint_policies={"mine": rival})
    server = Server()
    ask(
        opened(dataclasses.replace(run, params=dataclasses.replace(run.params, benchmark=bench)), server),
        "a",
        role="mine",
    )
    assert (server.requests[0]["model"], server.requests[0]["temperature"]) == ("rival", 0.3)


def test_results_come_in_the_order_of_the_jobs_and_slots_are_kept(run, opened):
    server = Server()
    chat = opened(run, server)
    texts = [str(number) for number in range(40)]
    replies = ask(chat, *texts)
    answered = {request["messages"][0]["content"]: f"reply {n}" for n, request in enumerate(server.requests, 1)}
    assert replies == [answered[text] for text in texts]
    assert server.most == 3


def test_a_bar_ends_full_however_fast_the_answers_come(run, opened, capsys):
    chat = opened(run, Server())
    ask(chat, "Hello?")
    for _ in range(5):  # from the journal, sooner than anybody looks
        ask(chat, "Hello?")
        assert "100%" in capsys.readouterr().err


def test_no_jobs_have_no_results(run, opened):
    assert opened(run, Server()).run([], "nothing") == []


def test_a_second_judge_is_another_role(run, opened):
    judge = run.params.roles.alignment_judge[0]
    roles = dataclasses.replace(
        run.params.roles, alignment_judge=(judge, dataclasses.replace(judge, model="second", max_tokens=9))
    )
    server = Server()
    chat = opened(dataclasses.replace(run, params=dataclasses.replace(run.params, roles=roles)), server)
    ask(chat, "a", role="alignment_judge", judge=1)
    assert (server.requests[0]["model"], server.requests[0]["max_tokens"]) == ("second", 9)


@pytest.mark.parametrize(
    "fault", [failure(429, "slow down"), failure(500, "oops"), failure(408, "late"), httpx2.ReadError("reset")]
)
def test_a_passing_fault_is_tried_again(run, opened, fault):
    server = Server(fault)
    assert ask(opened(run, server), "a") == ["reply 2"]


@pytest.mark.parametrize(
    "useless",
    [
        completion(""),
        completion(" \n"),
        completion(None),
        (200, {"choices": []}),
        (200, {}),
        (200, []),
        (200, b'{"choices": [{"mess'),
        (200, b""),
        (200, {"choices": [{"message": None}]}),
    ],
)
def test_an_empty_or_unreadable_reply_is_asked_for_again_within_bounds(run, opened, useless):
    server = Server(useless)
    chat = opened(run, server)
    assert ask(chat, "a") == ["reply 2"]
    server.answers = [useless] * 50
    with pytest.raises(AskError, match="2 times over"):
        ask(chat, "b")
    assert len(server.requests) == 2 + 2
    assert all(request == server.requests[2] for request in server.requests[2:])  # sent again unchanged


def test_half_of_a_surrogate_pair_in_a_reply_is_marked_as_unreadable_and_kept(run, opened):
    server = Server(completion("Nice \ud83d day"))
    chat = opened(run, server)
    assert ask(chat, "a") == ask(chat, "a") == ["Nice \ufffd day"]
    assert len(server.requests) == 1


def test_transport_faults_and_empty_replies_have_one_bound_together(run, opened):
    server = Server(failure(500, "a"), completion(""), httpx2.ReadError("b"), failure(429, "c"))
    assert ask(opened(at(run, max_retries=4), server), "a") == ["reply 5"]
    assert server.requests == [server.requests[0]] * 5
    with pytest.raises(AskError, match=r"did not answer model 'simulated' in 3 tries: .*d"):
        ask(opened(at(run, max_retries=2), Server(*[failure(503, "d")] * 9)), "b")


@pytest.mark.parametrize(
    "answer, said",
    [
        (completion("half a", "content_filter"), "a content filter stopped it"),
        (completion(None, "content_filter"), "a content filter stopped it"),
        ((200, {"choices": [{"message": {"content": None, "refusal": "I will not."}}]}), "it refused: I will not."),
    ],
)
def test_what_a_filter_or_the_model_holds_back_is_not_asked_for_again(run, opened, answer, said):
    server = Server(answer)
    with pytest.raises(AskError, match=said):
        ask(opened(run, server), "a")
    assert len(server.requests) == 1


def test_a_long_pause_is_waited_for_by_everybody_and_told(run, opened, monkeypatch, caplog):
    monkeypatch.setattr(pace, "ANNOUNCED_PAUSE", 0.5)
    server = Server((429, {}, {"retry-after": "1"}))
    begun = time.monotonic()
    chat = opened(at(run, max_in_flight=1), server)
    assert ask(chat, "a", "b") == ["reply 2", "reply 3"]
    assert 1 <= time.monotonic() - begun < 5
    assert "Endpoint 'simulated' asks to wait 1 s" in caplog.text


def test_a_pause_that_is_too_long_ends_the_run_with_a_sentence(run, opened):
    server = Server((429, {}, {"retry-after": "7200"}))
    with pytest.raises(UserError, match="asks to wait 120 minutes") as error:
        ask(opened(run, server), "a")
    assert not isinstance(error.value, AskError)
    assert len(server.requests) == 1


def test_an_endpoint_that_fails_three_requests_in_a_row_is_down(run, opened):
    server = Server(*[failure(500, "oops")] * 9)
    chat = opened(at(run, max_retries=0), server)
    for text in ("a", "b"):
        with pytest.raises(AskError):
            ask(chat, text)
    with pytest.raises(UserError, match="3 requests in a row; everything had so far is kept") as error:
        ask(chat, "c")
    assert not isinstance(error.value, AskError)


def test_limits_per_minute_hold_for_an_endpoint(run, opened):
    chat = opened(at(run, requests_per_minute=600, tokens_per_minute=None), Server())
    begun = time.monotonic()
    ask(chat, *(str(number) for number in range(14)))  # 10 at once, the other four at 9.8 a second
    assert time.monotonic() - begun > 0.4


def test_a_server_that_names_its_limit_is_asked_at_its_pace_and_hardly_ever_refuses(run, opened):
    level, last, refused = 20.0, time.monotonic(), 0

    async def bucket(request):
        """20 requests at once, 100 a second after that."""
        nonlocal level, last, refused
        await asyncio.sleep(0.01)
        now = time.monotonic()
        level, last = min(20.0, level + 100 * (now - last)), now
        full = level >= 1
        level, refused = (level - 1, refused) if full else (level, refused + 1)
        headers = {"x-ratelimit-limit-requests": "20", "x-ratelimit-remaining-requests": str(int(level)),
                   "x-ratelimit-reset-requests": f"{10 * (20 - level):.0f}ms"}  # fmt: skip
        status, content = completion("yes") if full else failure(429, "slow down")
        return httpx2.Response(status, headers=headers, json=content)

    with open_chat(at(run, max_in_flight=32, max_retries=12), httpx2.MockTransport(bucket)) as chat:
        assert ask(chat, *(str(number) for number in range(150))) == ["yes"] * 150
    assert refused < 45  # 32 find the bucket empty at the start, before any header has come


def test_a_budget_stops_a_run_before_it_is_passed_and_a_higher_one_goes_on(run, opened):
    texts = [str(number) for number in range(10)]
    first = Server()
    with pytest.raises(
        UserError, match=r"budget of 4 calls is used up: 4 are made\. Everything .* raise `budget_calls`"
    ):
        ask(opened(with_budget(run, calls=4), first), *texts)
    second = Server()
    assert len(ask(opened(with_budget(run, calls=10), second), *texts)) == 10
    assert (len(first.requests), len(second.requests)) == (4, 6)


def test_a_budget_in_usd_counts_what_an_earlier_session_paid(run, opened, monkeypatch):
    monkeypatch.setattr(spending, "usd", lambda _, model, prompt, reply: (prompt + reply) / 1000)
    server = Server()  # an answer has 1,100 tokens: 1.10 USD; a call may cost up to 0.012 + 0.256
    paid = with_budget(at(run, max_in_flight=1), usd=3.5)
    ask(opened(paid, server), "a", "b")
    with pytest.raises(UserError, match=r"budget of 3\.50 USD .* 3\.3000 USD are spent"):
        ask(opened(paid, server), "c", "d")
    assert len(server.requests) == 3


def test_a_reply_that_was_cut_off_is_taken_and_counted(run, opened):
    chat = opened(run, Server(completion("Well, I", "length"), completion("b", usage=False)))
    assert ask(chat, "a") + ask(chat, "b") == ["Well, I", "b"]
    with Journal(run.journal) as journal:
        (total,) = journal.summary()
    assert (total.role, total.model, total.calls, total.cut_off, total.uncounted) == ("user", "simulated", 2, 1, 1)
    assert (total.prompt_tokens, total.completion_tokens) == (1000, 100)


@pytest.mark.parametrize(
    "answer, said",
    [
        (failure(401, f"bad key {KEY}"), "refuses the key (from MY_KEY)"),
        (failure(403, f"not with {KEY}"), "refuses the key (from MY_KEY)"),
        (failure(404, "no such model"), "does not know the model 'simulated'"),
        ((400, {"detail": "Server is pinned to 'x'; requested 'simulated'."}), "does not know the model 'simulated'"),
        (failure(402, "pay"), "no money left"),
    ],
)
def test_a_wrong_key_or_model_ends_at_once_and_never_shows_the_key(run, opened, monkeypatch, answer, said):
    monkeypatch.setenv("MY_KEY", KEY)
    server = Server(answer)
    chat = opened(at(run, base_url="https://example.org/v1", api_key_env="MY_KEY"), server)
    with pytest.raises(UserError) as error:
        ask(chat, "a")
    assert not isinstance(error.value, AskError)
    assert said in str(error.value)
    assert KEY not in str(error.value)
    assert len(server.requests) == 1
    assert server.headers[0][b"authorization"] == f"Bearer {KEY}".encode()


def test_money_run_out_is_said_so(run, opened):
    server = Server(*[failure(429, "quota", "insufficient_quota")] * 2)
    with pytest.raises(UserError, match="no money left"):
        ask(opened(run, server), "a")


@pytest.mark.parametrize(
    "body",
    [  # as OpenAI and vLLM, llama.cpp, and a proxy say it
        {
            "error": {
                "message": "The maximum context length is 8192 tokens.",
                "code": "context_length_exceeded",
            }
        },
        {
            "error": {
                "message": "The context length of 'simulated' is 4096 tokens.",
                "code": 400,
            }
        },
        {"error": {"message": "the request exceeds the available context size, try increasing it", "code": 400}},
        {"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}},
    ],
)
def test_a_request_that_does_not_fit_into_the_context_is_an_error_that_says_so(run, opened, body):
    server = Server((400, body))
    with pytest.raises(AskError, match="longer than the context of model 'simulated', and nothing is cut") as error:
        ask(opened(run, server), "a")
    assert "take fewer turns (`benchmark.n_turns`" in str(error.value)
    assert len(server.requests) == 1


def test_a_request_that_is_refused_for_another_reason_is_one_reply_that_cannot_be_had(run, opened):
    with pytest.raises(AskError, match="content policy"):
        ask(opened(run, Server(failure(400, "content policy"))), "a")


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
def test_a_server_that_echoes_what_it_got_shows_the_key_to_nobody(run, opened, monkeypatch, caplog, capfd, status):
    monkeypatch.setenv("MY_KEY", KEY)
    echoed = f"you sent Authorization: Bearer {KEY}, or {KEY}!"
    answer = completion(echoed) if status == 200 else failure(status, echoed)
    if status == 400:
        answer = status, {"detail": echoed}
    chat = opened(at(run, base_url="https://example.org/v1", api_key_env="MY_KEY"), Server(*[answer] * 9))
    with caplog.at_level("DEBUG"), contextlib.suppress(UserError):
        ask(chat, "a")
    chat.close()
    server, raised = Server(*[answer] * 9), False
    try:
        ask(opened(at(run, base_url="https://example.org/v1", api_key_env="MY_KEY", max_retries=0), server), "b")
    except UserError:
        raised = True
        assert KEY not in traceback.format_exc()
    assert raised == (status != 200)
    assert server.headers[0][b"authorization"] == f"Bearer {KEY}".encode()
    assert KEY not in caplog.text
    assert KEY not in "".join(capfd.readouterr())
    assert all(KEY.encode() not in path.read_bytes() for path in run.journal.parent.iterdir())


def test_the_key_is_nowhere_in_the_journal(run, opened, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    chat = opened(at(run, base_url="https://example.org/v1", api_key_env="MY_KEY"), Server())
    ask(chat, "a")
    chat.close()
    assert all(KEY.encode() not in path.read_bytes() for path in run.journal.parent.iterdir())


def test_the_cost_of_the_journal_is_that_of_all_attempts(run, opened, monkeypatch):
    monkeypatch.setattr(spending, "usd", lambda _, model, prompt, reply: (prompt + reply) / 1000)
    first = opened(run, Server())
    ask(first, "a", "b")
    again = opened(run, Server())
    ask(again, "a", "b", "c")
    assert (again.usage.calls, again.usage.cached_calls) == (1, 2)
    assert again.journal_cost() == {"journal_calls": 3, "journal_usd": pytest.approx(3 * again.usage.usd)}


def test_a_missing_key_names_its_variable_and_the_journal_needs_none(run, opened, monkeypatch):
    monkeypatch.setenv("MY_KEY", KEY)
    keyed = at(run, base_url="https://example.org/v1", api_key_env="MY_KEY")
    ask(opened(keyed, Server()), "a")
    monkeypatch.delenv("MY_KEY")
    assert ask(opened(keyed, Server()), "a") == ["reply 1"]
    with pytest.raises(UserError, match="set the environment variable MY_KEY"):
        ask(opened(keyed, Server()), "b")


def test_a_server_that_gives_no_answer_is_told_once_while_it_is_asked_again(run, opened, monkeypatch, caplog):
    monkeypatch.setattr("aloe.clients.backoff", lambda *_: 0.0)
    gone = at(run, base_url="http://127.0.0.1:9/v1", max_retries=5)
    with pytest.raises(AskError, match="in 6 tries"):
        ask(opened(gone, None), "a")
    told = [record.getMessage() for record in caplog.records if "gives no answer" in record.getMessage()]
    assert len(told) == 1
    assert "trying again, up to 6 times in all" in told[0]


def test_a_server_that_is_not_there_is_named(run, opened):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(AskError, match=rf"'simulated' \({url}\) could not be reached in 1 tries"):
        ask(opened(at(run, base_url=url, max_retries=0), None), "a")


def test_a_server_on_this_machine_is_reached_past_any_proxy_and_may_not_hang(run, opened, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        begun = time.monotonic()
        with pytest.raises(AskError, match="could not be reached"):
            ask(opened(at(run, base_url=url, max_retries=0, timeout_s=0.3), None), "a")
        silent.settimeout(0)
        silent.accept()  # the connection was made, to this server
    assert 0.3 <= time.monotonic() - begun < 5


def test_the_first_error_ends_the_run_and_the_chat_stays_usable(run, opened):
    server = Server()
    chat = opened(run, server)
    ended = []

    async def endless():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def broken():
        await chat.ask("user", HELLO)
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        chat.run([endless, broken, endless], "x")
    assert ended == [True, True]
    assert chat.run([lambda: chat.ask("user", HELLO)], "x") == ["reply 1"]


def test_a_job_that_was_cancelled_is_not_taken_for_done(run, opened):
    async def cancelled():
        raise asyncio.CancelledError

    with pytest.raises(RuntimeError, match="1 of 1 jobs of 'x' were cancelled"):
        opened(run, Server()).run([cancelled], "x")


@pytest.fixture
def hears_ctrl_c():
    """A run in the background of a shell inherits that Ctrl-C is ignored; here it is heard whatever was inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_cancels_what_is_under_way_and_keeps_what_came_in(run, opened, hears_ctrl_c):
    server = Server()
    chat = opened(run, server)
    ended = []

    async def asks_then_hangs():
        await chat.ask("user", HELLO)
        try:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    with pytest.raises(KeyboardInterrupt):
        chat.run([asks_then_hangs], "x")
    assert ended == [True]
    assert chat.run([lambda: chat.ask("user", HELLO)], "x") == ["reply 1"]
    assert len(server.requests) == 1


def test_it_works_inside_a_running_event_loop_as_in_jupyter(run, opened):
    chat = opened(run, Server())

    async def cell():
        return ask(chat, "a")

    assert asyncio.run(cell()) == ["reply 1"]


def test_closing_twice_is_closing_once(run):
    with open_chat(run, httpx2.ASGITransport(app=Server())) as chat:
        ask(chat, "a")
        chat.close()


def test_usage_counts_tokens_and_money(run, opened):
    chat = opened(run, Server())
    ask(chat, "a", "b")
    usage = chat.usage
    assert (usage.calls, usage.prompt_tokens, usage.completion_tokens, usage.usd) == (2, 2000, 200, 0.0)
    assert usage.seconds > 0


def test_a_price_is_known_or_the_cost_is_unknown(run, opened):
    openai = "https://api.openai.com/v1"
    # 1,000 tokens at 2.50 USD and 100 at 10 USD per million: 0.0025 + 0.001
    assert usd(openai, "gpt-4o", 1000, 100) == pytest.approx(0.0035)
    assert usd("sandbox:", "simulated", 1000, 100) == 0.0
    assert usd(openai, "gpt-unheard-of", 1000, 100) is None
    assert usd(openai, "gpt-4o", None, 100) is None
    chat = opened(at(run, base_url="https://example.org/v1"), Server())
    ask(chat, "a")
    assert chat.usage.usd is None


def test_a_call_in_this_process_costs_little(run, opened):
    chat = opened(at(run, max_in_flight=16), Server())
    ask(chat, "warm up")
    begun = time.process_time()
    ask(chat, *(str(number) for number in range(300)))
    assert (time.process_time() - begun) / 300 < 0.005  # about 0.0007 s where nothing else runs
