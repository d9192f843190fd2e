"""What a notebook's code is, and which modules of `aloe` it stands on.

In: notebooks and sources. Out: cells, module names, and hashes in which comments, docstrings and layout do not count.
This module runs nothing and does not know which notebook is which stage.
"""

import ast
import hashlib
import json
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from aloe.errors import UserError
from aloe.params import ROOT


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as plain data.

    Raises:
        UserError: the file is no notebook.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        whole = all(isinstance(cell["metadata"], dict) and "source" in cell for cell in content["cells"])
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise UserError(f"{path} is damaged: it is no notebook. Nothing was overwritten. Put the right file back, or "
                        f"remove it (rm '{path}') to have it made again.")  # fmt: skip
    return dict(content)


def code_cells(notebook: Path) -> list[str]:
    """The sources of a notebook's code cells, in order."""
    return [_text(cell) for cell in read_notebook(notebook)["cells"] if _is_code(cell)]


def prose(notebook: Path) -> str:
    """Hash of everything in a notebook that is not code."""
    cells = read_notebook(notebook)["cells"]
    return sha(json.dumps([None if _is_code(cell) else _text(cell) for cell in cells]))


def imported_modules(sources: Iterable[str], simulated: bool = True, without: Container[str] = ()) -> set[str]:
    """The modules of `aloe` that some code imports, directly or through each other (`aloe.metrics`, ...).

    Those `without` are left out, with what only they import.
    """
    found: set[str] = set()
    waiting = [name for source in sources for name in _imports(ast.parse(_without_magics(source)))]
    while waiting:
        name = waiting.pop()
        if name in found or name in without or (name.startswith("aloe.sandbox") and not simulated):
            continue
        found.add(name)
        waiting += _imports(ast.parse(module_path(name).read_text(encoding="utf-8")))
    return found


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.startswith("aloe.") and module_path(name).is_file())


def module_path(name: str) -> Path:
    """The file of a module, there or not."""
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")


def source_hash(path: Path) -> str:
    """Hash of a module's code, without comments, docstrings and layout."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    return sha(ast.dump(tree))


def _without_magics(source: str) -> str:
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in source.splitlines())


def _is_code(cell: dict[str, Any]) -> bool:
    return bool(cell["cell_type"] == "code")


def _text(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def sha(text: str) -> str:
    """The SHA-256 of a text, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
