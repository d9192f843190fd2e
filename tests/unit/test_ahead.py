"""What would stop a training is said before the first question: a model that is not to be had, too little memory."""

import dataclasses
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants
import pytest

from aloe import ahead
from aloe.errors import UserError
from aloe.params import load_params


@pytest.fixture
def hub(monkeypatch):
    """A hub with one open model, one that asks for an agreement, and nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            code, status = {
                "/api/models/me/open-1B/auth-check": ("", 200),
                "/api/models/me/gated-1B/auth-check": ("GatedRepo", 403),
                "/api/models/me/broken-1B/auth-check": ("", 500),
            }.get(self.path, ("RepoNotFound", 404))
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    server.server_close()


def params(base_model: str, **training):
    known = load_params("sandbox")
    return dataclasses.replace(known, training=dataclasses.replace(known.training, base_model=base_model, **training))


@pytest.mark.parametrize(
    ("model", "said"),
    [("me/gated-1B", "agreed to its terms"), ("me/nothing-1B", "has no me/nothing-1B"), ("no/such/folder", "no model")],
)
def test_a_base_model_that_is_not_to_be_had_is_refused(hub, model, said):
    with pytest.raises(UserError, match=said) as caught:
        ahead.look_ahead(params(model))
    assert "`training.base_model`" in str(caught.value)


def test_a_model_that_is_there_and_small_enough_is_passed_in_silence(hub, monkeypatch, capsys):
    monkeypatch.setattr("aloe.room._free_memory", lambda _: 1e12)
    ahead.look_ahead(params("me/open-1B"))
    ahead.look_ahead(params("aloe/sandbox/base_model"))
    assert capsys.readouterr().out == ""


def test_too_little_memory_is_a_note_since_another_machine_may_train(hub, monkeypatch, capsys):
    monkeypatch.setattr("aloe.room._free_memory", lambda _: 1e9)
    ahead.look_ahead(params("me/open-1B"))
    printed = capsys.readouterr().out
    assert "1.0 GB are free" in printed
    assert "would stop at its training; what was asked by then is kept" in printed


def test_a_model_that_several_gpus_share_needs_room_for_its_weights_only(hub, monkeypatch, capsys):
    monkeypatch.setattr("aloe.room._free_memory", lambda _: 5e9)  # 1B in 32 bits: weights 4 GB, with the optimizer 16
    ahead.look_ahead(params("me/open-1B", launcher="params/accelerate/eight-gpus-fsdp.yaml"))
    assert capsys.readouterr().out == ""
    ahead.look_ahead(params("me/open-1B", launcher="params/accelerate/eight-gpus.yaml"))
    assert "would stop at its training" in capsys.readouterr().out


def test_a_hub_that_cannot_be_asked_is_a_note(hub, monkeypatch, capsys):
    monkeypatch.setattr("aloe.room._free_memory", lambda _: 1e12)
    ahead.look_ahead(params("me/broken-1B"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    ahead.look_ahead(params("me/open-1B"))
    assert capsys.readouterr().out.count("could not be asked for the base model") == 2
