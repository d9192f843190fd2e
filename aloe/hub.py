"""Send an export to a model hub, when asked to.

In: the folder of an export, a repository as owner/name, and a token from the environment. Out: the address where it
stands. A repository that is made is private; one that holds something else is left alone. The token goes to the hub and
stands in no message. This module does not know what it sends.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from aloe.errors import UserError
from aloe.export import ORIGIN

TOKEN = "HF_TOKEN"
# What an earlier push left there and this one does not have, such as the shards of larger weights, is removed.
_OURS = ["*.safetensors", "*.safetensors.index.json", "adapter/*", "gguf/*"]


def read_token(repo: str) -> str:
    """The token that the environment holds for the hub.

    Raises:
        UserError: no repository is named, its name cannot be one, or there is no token.
    """
    if not repo:
        raise UserError("Say where to: make push REPO=owner/name")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo) or ".." in repo or "--" in repo:
        raise UserError(f"REPO={repo} is no name of a repository; write it as owner/name, such as REPO=me/my-model.")
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise UserError(f"Pushing needs a token that may write: set the environment variable {TOKEN} to one from your "
                        f"settings on the hub.")  # fmt: skip
    return token


def push(folder: Path, repo: str, token: str) -> str:
    """Upload a folder and return the address of the repository.

    Raises:
        UserError: the hub cannot be reached, refuses, or the repository holds what no export of this study is.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with _explained(repo, api.endpoint, token):
        api.create_repo(repo, private=True, exist_ok=True)
        there = set(api.list_repo_files(repo)) - {".gitattributes"}
        if there and ORIGIN not in there:
            raise UserError(f"{repo} holds other files ({', '.join(sorted(there)[:3])}) and no {ORIGIN}, so it is no "
                            f"export of this study; nothing was sent. Name another repository.")  # fmt: skip
        message = f"Export of {folder.parent.parent.name}: {folder.name}"
        # First what marks it as ours: large uploads come in several commits, and may be taken up again.
        api.upload_file(path_or_fileobj=folder / ORIGIN, path_in_repo=ORIGIN, repo_id=repo, commit_message=message)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message, delete_patterns=_OURS)
    return f"{api.endpoint}/{repo}"


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
