"""General conversations to mix into fine-tuning, so that general skills are kept, and a part held out of them.

In: a local file of conversations (JSON lines or Parquet, a column `messages` of role and content) and the share of the
training sequences that they are to make up. Out: rows as `preferences.sft_conversations` makes them, every reply of the
assistant flagged. The held-out part is never trained on. This module does not know what the rest is trained on.
"""

import random
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from aloe.errors import UserError
from aloe.params import ROOT, Mix

HELD_OUT_SHARE, HELD_OUT_MOST = 0.1, 200  # of the file's conversations
ROLES = ("system", "user", "assistant")
_FORM = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}


class Mixed(NamedTuple):
    """Conversations to train on and conversations held out."""

    train: list[dict[str, Any]]
    dev: list[dict[str, Any]]


def draw_mix(mix: Mix, n_others: int, seed: int) -> Mixed:
    """Draw so many conversations that they are `mix.share` of all sequences beside `n_others` other ones.

    Raises:
        UserError: the file cannot be read, a row is no conversation, or there are too few of them.
    """
    path = ROOT / mix.path
    rows = [_row(messages, f"{path}, row {number}") for number, messages in enumerate(_read(path), 1)]
    order = random.Random(f"{seed}-mix").sample(range(len(rows)), len(rows))
    n_dev = max(1, min(HELD_OUT_MOST, round(HELD_OUT_SHARE * len(rows))))
    wanted = round(n_others * mix.share / (1 - mix.share))
    if wanted < 1 or n_dev + wanted > len(rows):
        raise UserError(f"{path} holds {len(rows)} conversations, {n_dev} of them held out; a share of {mix.share:g} "
                        f"beside {n_others} sequences takes {wanted}. Change `training.sft.mix.share`.")  # fmt: skip
    return Mixed([rows[i] for i in order[n_dev : n_dev + wanted]], [rows[i] for i in order[:n_dev]])


def _read(path: Path) -> list[Any]:
    """The column `messages` of a file."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetGenerationError

    form = _FORM.get(path.suffix)
    if form is None or not path.is_file():
        raise UserError(f"`training.sft.mix.path`: {path} is no file of JSON lines (.jsonl) or Parquet (.parquet).")
    with tempfile.TemporaryDirectory(prefix="aloe-mix-") as cache:
        try:
            held = load_dataset(form, data_files=str(path), split="train", cache_dir=cache, keep_in_memory=True)
            rows = list(held["messages"]) if "messages" in held.column_names else None
        except (DatasetGenerationError, ValueError, OSError, StopIteration) as error:  # the last: it is empty
            reason = (str(error.__cause__ or error).splitlines() or ["it is empty"])[0]
            raise UserError(f"{path} cannot be read: {reason}") from error
        if rows is None:
            raise UserError(f"{path} has no column `messages`, but {', '.join(held.column_names)}.")
        return rows


def _row(messages: Any, where: str) -> dict[str, Any]:
    """One conversation with its replies flagged."""
    try:
        plain = [{"role": message["role"], "content": message["content"]} for message in messages]
    except (TypeError, KeyError):
        raise UserError(f"{where}: `messages` should be a list of {{role, content}}.") from None
    wrong = [m for m in plain if m["role"] not in ROLES or not isinstance(m["content"], str)]
    asked = [message["role"] for message in plain if message["role"] != "system"]
    if wrong or not plain or plain[-1]["role"] != "assistant" or asked[0] != "user":
        raise UserError(f"{where}: roles should be {', '.join(ROLES)}, contents text, a user have the first word after "
                        f"a system message, and the assistant the last.")  # fmt: skip
    return {"messages": plain, "train": [message["role"] == "assistant" for message in plain]}
