"""`environment.yml`, for those who use conda: the same packages at the same versions as `.venv`.

In: `pyproject.toml` and `requirements.lock`. Out: the text of `environment.yml`: Python and pip from conda, the direct
dependencies with `==` from pip (spelled out: not every conda client reads a requirements file from there). This module
installs nothing and does not know what the packages are for.
"""

import re
import tomllib

from aloe.errors import UserError
from aloe.params import ROOT

_HEAD = """\
# Made by `make lock` from pyproject.toml and requirements.lock; do not edit.
# Then: conda env create -f environment.yml && conda activate aloe && pip install --no-deps -e .
name: aloe
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
"""


def environment_yml() -> str:
    """The file's text, extras for documents, development and the GPU box included; a browser's driver is not.

    Raises:
        UserError: a direct dependency is not in the lock.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    locked = _locked((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    wanted = {name: extra for name, extra in project["optional-dependencies"].items() if name != "accessibility"}
    extras = [line for extra in wanted.values() for line in extra]
    names = sorted({_name(line) for line in [*project["dependencies"], *extras]})
    missing = [name for name in names if name not in locked]
    if missing:
        raise UserError(f"requirements.lock has no {missing[0]}; run `make lock`.")
    return _HEAD + "".join(f"      - {name}=={locked[name]}\n" for name in names)


def _locked(text: str) -> dict[str, str]:
    """Versions by name; where a package has several, the one that Python 3.11 takes is the first."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", text, re.MULTILINE):
        found.setdefault(_name(name), version)
    return found


def _name(requirement: str) -> str:
    """The normalised name of a requirement.

    >>> _name("PyYAML>=6")
    'pyyaml'
    """
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement.strip(), maxsplit=1)[0]).lower()
