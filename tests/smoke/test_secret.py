"""A key that a server repeats in its errors reaches no file, no page and no line of a whole run."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time

import pytest
import uvicorn

from aloe.sandbox.app import build_app
from aloe.sandbox.model import Knobs

pytestmark = pytest.mark.smoke

KEY = "sk-marked-0123456789-abcdefghij"


@pytest.fixture
def gossip():
    """The base_url of a sandbox that fails every fifth call and repeats the call's headers; and how often it did."""
    inner, number, told = build_app(Knobs(), 0), itertools.count(1), []

    async def app(scope, receive, send):
        if scope["type"] != "http" or not scope["path"].endswith("/chat/completions") or next(number) % 5:
            await inner(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        told.append(headers["authorization"])
        error = {"error": {"message": f"you sent {headers}", "type": "server_error", "code": headers["authorization"]}}
        head = [(b"content-type", b"application/json"), (b"x-you-sent", headers["authorization"].encode())]
        await send({"type": "http.response.start", "status": 500, "headers": head})
        await send({"type": "http.response.body", "body": json.dumps(error).encode()})

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1", told
    server.should_exit = True
    thread.join()


def test_a_marked_key_is_found_in_nothing_that_a_run_leaves_or_prints(checkout, gossip):
    url, told = gossip
    preset = checkout.root / "params" / "gossip.yaml"
    preset.write_text(
        f'extends: smoke\nendpoints: {{simulated: {{base_url: "{url}", api_key_env: MARKED_KEY, max_in_flight: 4}}}}\n'
    )
    command = [sys.executable, "-m", "aloe", "run", "--preset", "gossip"]
    environment = {**os.environ, "MARKED_KEY": KEY}
    done = subprocess.run(command, cwd=checkout.root, env=environment, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(told) > 20
    assert set(told) == {f"Bearer {KEY}"}
    run = checkout.root / "outputs" / "gossip"
    assert (run / "report" / "index.html").is_file()
    left = [path for path in checkout.root.rglob("*") if path.is_file()]
    assert any(path.suffix == ".sqlite" and path.is_relative_to(run) for path in left)
    secret = KEY.encode()
    assert [path for path in left if secret in path.read_bytes()] == []
    assert KEY not in done.stdout + done.stderr
    preset.unlink()
