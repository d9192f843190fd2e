"""A copy of this checkout in which the smallest preset is run once: nothing of the user's outputs is touched."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Checkout:
    """The copy, and what its first `run --preset smoke` printed."""

    root: Path
    printed: str

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.root / "outputs" / "smoke"

    def aloe(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m aloe ...` in the copy."""
        return aloe(self.root, *arguments)


def aloe(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m aloe ...` in a checkout, as its Makefile calls it; `make` itself would set up a `.venv` there."""
    command = [sys.executable, "-m", "aloe", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=580)


def copy_checkout(root: Path) -> Path:
    """Put what a run needs of this checkout into a folder, and return the folder."""
    for name in ("aloe", "notebooks", "params"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    shutil.copy(ROOT / "README.md", root)
    return root


@pytest.fixture(scope="session")
def checkout(tmp_path_factory) -> Checkout:
    root = copy_checkout(tmp_path_factory.mktemp("checkout"))
    done = aloe(root, "run", "--preset", "smoke")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return Checkout(root, done.stdout)
