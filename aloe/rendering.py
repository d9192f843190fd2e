"""Render a run's report: executed notebooks, front page and pages become one static site.

In: a run whose notebooks have been executed. Out: `report/index.html` and what it needs, whole or not at all; it is
read from disk, asks no network, and has its own search. Nothing is executed here, and no number is computed. This
module does not know what the notebooks say.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template

from aloe.errors import UserError
from aloe.families import families, self_judging
from aloe.folders import whole_folder
from aloe.headline import FIGURE, headline, markdown_table
from aloe.params import ROOT
from aloe.provenance import fingerprint
from aloe.recipes import CORRECTED, ELSEWHERE, Departure, departures, switches
from aloe.runs import Run, open_run
from aloe.stages import STAGES

SOURCES = ROOT / "aloe" / "report"
_SIMULATED = """:::{admonition} Simulated
:class: warning
Every reply and every score in this report comes from a simulated language model, and the aligned policy is a small
Llama trained on an ordinary machine. What is found here was planted (see [](pages/what-the-sandbox-shows.md)): it
shows that the method's code works, not that the method does.
:::"""
_REAL = "The roles were played by the models that the preset names; nothing on these pages is simulated."
_OWN_FAMILY = """
:::{admonition} Judges of their own family
:class: warning
%s: of the model family `%s`, as are responders whose replies, or what policies learned from them, are judged here.
Models favour their own, so judges of another family may see smaller differences.
:::"""


def build_report(run: Run) -> None:
    """Build `report/` from the executed notebooks; what stood there is replaced once the new one is whole.

    Raises:
        UserError: a notebook has not been executed, or the benchmark is not done.
        RuntimeError: Sphinx found a fault; the message holds what it printed.
    """
    with tempfile.TemporaryDirectory(prefix="aloe-report-") as folder:
        source = Path(folder, "source")
        write_source(run, source)
        with whole_folder(run.report) as site:
            command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-j", "auto", "-b", "html"]
            done = subprocess.run(
                [*command, "-d", str(Path(folder, "doctrees")), str(source), str(site)], capture_output=True, text=True
            )
            if done.returncode:
                raise RuntimeError(f"The report could not be built:\n{done.stdout}{done.stderr}")
    run.record_stage("report", _inputs(run), [])


def report_is_current(run: Run) -> bool:
    """Is the report there, and made from what stands in the run now?"""
    record = run.read_manifest().get("stages", {}).get("report", {})
    if not (run.report / "index.html").is_file() or not all(path.exists() for path in _inputs(run)):
        return False
    return list(record.get("inputs", {}).values()) == [fingerprint(path) for path in _inputs(run)]


def write_source(run: Run, folder: Path) -> None:
    """Lay out what Sphinx reads: `conf.py`, the pages, the front page, and the notebooks with their code folded.

    Raises:
        UserError: a notebook has not been executed, or the benchmark is not done.
    """
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(run.figures / FIGURE, folder / FIGURE)
    (folder / "notebooks").mkdir()
    for notebook in _notebooks(run):
        (folder / "notebooks" / notebook.name).write_text(_folded(notebook), encoding="utf-8")
    fields = {
        "run": run.name,
        "description": run.params.description.rstrip("."),
        "what_it_is": (_SIMULATED if run.params.simulated else _REAL) + _own_family(run),
        "sentence": headline(run).sentence,
        "figure": FIGURE,
        "table": markdown_table(run),
        "notebooks": "\n".join(f"notebooks/{stage.name}" for stage in STAGES),
    }
    from aloe.ablation import (
        markdown_page,
    )  # it computes too, with libraries that a report with nothing to do is spared

    ablation = _ablation(run)
    metrics = json.loads(ablation.read_text(encoding="utf-8")) if ablation.is_file() else None
    choices = {
        "departures": _table(departures(CORRECTED)),
        "elsewhere": _table(ELSEWHERE),
        "ablation": markdown_page(metrics, fingerprint(ablation) if metrics else ""),
    }
    for name, values in (("index.md", fields), ("pages/published-and-corrected.md", choices)):
        page = folder / name
        page.write_text(Template(page.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")


def _own_family(run: Run) -> str:
    """What the front page says of judges that are of the responders' family; nothing if there is none."""
    judges = self_judging(run.params)
    named = ", ".join(f"`{judge}`" for judge in judges)
    return _OWN_FAMILY % (named, families(run.params)[judges[0]]) if judges else ""


def _ablation(run: Run) -> Path:
    """Where the run `ablation` beside this one leaves its numbers."""
    return open_run("ablation", outputs=run.root.parent).metrics


def _table(rows: Sequence[Departure]) -> str:
    """Departures in Markdown; which side a recipe takes is not part of it."""
    lines = ["| choice | the released code | this study |", "|---|---|---|"]
    names = [f"`{row.switch}`" if row.switch in switches() else row.switch for row in rows]
    cells = (f"| {name} | {row.published} | {row.corrected} |" for name, row in zip(names, rows, strict=True))
    return "\n".join([*lines, *cells])


def _inputs(run: Run) -> list[Path]:
    executed = [run.notebooks / f"{stage.name}.ipynb" for stage in STAGES]
    stored = [path for path in (_ablation(run),) if path.is_file() and path != run.metrics]
    return [*executed, run.metrics, run.figures / FIGURE, SOURCES, *stored]


def _notebooks(run: Run) -> list[Path]:
    paths = [run.notebooks / f"{stage.name}.ipynb" for stage in STAGES]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} does not exist; run `make all PRESET={run.params.name}` first.")
    return paths


def _folded(notebook: Path) -> str:
    """A notebook whose code is folded away, cell by cell; outputs stay in sight."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            cell["metadata"]["tags"] = sorted({*cell["metadata"].get("tags", []), "hide-input"})
    content["metadata"].pop("widgets", None)
    return json.dumps(content)
