"""Pushing: the real client against a hub on this machine; what is sent, what is refused, and where the token stands."""

import os
import subprocess
import sys

import local_hub
import pytest

from aloe.__main__ import main
from aloe.errors import UserError
from aloe.hub import read_token
from aloe.params import ROOT

CODE = """
import sys
from pathlib import Path
from aloe.errors import UserError
from aloe.hub import push, read_token
try:
    print(push(Path(sys.argv[1]), sys.argv[2], read_token(sys.argv[2])))
except UserError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def hub():
    with local_hub.serve() as hub:
        yield hub


@pytest.fixture
def folder(tmp_path):
    """An export, as far as pushing looks at it."""
    folder = tmp_path / "outputs" / "smoke" / "export" / "dpo"
    (folder / "adapter").mkdir(parents=True)
    for name in ("README.md", "export.json", "config.json", "model.safetensors", "adapter/adapter_model.safetensors"):
        (folder / name).write_text(f"---\nlicense: mit\n---\n\nthe content of {name}")
    return folder


def push(folder, repo, **environment):
    """`hub.push` in a process of its own, since the client reads its environment when it is imported."""
    given = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    given |= {
        "PYTHONPATH": str(ROOT),
        "HF_TOKEN": local_hub.TOKEN,
        "HF_HOME": str(folder.parent / "home"),
        **environment,
    }
    command = [sys.executable, "-c", CODE, str(folder), repo]
    done = subprocess.run(command, env=given, cwd=folder, capture_output=True, text=True, timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def test_an_export_is_sent_whole_to_a_private_repository(hub, folder):
    done = push(folder, "me/mine", **hub.environment)
    assert done.stdout.strip() == f"{hub.url}/me/mine", done.stderr
    sent = {path: content.decode() for path, content in hub.repositories["me/mine"].items() if path != ".gitattributes"}
    assert sent == {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert hub.private == {"me/mine": True}
    assert hub.commits[0] == ["header", "file export.json"]  # so that an interrupted push can be taken up again


def test_a_second_push_takes_away_what_the_first_left_and_nothing_of_others(hub, folder):
    push(folder, "me/mine", **hub.environment)
    hub.repositories["me/mine"] |= {"model-00002-of-00002.safetensors": b"old", "notes.md": b"by hand"}
    (folder / "README.md").write_text("---\nlicense: mit\n---\n\na better card")
    assert push(folder, "me/mine", **hub.environment).returncode == 0
    there = hub.repositories["me/mine"]
    assert "model-00002-of-00002.safetensors" not in there
    assert there["notes.md"] == b"by hand"
    assert b"a better card" in there["README.md"]


def test_a_card_that_the_hub_does_not_take_is_a_sentence(hub, folder):
    (folder / "README.md").write_text("---\nlicence: mit\n---\n\nmisspelt")
    done = push(folder, "me/mine", **hub.environment)
    assert done.returncode == 1
    assert "could not take me/mine (" in done.stderr
    assert "no license" in done.stderr


def test_a_repository_of_something_else_is_left_alone(hub, folder):
    hub.repositories["me/thesis"] = {"README.md": b"my thesis", "model.safetensors": b"months of work"}
    hub.kinds["me/thesis"] = "model"
    done = push(folder, "me/thesis", **hub.environment)
    assert done.returncode == 1
    assert "me/thesis holds other files (README.md, model.safetensors)" in done.stderr
    assert hub.repositories["me/thesis"] == {"README.md": b"my thesis", "model.safetensors": b"months of work"}
    assert hub.commits == []


@pytest.mark.parametrize("repo, token, said", [
    ("me/mine", "hf_wrong0123456789", "does not know the token in HF_TOKEN (401: unknown: Bearer ...)"),
    ("stranger/mine", local_hub.TOKEN, "does not let the token in HF_TOKEN write to stranger/mine (403: You do not"),
])  # fmt: skip
def test_a_hub_that_refuses_is_a_sentence_without_the_token(hub, folder, repo, token, said):
    done = push(folder, repo, **(hub.environment | {"HF_TOKEN": token}))
    assert said in done.stderr
    assert token not in done.stdout + done.stderr
    assert hub.commits == []


@pytest.mark.parametrize("environment, said", [
    ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "http://127.0.0.1:9 cannot be reached"),
    ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
])  # fmt: skip
def test_a_hub_that_cannot_be_reached_is_a_sentence(hub, folder, environment, said):
    done = push(folder, "me/mine", **(hub.environment | environment))
    assert done.returncode == 1
    assert said in done.stderr
    assert local_hub.TOKEN not in done.stdout + done.stderr


def test_the_token_is_found_in_nothing_that_is_sent_kept_or_printed(hub, folder):
    done = push(folder, "me/mine", **hub.environment)
    kept = [path.read_bytes() for path in folder.parent.rglob("*") if path.is_file()]
    secret = local_hub.TOKEN.encode()
    assert len(kept) >= 5
    assert [content for content in [*kept, *hub.repositories["me/mine"].values()] if secret in content] == []
    assert local_hub.TOKEN not in "".join([done.stdout, done.stderr, *hub.asked])


@pytest.mark.parametrize("repo", ["mine", "me/", "/mine", "a/b/c", "me/my model", "../mine", "https://hub/me"])
def test_what_is_no_name_of_a_repository_is_a_sentence(monkeypatch, repo):
    monkeypatch.setenv("HF_TOKEN", local_hub.TOKEN)
    with pytest.raises(UserError, match="write it as owner/name"):
        read_token(repo)
    assert read_token("me/my-model_1.0") == local_hub.TOKEN


@pytest.mark.parametrize("token", [None, "", "  "])
def test_without_a_token_or_a_place_nothing_is_done(monkeypatch, capsys, token):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    assert main(["push", "--preset", "smoke", "--repo", "me/mine"]) == 2
    assert "set the environment variable HF_TOKEN" in capsys.readouterr().err
    assert main(["push", "--preset", "smoke", "--repo", ""]) == 2
    assert "make push REPO=owner/name" in capsys.readouterr().err
