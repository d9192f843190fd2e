"""Run one notebook headless, and say in a sentence what went wrong if it did not end well.

In: a notebook, the two parameters of every notebook (`preset`, `seed`), and where the executed copy goes. Out: that
copy, whole, or `<name>.failed.ipynb` beside it and an exception. The kernel is the one of this environment, talks
over sockets in a private folder, and ends with this call. This module knows no stage and no output of one.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aloe.errors import NotEnough, UserError
from aloe.notebook_code import read_notebook
from aloe.params import ROOT
from aloe.writing import write_text

_LAST_LINES = 15


class NotebookFailed(Exception):
    """A notebook stopped with an error that is not the user's to mend; the message holds its last lines."""


def execute(notebook: Path, target: Path, parameters: Mapping[str, str | int | None]) -> None:
    """Execute a notebook; progress and what its cells print to stderr go to the terminal.

    Raises:
        UserError: a cell raised one (a `NotEnough` stays one), or the disk is full.
        NotebookFailed: a cell raised something else, or the kernel died.
        KeyboardInterrupt: Ctrl-C; the kernel is stopped.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    failed = target.with_suffix(".failed.ipynb")
    failed.parent.mkdir(parents=True, exist_ok=True)
    with _private_folders() as folder:
        sockets = {"transport": "ipc", "ip": str(folder / "k")}  # else in the checkout, and a kill leaves them
        try:
            papermill.execute_notebook(
                notebook, failed, dict(parameters), kernel_name="python3", language="python", cwd=ROOT,
                stderr_file=sys.stderr, config=Config({"KernelManager": sockets}),
                shutdown_kernel="immediate", coalesce_streams=True,
            )  # fmt: skip
        except PapermillExecutionError as error:
            raise _explain(error, failed) from None
        except DeadKernelError:
            raise NotebookFailed(
                f"{failed}: the notebook's kernel died, most often because memory ran out or it was killed from "
                f"outside. What is done is kept; run again to go on."
            ) from None
        finally:
            sys.stderr.flush()
    os.replace(failed, target)


def refresh_prose(source: Path, executed: Path) -> None:
    """Put the text cells and tags of `source` into its executed copy, whose code and outputs stay as they are.

    The code cells of both must be the same, the cell that papermill injects apart.
    """
    new, old = map(read_notebook, (source, executed))
    done = [cell for cell in old["cells"] if cell["cell_type"] == "code"]
    injected = [cell for cell in done if "injected-parameters" in _tags(cell)]
    remaining = iter([cell for cell in done if cell not in injected])
    cells: list[dict[str, Any]] = []
    for cell in new["cells"]:
        if cell["cell_type"] != "code":
            cells.append(cell)
            continue
        ran = next(remaining)
        cells.append({**ran, "metadata": {**ran["metadata"], "tags": _tags(cell)}})
        if "parameters" in _tags(cell):
            cells += injected
    write_text(executed, json.dumps({**old, "cells": cells}, indent=1, ensure_ascii=False) + "\n")


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def _explain(error: Any, failed: Path) -> Exception:
    """Turn papermill's error into ours by the name of the exception in the kernel."""
    if error.ename == NotEnough.__name__:
        return NotEnough(str(error.evalue))
    if error.ename in ("UserError", "AskError"):
        return UserError(str(error.evalue))
    if "[Errno 28]" in str(error.evalue):
        return UserError(f"The disk that holds {failed.parent} is full; free some space and run again.")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    last = "\n".join(plain.splitlines()[-_LAST_LINES:])
    return NotebookFailed(f"{last}\n\nThe notebook stopped with {error.ename}. As far as it came it is {failed}")


@contextmanager
def _private_folders() -> Iterator[Path]:
    """A temporary folder with a short name for sockets, Jupyter's files and IPython's profile, not the user's home."""
    names = ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    before = {name: os.environ.get(name) for name in names}
    with tempfile.TemporaryDirectory(prefix="aloe-", ignore_cleanup_errors=True) as folder:
        os.environ.update({name: str(Path(folder, name[:2].lower())) for name in names})
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
