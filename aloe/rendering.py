"""Render a run's report: executed notebooks, front page and pages become one static site.

In: a run whose notebooks have been executed. Out: `report/index.html` and what it needs, whole or not at all; it is
read from disk, asks no network, and has its own search. A run that ended early has a report of the stages up to there.
Nothing is executed here, and no number of the run is computed. This module does not know what the notebooks say.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from aloe.errors import UserError
from aloe.families import families, self_judging
from aloe.findings import dal_sentence, differences_table, growth, late_sentence, manner_sentence, policies_table
from aloe.folders import whole_folder
from aloe.headline import FIGURE, finished_metrics, headline, markdown_table, unheard_sentence
from aloe.markdown import sentence
from aloe.params import ROOT
from aloe.provenance import fingerprint
from aloe.recipes import CORRECTED, ELSEWHERE, Departure, departures, switches
from aloe.runs import Run, open_run
from aloe.stages import STAGES, read_notebook

SOURCES = ROOT / "aloe" / "report"
_ROWS = ROOT / "aloe" / "data" / "published_rows.csv"
_SIMULATED = """:::{admonition} Simulated
:class: warning
Every user and every score in this report comes from a simulated language model, and the policies are a small Llama,
aligned on an ordinary machine. That users have preferences, and that judges see them, was planted; what a policy learns
of them was not ([](pages/what-the-sandbox-shows.md) keeps the two apart). So the report shows what the method's code
does in a world that is known, and nothing about people.
:::"""
_WIDGET = "application/vnd.jupyter.widget-view+json"
_REAL = "The roles were played by the models that the preset names; nothing on these pages is simulated."
_OWN_FAMILY = """
:::{admonition} Judges of their own family
:class: warning
%s: of the model family `%s`, as are responders whose replies, or what policies learned from them, are judged here.
Models favour their own, so judges of another family may see smaller differences.
:::"""


_UNPARSEABLE = """
Answers that have to be of a fixed form and were not, also after one repair, are counted as unparseable and never
guessed: %s."""
_CHOICES = "pages/published-and-corrected.md"
_NUMBERS = "pages/published-numbers.md"
_ENDED = "*The run ended here; the front page says why.*"


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
    """Lay out what Sphinx reads: `conf.py`, the pages, the front page, and the notebooks with their code folded.

    Raises:
        UserError: a notebook has not been executed, or the benchmark is not done, of a run that has not ended early.
    """
    shutil.copytree(SOURCES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "notebooks").mkdir()
    notebooks = _notebooks(run, stopped)
    for name, notebook in notebooks.items():
        (folder / "notebooks" / f"{name}.ipynb").write_text(_folded(notebook), encoding="utf-8")
    fields = {
        "run": run.name,
        "description": run.params.description.rstrip("."),
        "what_it_is": (_SIMULATED if run.params.simulated else _REAL) + _own_family(run),
        "unparseable": _unparseable(run),
        "notebooks": "\n".join(f"notebooks/{name}" for name in notebooks),
    }
    if stopped is None:
        shutil.copy(run.figures / FIGURE, folder / FIGURE)
        fields |= _found(run)
    else:
        fields |= {"stage": stopped.stage, "why": sentence(stopped.why)}
    front = "index.md" if stopped is None else "unfinished.md"
    pages = ((front, "index.md", fields), (_CHOICES, _CHOICES, _choices(run)), (_NUMBERS, _NUMBERS, _numbers(run)))
    for name, target, values in pages:
        text = Template((folder / name).read_text(encoding="utf-8")).substitute(values)
        (folder / target).write_text(text, encoding="utf-8")
    (folder / "unfinished.md").unlink()


def _found(run: Run) -> dict[str, str]:
    """What the front page of a finished run says of its policies."""
    benchmark = finished_metrics(run)["benchmark"]
    return {
        "sentence": headline(run).sentence,
        "figure": FIGURE,
        "table": markdown_table(run),
        "growth": "\n".join(f"- {growth(name, own)}" for name, own in benchmark["policies"].items()),
        "late": late_sentence(benchmark),
        "personal": dal_sentence(benchmark),
        "policies": policies_table(benchmark),
        "shown": f"{manner_sentence(benchmark)} {unheard_sentence(run)}".strip(),
        "differences": differences_table(benchmark) or "No two policies of this run were compared.",
        "level": f"{run.params.benchmark.confidence:.0%}",
    }


def _choices(run: Run) -> dict[str, str]:
    """What the page on the released code says: its choices, and what the run `ablation` beside this one measured."""
    from aloe.ablation import markdown_page  # with libraries that a run with nothing to do is spared

    ablation = _ablation(run)
    metrics = json.loads(ablation.read_text(encoding="utf-8")) if ablation.is_file() else None
    return {
        "departures": _table(departures(CORRECTED)),
        "elsewhere": _table(ELSEWHERE),
        "ablation": markdown_page(metrics, fingerprint(ablation) if metrics else ""),
    }


def _numbers(run: Run) -> dict[str, str]:
    """What the page on published numbers says: computed anew, beside the size of this run."""
    from aloe.published import page_fields  # with libraries that a run with nothing to do is spared

    own = run.params.benchmark
    return page_fields(own.n_profiles * own.n_personalities, own.n_turns)


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
    return [*executed, run.metrics, run.figures / FIGURE, SOURCES, _ROWS, *stored]


def _unparseable(run: Run) -> str:
    """What the front page says of answers that could not be read; nothing where all could."""
    counts = run.read_metrics().get("unparseable", {}) if run.metrics.is_file() else {}
    counted = ", ".join(f"`{role}` {n:,}" for role, n in counts.items() if n)
    return _UNPARSEABLE % counted if counted else ""


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


def _until_it_ended(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells up to the one that raised, without its traceback and the marks of papermill; all if none did."""
    kept = []
    for cell in cells:
        if "papermill-error-cell-tag" not in cell["metadata"].get("tags", []):
            kept.append(cell)
        if cell["metadata"].get("papermill", {}).get("exception"):
            cell["outputs"] = [output for output in cell["outputs"] if output["output_type"] != "error"]
            return [*kept, {"cell_type": "markdown", "id": "ended", "metadata": {}, "source": _ENDED}]
    return kept


def _folded(notebook: Path) -> str:
    """A notebook whose code is folded away, cell by cell; outputs stay in sight, but for bars that only run live.

    Cells that hold nothing but parameters are left out.
    """
    content = read_notebook(notebook)
    content["cells"] = _until_it_ended(content["cells"])
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            tags = set(cell["metadata"].get("tags", []))
            hidden = "remove-cell" if tags & {"parameters", "injected-parameters"} else "hide-input"
            cell["metadata"]["tags"] = sorted({*tags, hidden})
            cell["outputs"] = [output for output in cell["outputs"] if _WIDGET not in output.get("data", {})]
    content["metadata"].pop("widgets", None)
    return json.dumps(content)
