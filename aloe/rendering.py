"""Render a run's report: executed notebooks, front page and pages become one static site.

In: a run whose notebooks have been executed. Out: `report/index.html` and what it needs, whole or not at all; it is
read from disk, asks no network, and has its own search. A run that ended early has a report of the stages up to there.
Nothing is executed here, and no number of the run is computed. This module does not know what the notebooks say.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, NamedTuple

from aloe.errors import UserError
from aloe.folders import whole_folder
from aloe.front_page import about
from aloe.front_page import fields as front_page_fields
from aloe.headline import FIGURE
from aloe.markdown import literal, sentence
from aloe.params import ROOT
from aloe.provenance import fingerprint
from aloe.provenance_page import page_fields as provenance_fields
from aloe.recipes import CORRECTED, ELSEWHERE, Departure, departures, switches
from aloe.records import Transcript, read_jsonl
from aloe.rendered_notebooks import folded, title, without_dead_links
from aloe.runs import Run, open_run
from aloe.stages import STAGES
from aloe.writing import write_text

if TYPE_CHECKING:
    from aloe.downloads import Figure

SOURCES = ROOT / "aloe" / "report"
_ROWS = ROOT / "aloe" / "data" / "published_rows.csv"
_CHOICES = "pages/published-and-corrected.md"
_NUMBERS = "pages/published-numbers.md"
_EVIDENCE = "pages/evidence.md"
_PROVENANCE = "pages/provenance.md"
_DOWNLOADS = "pages/downloads.md"
_TRANSCRIPTS = "pages/transcripts.md"
_PAGES = (
    _TRANSCRIPTS, "pages/method-and-limits.md", "pages/what-the-sandbox-shows.md", _EVIDENCE, _CHOICES, _NUMBERS,
    _PROVENANCE, _DOWNLOADS, "pages/change-one-thing.md", "pages/more-than-one-gpu.md", "pages/tried-on.md",
)  # fmt: skip


class Stopped(NamedTuple):
    """Where a run ended early: the stage, and the sentence that it ended with."""

    stage: str
    why: str


def build_report(run: Run, stopped: Stopped | None = None) -> None:
    """Build `report/` from the executed notebooks; what stood there is replaced once the new one is whole.

    Args:
        run: the run.
        stopped: where it ended early; such a report is not noted in the manifest, since the run is not done.

    Raises:
        UserError: a notebook has not been executed, or the benchmark is not done.
        RuntimeError: Sphinx found a fault; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="aloe-report-") as folder:
        source, built = Path(folder, "source"), Path(folder, "built", "html")  # MyST-NB also writes beside the latter
        write_source(run, source, stopped)
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html"]
        done = subprocess.run(
            [*command, "-d", str(Path(folder, "doctrees")), str(source), str(built)], capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"The report could not be built:\n{done.stdout}{done.stderr}")
        with whole_folder(run.report) as site:
            shutil.copytree(built, site, dirs_exist_ok=True)
    if stopped is None:
        run.record_stage("report", _inputs(run), [])


def report_is_current(run: Run) -> bool:
    """Is the report there, and made from what stands in the run now?"""
    record = run.read_manifest().get("stages", {}).get("report", {})
    if not (run.report / "index.html").is_file() or not all(path.exists() for path in _inputs(run)):
        return False
    return list(record.get("inputs", {}).values()) == [fingerprint(path) for path in _inputs(run)]


def write_source(run: Run, folder: Path, stopped: Stopped | None = None) -> None:
    """Lay out what Sphinx reads: `conf.py`, the pages, the front page, the notebooks with their code folded, and in
    `extra/` what goes into the report as it is: the data of figures, and the conversations.

    Raises:
        UserError: a notebook has not been executed, or the benchmark is not done, of a run that has not ended early.
    """
    from aloe import downloads  # with libraries that a run with nothing to do is spared

    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    notebooks = _notebooks(run, stopped)
    figures = downloads.figures(run, notebooks)
    _write_notebooks(notebooks, figures, folder / "notebooks")
    data = folder / "extra" / "data"
    downloads.write_downloads(run, data)
    browsable = _write_conversations(run, folder / "extra" / "transcripts")
    pages = [page for page in _PAGES if browsable or page != _TRANSCRIPTS]
    fields = {
        **about(run),
        "notebooks": "\n".join(f"notebooks/{name}" for name in notebooks),
        "pages": "\n".join(page.removesuffix(".md") for page in pages),
    }
    if stopped is None:
        shutil.copy(run.figures / FIGURE, folder / FIGURE)
        curves = [figure for figure in figures if figure.name == Path(FIGURE).stem]
        fields |= front_page_fields(run)
        fields["seen"] = literal((curves[0].sentence if curves else None) or "")
        fields["caption"] = downloads.caption(curves, ".") if curves else ""
    else:
        fields |= {"stage": stopped.stage, "why": sentence(stopped.why)}
    titles = {name: title(path) for name, path in notebooks.items()}
    front = "index.md" if stopped is None else "unfinished.md"
    for name, target, values in (
        (front, "index.md", fields), (_CHOICES, _CHOICES, _choices(run)), (_NUMBERS, _NUMBERS, _numbers(run)),
        (_PROVENANCE, _PROVENANCE, provenance_fields(run)), (_EVIDENCE, _EVIDENCE, _evidence(run, folder / "pages")),
        (_DOWNLOADS, _DOWNLOADS, downloads.page_fields(figures, data, titles)),
    ):  # fmt: skip
        text = Template((folder / name).read_text(encoding="utf-8")).substitute(values)
        if name == _EVIDENCE and not _stored("evidence", run).is_file():  # its sections have nothing to show
            text = text.partition("\n## ")[0] + "\n"
        (folder / target).write_text(text, encoding="utf-8")
    (folder / "unfinished.md").unlink()
    _keep_links(folder, {*pages, *(f"notebooks/{name}.ipynb" for name in notebooks)})


def _write_notebooks(notebooks: Mapping[str, Path], figures: "Sequence[Figure]", folder: Path) -> None:
    """Leave the notebooks with their code folded, and below each figure what is seen and where its data are."""
    from aloe.downloads import caption

    folder.mkdir()
    for name, notebook in notebooks.items():
        by_cell: dict[str, list[Figure]] = {}
        for figure in figures:
            if figure.notebook == name and figure.cell:
                by_cell.setdefault(figure.cell, []).append(figure)
        captions = {cell: caption(own) for cell, own in by_cell.items()}
        alts = {cell: own[0].sentence for cell, own in by_cell.items() if len(own) == 1 and own[0].sentence}
        write_text(folder / f"{name}.ipynb", folded(notebook, captions, alts))


def _write_conversations(run: Run, folder: Path) -> bool:
    """Leave the data of the transcripts browser; False where there are no conversations with scores."""
    folder.mkdir(parents=True)
    if not run.transcripts.is_file() or not run.scores.is_file():
        return False
    import pandas as pd

    from aloe.transcript_browser import browser_files

    files = browser_files(list(read_jsonl(Transcript, run.transcripts)), pd.read_parquet(run.scores))
    for name, text in files.items():
        write_text(folder / name, text)
    return True


def _keep_links(folder: Path, pages: set[str]) -> None:
    """Take out what a run that ended early has no page for: the page itself, and links to it, whose words stay."""
    for path in (folder / "pages").glob("*.md"):
        if path.relative_to(folder).as_posix() not in pages:
            path.unlink()
    for path in (folder / "index.md", *(folder / "pages").glob("*.md")):
        there = {os.path.relpath(folder / page, path.parent) for page in pages}
        path.write_text(without_dead_links(path.read_text(encoding="utf-8"), there), encoding="utf-8")


def _choices(run: Run) -> dict[str, str]:
    """What the page on the released code says: its choices, and what runs with arms beside this one measured."""
    from aloe.ablation import markdown_page  # with libraries that a run with nothing to do is spared

    found = {}
    for preset in ("ablation", "evidence"):
        stored = _stored(preset, run)
        metrics = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else None
        found[preset] = markdown_page(metrics, fingerprint(stored) if metrics else "", preset)
    return {"departures": _table(departures(CORRECTED)), "elsewhere": _table(ELSEWHERE), **found}


def _evidence(run: Run, folder: Path) -> dict[str, str]:
    """What the page on evidence says, from the run `evidence` beside this one; its figures are left in `folder`."""
    from aloe.evidence_page import page_fields, page_figures  # with libraries that a run with nothing to do is spared

    stored = _stored("evidence", run)
    metrics = json.loads(stored.read_text(encoding="utf-8")) if stored.is_file() else None
    for name, image in page_figures(metrics).items():
        (folder / name).write_bytes(image)
    return page_fields(metrics, fingerprint(stored) if metrics else "")


def _numbers(run: Run) -> dict[str, str]:
    """What the page on published numbers says: computed anew, beside the size of this run."""
    from aloe.published import page_fields  # with libraries that a run with nothing to do is spared

    own = run.params.benchmark
    return page_fields(own.n_profiles * own.n_personalities, own.n_turns)


def _stored(preset: str, run: Run) -> Path:
    """Where the run of another preset, beside this one, leaves its numbers."""
    return open_run(preset, outputs=run.root.parent).metrics


def _table(rows: Sequence[Departure]) -> str:
    """Departures in Markdown; which side a recipe takes is not part of it."""
    lines = ["| choice | the released code | this study |", "|---|---|---|"]
    names = [f"`{row.switch}`" if row.switch in switches() else row.switch for row in rows]
    cells = (f"| {name} | {row.published} | {row.corrected} |" for name, row in zip(names, rows, strict=True))
    return "\n".join([*lines, *cells])


def _inputs(run: Run) -> list[Path]:
    executed = [run.notebooks / f"{stage.name}.ipynb" for stage in STAGES]
    maybe = (_stored("ablation", run), _stored("evidence", run), run.transcripts, run.scores)
    stored = [path for path in maybe if path.is_file() and path != run.metrics]
    return [*executed, run.metrics, run.figures, SOURCES, _ROWS, *stored]


def _notebooks(run: Run, stopped: Stopped | None) -> dict[str, Path]:
    """The executed notebooks by stage; of a run that ended early those up to there, the last as far as it came."""
    paths = {}
    for stage in STAGES:
        ended = stopped is not None and stage.name == stopped.stage
        paths[stage.name] = run.notebooks / f"{stage.name}{'.failed' if ended else ''}.ipynb"
        if not paths[stage.name].is_file():
            raise UserError(f"{paths[stage.name]} does not exist; run `{run.command()}` first.")
        if ended:
            break
    return paths
