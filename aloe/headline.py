"""The headline table of a finished run, for the terminal, the report and the README.

In: `metrics.json`. Out: rows of text, a Markdown table, and the README's part between its markers. Numbers are only
rounded here, never computed. A run whose benchmark is not done has no headline: that is a `UserError`.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aloe.errors import UserError
from aloe.findings import NBSP
from aloe.params import ROOT
from aloe.runs import Run
from aloe.stages import STAGES
from aloe.writing import write_text

README = ROOT / "README.md"
FIGURE = "al_curves.svg"
_MARKERS = re.compile(r"(<!-- headline: (?P<folder>\S+) -->\n).*?(<!-- end of headline -->)", re.DOTALL)


_DAL = " dAL is AVG minus the mean level of the same replies for a stranger's persona."


class Headline(NamedTuple):
    """A sentence that says what was run and whether it is simulated, column titles, and one row per policy."""

    sentence: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def headline(run: Run) -> Headline:
    """Read the table from a run's `metrics.json`.

    Raises:
        UserError: the run is not finished.
    """
    metrics = finished_metrics(run)
    benchmark = metrics["benchmark"]
    last, percent = benchmark["n_turns"], round(100 * run.params.benchmark.confidence)
    policies = benchmark["policies"]
    marks = (
        " † N-IR alone cannot show growth here (it lies where curves without a trend lie): read IR and its interval."
        if any(map(_in_null_band, policies.values()))
        else ""
    )
    controlled = any(policy.get("dal") is not None for policy in policies.values())
    what = "**Simulated**: a simulated language model and a small Llama" if metrics["simulated"] else "Real models"
    return Headline(
        f"{what}; preset `{metrics['preset']}`, seed {metrics['seed']}, {benchmark['n_cases']} held-out cases of "
        f"{last} turns, levels 1 to 5, {percent}% intervals clustered on profiles.{_DAL if controlled else ''}{marks}",
        ("policy", "AL(1)", f"AL({last})", "AVG", *(["dAL"] if controlled else []), "IR", "R²", "N-IR"),
        tuple(_row(name, policy, controlled) for name, policy in policies.items()),
    )


def finished_metrics(run: Run) -> dict[str, Any]:
    """The metrics of a run whose benchmark is done.

    Raises:
        UserError: it is not.
    """
    metrics = run.read_metrics()
    if not metrics.get("benchmark", {}).get("policies"):
        raise UserError(f"{run.metrics}: the benchmark is not done; run `{run.command()}` first.")
    return metrics


def text_table(run: Run) -> str:
    """The table for the terminal: the sentence, then aligned columns."""
    sentence, columns, rows = headline(run)
    lines = [[cell.replace("`", "") for cell in row] for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([sentence.replace("*", "").replace("`", ""), "", *table])


def markdown_table(run: Run) -> str:
    """The table in Markdown, without the sentence."""
    _, columns, rows = headline(run)
    lines: Sequence[Sequence[str]] = (columns, ("---", *("---:" for _ in columns[1:])), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def unheard_sentence(run: Run) -> str:
    """How many replies of each policy hold a word that nobody used, as a sentence; empty where that was not counted."""
    shares = finished_metrics(run)["benchmark"].get("unheard_words")
    if not shares:
        return ""
    each = ", ".join(f"`{name}` {share_text(row)}" for name, row in shares.items())
    return f"Replies with a word that nobody used in the study, be it garbled or from pretraining: {each}."


def share_text(row: Mapping[str, Any]) -> str:
    """A share with its interval (`share`, `low`, `high`), in percent."""
    ends = "" if row["low"] is None else f" [{100 * row['low']:.0f},{NBSP}{100 * row['high']:.0f}]"
    return f"{row['share']:.0%}{ends}"


def note(folder: Path) -> str | None:
    """What to know of a run's numbers before reading them: that its run here is not at its end; None if it is.

    Args:
        folder: a run's folder, which has a `metrics.json`.
    """
    path = folder / "manifest.json"
    try:
        done = json.loads(path.read_text(encoding="utf-8"))["stages"] if path.is_file() else {}
    except (ValueError, KeyError, TypeError):
        done = {}
    n_done = sum(stage.name in done for stage in STAGES)
    if n_done == len(STAGES):
        return None
    return (f"Note: {folder} has {n_done} of {len(STAGES)} stages done on this machine; numbers of the others are "
            f"an earlier run's, or came with the repository.")  # fmt: skip


def publish(run: Run) -> bool:
    """Write sentence, figure and table into the README, if its markers name this run; True if they do."""
    text = README.read_text(encoding="utf-8") if README.is_file() else ""
    found = _MARKERS.search(text)
    if not found or (ROOT / found["folder"]).resolve() != run.root.resolve():
        return False
    figure = os.path.relpath(run.figures / FIGURE, ROOT)
    picture = f"![Alignment level by turn and policy]({figure})"
    parts = (headline(run).sentence, picture, markdown_table(run), unheard_sentence(run))
    body = "\n\n".join(part for part in parts if part) + "\n"
    new = text[: found.end(1)] + body + text[found.start(3) :]
    if new != text:
        write_text(README, new)
    return True


def _row(name: str, policy: dict[str, Any], controlled: bool) -> tuple[str, ...]:
    return (
        f"`{name}`",
        f"{policy['al'][0]:.2f}",
        f"{policy['al'][-1]:.2f}",
        _with_interval(policy["al_mean"], policy.get("al_mean_ci"), 2),
        *([_with_interval(policy.get("dal"), policy.get("dal_ci"), 2)] if controlled else []),
        _with_interval(policy["ir"], policy.get("ir_ci"), 3),
        _number(policy["r2"], 2),
        _with_interval(policy["n_ir"], policy.get("n_ir_ci"), 3) + (f"{NBSP}†" if _in_null_band(policy) else ""),
    )


def _in_null_band(policy: dict[str, Any]) -> bool:
    band, value = policy.get("n_ir_null_band"), policy["n_ir"]
    return value is not None and band is not None and band[0] <= value <= band[1]


def _number(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:z.{digits}f}"


def _with_interval(value: float | None, interval: Sequence[float] | None, digits: int) -> str:
    if value is None or not interval or None in interval:
        return _number(value, digits)
    return f"{value:z.{digits}f} [{interval[0]:z.{digits}f},{NBSP}{interval[1]:z.{digits}f}]"
