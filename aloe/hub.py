"""Send an export or a data set to a model hub, when asked to.

In: the folder of an export, a repository as owner/name, and a token from the environment. Out: the address where it
stands. A repository that is made is private; one that holds something else is left alone. The token goes to the hub and
stands in no message. This module does not know what it sends.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from aloe.errors import UserError

TOKEN = "HF_TOKEN"


class Parcel(NamedTuple):
    """What can be sent: the hub's kind of repository, the file that marks one as ours, and the command that sends it.

    What an earlier push left there among `ours` and this one does not have, such as shards of weights, is removed.
    """

    kind: Literal["model", "dataset"]
    origin: str
    command: str
    ours: list[str]


MODEL = Parcel("model", "export.json", "push", ["*.safetensors", "*.safetensors.index.json", "adapter/*", "gguf/*"])
DATASET = Parcel("dataset", "dataset.json", "push-data", ["*/*.parquet"])


def read_token(repo: str, parcel: Parcel = MODEL) -> str:
    """The token that the environment holds for the hub.

    Raises:
        UserError: no repository is named, its name cannot be one, or there is no token.
    """
    if not repo:
        raise UserError(f"Say where to: make {parcel.command} REPO=owner/name")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo) or ".." in repo or "--" in repo:
        raise UserError(
            f"REPO={repo} is no name of a repository; write it as owner/name, such as REPO=me/my-{parcel.kind}."
        )
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UserError(f"Pushing needs a token that may write: set the environment variable {TOKEN} to one from your "
                        f"settings on the hub.")  # fmt: skip
    return token


def push(folder: Path, repo: str, token: str, parcel: Parcel = MODEL) -> str:
    """Upload a folder and return the address of the repository.

    Raises:
        UserError: the hub cannot be reached, refuses, or the repository holds what no export of this study is.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with _explained(repo, api.endpoint, token):
        api.create_repo(repo, private=True, exist_ok=True, repo_type=parcel.kind)
        there = set(api.list_repo_files(repo, repo_type=parcel.kind)) - {".gitattributes"}
        if there and parcel.origin not in there:
            raise UserError(f"{repo} holds other files ({', '.join(sorted(there)[:3])}) and no {parcel.origin}, so it "
                            f"is no export of this study; nothing was sent. Name another repository.")  # fmt: skip
        message = f"Export of {_run_of(folder, parcel)}: {folder.name}"
        # First what marks it as ours: large uploads come in several commits, and may be taken up again.
        first = folder / parcel.origin
        api.upload_file(path_or_fileobj=first, path_in_repo=parcel.origin, repo_id=repo, repo_type=parcel.kind,
                        commit_message=message)  # fmt: skip
        api.upload_folder(repo_id=repo, repo_type=parcel.kind, folder_path=folder, commit_message=message,
                          delete_patterns=parcel.ours)  # fmt: skip
    return f"{api.endpoint}/{'' if parcel.kind == 'model' else 'datasets/'}{repo}"


def _run_of(folder: Path, parcel: Parcel) -> str:
    """The name of the run that a folder was made of."""
    return (folder.parent.parent if parcel.kind == "model" else folder.parent).name


@contextlib.contextmanager
def _explained(repo: str, endpoint: str, token: str) -> Iterator[None]:
    """Turn what a hub or the way to it answers into a sentence without the token."""
    from httpx import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled:
        raise UserError("HF_HUB_OFFLINE is set, so no hub is asked; unset it to push.") from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        said = (error.server_message or error.response.reason_phrase or "").replace(token, "...")
        what = {401: f"does not know the token in {TOKEN}", 403: f"does not let the token in {TOKEN} write to {repo}"}
        raise UserError(f"{endpoint} {what.get(status, f'could not take {repo}')} ({status}: {said[:300]}). What was "
                        f"exported is kept.") from None  # fmt: skip
    except ValueError as error:  # what the client itself, or the hub by it, has against a model card or its name
        said = " ".join(str(error).replace(token, "...").split())[:300]
        raise UserError(f"{endpoint} could not take {repo} ({said}). What was exported is kept.") from None
    except HTTPError as error:
        said = str(error).replace(token, "...")[:300] or type(error).__name__
        raise UserError(f"{endpoint} cannot be reached ({said}). What was exported is kept.") from None
