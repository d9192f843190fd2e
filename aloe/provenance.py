"""Where a result comes from: hashes of files and folders, versions of the libraries, the commit of the code.

In: paths. Out: plain values for a manifest. What cannot be known (no git, a library not installed) is None, never an
error. This module does not know what a run is.
"""

import hashlib
import importlib.metadata
import platform
import subprocess
from pathlib import Path

from aloe.errors import UserError

LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "unsloth",
    "openai",
    "numpy",
    "scipy",
    "pandas",
)


def fingerprint(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, or of a folder's file names and bytes in sorted order, hidden files left out.

    Raises:
        UserError: `path` does not exist.
    """
    if path.is_dir():
        digest = hashlib.sha256()
        for file in sorted(path.rglob("*")):
            name = file.relative_to(path)
            if file.is_file() and not any(part.startswith(".") for part in name.parts):
                digest.update(f"{name.as_posix()}\0{fingerprint(file)}\n".encode())
        return digest.hexdigest()
    if not path.is_file():
        raise UserError(f"{path} does not exist; run the stage that writes it (`make all`).")
    with path.open("rb") as file_bytes:
        return hashlib.file_digest(file_bytes, "sha256").hexdigest()


def simulated_model(folder: Path) -> str:
    """SHA-256 (hex) of what the simulated model's replies follow from: its code and texts, without its base model's."""
    others = {"lesson_personas.py", "lessons.py", "pretraining.py", "unfinished.py", "__main__.py", "faults.py"}
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".py", ".yaml") and path.name not in others)
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def versions() -> dict[str, str | None]:
    """The version of Python and of each library that decides about results; None where it is not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = None
    return found


def git_commit(root: Path) -> str | None:
    """The commit checked out at `root`, with `-modified` if tracked files differ; None if `root` is no git checkout.

    `README.md` and `outputs/` do not count: a run writes its numbers there itself.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!README.md", ":!outputs")
        return git("rev-parse", "--verify", "HEAD") + ("-modified" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
