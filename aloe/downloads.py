"""What can be downloaded from the report: the data behind every figure as CSV, the scores, the summaries.

In: a run with its executed notebooks. Out: a folder of files, and what is to be said of each: which notebook draws it,
its description for readers who cannot see it, and a sentence on what is seen. Which cell saves which figure is read off
the notebooks' code. No number of the run is computed but those of `figure_sentences`.
"""

import ast
import html
import io
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from aloe.figure_sentences import seen
from aloe.findings import NBSP
from aloe.markdown import literal
from aloe.notebook_code import read_notebook
from aloe.runs import Run
from aloe.writing import write_text

SCORES, VERDICTS, KNOWLEDGE = "scores.csv", "further_verdicts.csv", "knowledge.csv"


class Figure(NamedTuple):
    """The data behind one figure: file name, rows, bytes; the notebook and the cell that save it; what is seen."""

    name: str
    rows: int
    size: int
    notebook: str | None
    cell: str | None
    alt: str
    sentence: str | None


class _Saving(NamedTuple):
    notebook: str
    cell: str
    alt: str
    exact: frozenset[str]
    patterns: tuple[str, ...]


def figures(run: Run, notebooks: Mapping[str, Path]) -> list[Figure]:
    """The run's figures that have data, in the order of the notebooks; those that no notebook here saves come last."""
    savings = [saving for name, path in notebooks.items() for saving in _savings(name, path)]
    exact = {name for saving in savings for name in saving.exact}
    found = []
    for path in sorted(run.figures.glob("*.csv")):
        place, saving = next(
            ((i, saving) for i, saving in enumerate(savings) if path.stem in saving.exact
             or (path.stem not in exact and any(re.fullmatch(p, path.stem) for p in saving.patterns))),
            (len(savings), None),
        )  # fmt: skip
        frame = _read(path)
        alt = saving.alt if saving else ""
        notebook, cell = (saving.notebook, saving.cell) if saving else (None, None)
        size, said = path.stat().st_size, seen(path.stem, frame)
        found.append((place, Figure(path.stem, len(frame), size, notebook, cell, alt, said)))
    return [figure for _, figure in sorted(found, key=lambda pair: pair[0])]


def write_downloads(run: Run, folder: Path) -> None:
    """Copy the data behind the figures and the run's summaries into `folder`, and write scores and verdicts as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (*sorted(run.figures.glob("*.csv")), run.metrics, run.manifest):
        if path.is_file():
            shutil.copy(path, folder / path.name)
    tables = [(run.scores, SCORES), (run.further_verdicts, VERDICTS)]
    for path, name in [*tables, *([(run.knowledge, KNOWLEDGE)] if run.params.benchmark.probe else [])]:
        if path.is_file():
            write_text(folder / name, pd.read_parquet(path).to_csv(index=False, lineterminator="\n"))


def page_fields(found: list[Figure], folder: Path, titles: Mapping[str, str]) -> dict[str, str]:
    """The two tables of the page on downloads, in Markdown.

    Args:
        found: `figures`.
        folder: `write_downloads`'s, to say what stands there and how large it is.
        titles: what a notebook is called, by name.
    """
    lines = ["| file | rows | size | drawn in | what it shows |", "|---|---:|---:|---|---|"]
    for figure in found:
        where = f"[{titles[figure.notebook]}](../notebooks/{figure.notebook}.ipynb)" if figure.notebook else "–"
        said = literal(f"{figure.alt} {figure.sentence or ''}".strip()) or "–"
        size = _size(figure.size)
        lines.append(f"| {link(figure.name + '.csv', '..')} | {figure.rows:,} | {size} | {where} | {said} |")
    others = []
    about = {
        SCORES: "every score: a row per policy, case, turn and judge",
        KNOWLEDGE: "what probed policies named, and what had been revealed: a row per item, fact and trait",
        VERDICTS: "every verdict of the further judges: a row per reply, judge, time asked and score",
        "metrics.json": "the numbers that this report's front page reads",
        "manifest.json": "parameters, seed, versions, commit, and the hashes of what each stage read and wrote",
    }
    for name, words in about.items():
        if (folder / name).is_file():
            others.append(f"- {link(name, '..')} ({_size((folder / name).stat().st_size)}): {words}")
    return {"figures": "\n".join(lines) if found else "No figure has been drawn.", "others": "\n".join(others)}


def caption(found: list[Figure], root: str = "..") -> str:
    """The lines below figures: what is seen, and where the data are; `root` is the way from the page to the top."""
    parts = []
    for figure in found:
        what = f"{literal(figure.name)}: " if len(found) > 1 else ""
        said = f"{literal(figure.sentence)} " if figure.sentence else ""
        data = f"Data: {link(figure.name + '.csv', root)} ({figure.rows:,} rows, {_size(figure.size)})."
        parts.append(f"{what}{said}{data}")
    return ":::{container} figure-data\n" + "\n\n".join(parts) + "\n:::"


def link(name: str, root: str) -> str:
    """A link to a file of the report's data, as HTML: Sphinx knows no file that it did not make itself."""
    quoted = html.escape(name)
    return f'<a href="{root}/data/{quoted}" download>{quoted}</a>'


def _savings(notebook: str, path: Path) -> Iterator[_Saving]:
    """The cells of a notebook that save figures, with the names that they save."""
    for cell in read_notebook(path)["cells"]:
        if cell["cell_type"] == "code" and "save_figure" in (source := _source(cell)):
            names = list(_names(source))
            alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
            exact = frozenset(name for name, whole in names if whole)
            patterns = tuple(name for name, whole in names if not whole)
            yield _Saving(notebook, cell.get("id", ""), alt, exact, patterns)


def _names(source: str) -> Iterator[tuple[str, bool]]:
    """The second argument of each `save_figure`: a name, or a pattern where the name is put together."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a line for IPython alone
        return
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "save_figure" and len(node.args) > 1):
            continue
        name = node.args[1]
        if isinstance(name, ast.Constant):
            yield str(name.value), True
        elif isinstance(name, ast.JoinedStr):
            parts = [re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in name.values]
            yield "".join(parts), False


def _source(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _read(path: Path) -> pd.DataFrame:
    text = path.read_text(encoding="utf-8")
    return pd.read_csv(io.StringIO(text)) if text.strip() else pd.DataFrame()


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e3:,.0f}{NBSP}kB" if n_bytes >= 1e3 else f"{n_bytes}{NBSP}bytes"
