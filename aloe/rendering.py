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
from pathlib import Path
from string import Template

from aloe.errors import UserError
from aloe.families import families, self_judging
from aloe.findings import differences_table, growth, manner_sentence, policies_table
from aloe.folders import whole_folder
from aloe.headline import FIGURE, finished_metrics, headline, markdown_table
from aloe.params import ROOT
from aloe.provenance import fingerprint
from aloe.runs import Run
from aloe.stages import STAGES

SOURCES = ROOT / "aloe" / "report"
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
    benchmark = finished_metrics(run)["benchmark"]
    fields = {
        "run": run.name,
        "description": run.params.description.rstrip("."),
        "what_it_is": (_SIMULATED if run.params.simulated else _REAL) + _own_family(run),
        "sentence": headline(run).sentence,
        "figure": FIGURE,
        "table": markdown_table(run),
        "growth": "\n".join(f"- {growth(name, own)}" for name, own in benchmark["policies"].items()),
        "policies": policies_table(benchmark),
        "shown": manner_sentence(benchmark),
        "differences": differences_table(benchmark) or "No two policies of this run were compared.",
        "level": f"{run.params.benchmark.confidence:.0%}",
        "notebooks": "\n".join(f"notebooks/{stage.name}" for stage in STAGES),
    }
    index = folder / "index.md"
    index.write_text(Template(index.read_text(encoding="utf-8")).substitute(fields), encoding="utf-8")


def _own_family(run: Run) -> str:
    """What the front page says of judges that are of the responders' family; nothing if there is none."""
    judges = self_judging(run.params)
    named = ", ".join(f"`{judge}`" for judge in judges)
    return _OWN_FAMILY % (named, families(run.params)[judges[0]]) if judges else ""


def _inputs(run: Run) -> list[Path]:
    executed = [run.notebooks / f"{stage.name}.ipynb" for stage in STAGES]
    return [*executed, run.metrics, run.figures / FIGURE, SOURCES]


def _notebooks(run: Run) -> list[Path]:
    paths = [run.notebooks / f"{stage.name}.ipynb" for stage in STAGES]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path} does not exist; run `make all PRESET={run.params.name}` first.")
    return paths


def _folded(notebook: Path) -> str:
    """A notebook whose code is folded away, cell by cell; outputs stay in sight, but for bars that only run live.

    Cells that hold nothing but parameters are left out.
    """
    content = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            tags = set(cell["metadata"].get("tags", []))
            hidden = "remove-cell" if tags & {"parameters", "injected-parameters"} else "hide-input"
            cell["metadata"]["tags"] = sorted({*tags, hidden})
            cell["outputs"] = [output for output in cell["outputs"] if _WIDGET not in output.get("data", {})]
    content["metadata"].pop("widgets", None)
    return json.dumps(content)
