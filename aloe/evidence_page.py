"""The stored run `evidence` as a page of the report: policies, worlds without an effect, trainings, variance.

In: its `metrics.json` and the hash of that file, or None where it has not been run. Out: the page's fields in Markdown,
and its two figures as SVG. Every sentence follows from the numbers; what a stored run lacks is said to be missing. This
module knows no run and asks nobody.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from aloe.evidence import QUESTIONS, variance_frame, world_frame
from aloe.findings import NONE, dal_sentence, interval, signed, table, verdict

MISSING = (
    "The run `evidence` has not been made: `make all PRESET=evidence` makes it, from a finished `sandbox`, and this "
    "page then shows its result."
)
LACKS = "The stored run has no such part."
FIGURES = {"null_worlds": "evidence-null-worlds.svg", "variance": "evidence-variance.svg"}


def page_fields(metrics: Mapping[str, Any] | None, digest: str) -> dict[str, str]:
    """What the page says.

    Args:
        metrics: the `metrics.json` of the run; None where it has not been made.
        digest: the hash of that file.
    """
    benchmark = (metrics or {}).get("benchmark") or {}
    if not metrics or not benchmark.get("policies"):
        return {"source": MISSING, **dict.fromkeys(("policies", "worlds", "trainings", "variance"), "Not there yet.")}
    found = benchmark.get("evidence", {})
    what = "**Simulated.** " if metrics["simulated"] else ""
    return {
        "source": f"{what}Run `{metrics['preset']}`, seed {metrics['seed']}; {benchmark['n_cases']} held-out cases of "
                  f"{benchmark['n_turns']} turns; commit {found.get('commit') or 'unknown'}; hash of its "
                  f"`metrics.json`: {digest[:12]}.",
        "policies": f"{_policies(benchmark)}\n\n{dal_sentence(benchmark)}",
        "worlds": _worlds(found.get("null_worlds", [])),
        "trainings": _trainings(found.get("trainings", [])),
        "variance": _variance(found.get("variance", {})),
    }  # fmt: skip


def page_figures(metrics: Mapping[str, Any] | None) -> dict[str, bytes]:
    """The page's figures by file name, as far as the stored run has their numbers."""
    found = ((metrics or {}).get("benchmark") or {}).get("evidence", {})
    note = "simulated" if metrics and metrics["simulated"] else None
    figures = {}
    if found.get("null_worlds") or found.get("variance"):
        from aloe.evidence_figures import false_and_true_finds, variance_bars

        if found.get("null_worlds"):
            figures[FIGURES["null_worlds"]] = _svg(false_and_true_finds(world_frame(found["null_worlds"]), note))
        if found.get("variance"):
            figures[FIGURES["variance"]] = _svg(variance_bars(variance_frame(found["variance"]), note))
    return figures


def world_sentence(entries: Sequence[Mapping[str, Any]]) -> str:
    """How many worlds call something significant, and whether that is within the limits that were fixed."""
    said = []
    for own in entries:
        n, limit = own["worlds"], own["limit"]
        text = f"With effect {own['effect']:g}, {own['found']['any']} of {n} worlds call something significant"
        if limit is not None:
            bound = f"at {'most' if own['effect'] == 0 else 'least'} {limit:.0%}"
            text += f"; the limit, {bound}, is {'kept' if own['met'] else '**missed**'}"
        said.append(f"{text}.")
    return " ".join(said)


def training_sentence(entries: Sequence[Mapping[str, Any]]) -> str:
    """Of how many trained models dAL is told apart from 0, by effect."""
    said = []
    for effect in dict.fromkeys(own["effect"] for own in entries):
        same = [own for own in entries if own["effect"] == effect]
        words = [verdict(own["dal"], own["dal_ci"]) for own in same]
        above, below = words.count("higher"), words.count("lower")
        under = f" and below 0 with {below}" if below else ""
        said.append(f"With effect {effect:g}, the interval of dAL lies above 0 with {above} of {len(same)} trained "
                    f"models{under}.")  # fmt: skip
    return " ".join(said)


def variance_sentence(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the largest part of the variance comes from, and how far a further case of each source would move."""
    titles, said = {"al_mean": "AVG", "dal": "dAL"}, []
    for name, rows in found.items():
        single, mean = (max(rows, key=lambda row: row[key]) for key in ("share", "share_of_mean"))
        said.append(f"Of {titles[name]}, the largest part of the variance of one case's score is owed to "
                    f"{_named(single)} ({single['share']:.0%}), the largest part of that of the mean to {_named(mean)} "
                    f"({mean['share_of_mean']:.0%}).")  # fmt: skip
    return " ".join(said)


def _policies(benchmark: Mapping[str, Any]) -> str:
    last, rows = benchmark["n_turns"], []
    for name, own in benchmark["policies"].items():
        rows.append((
            f"`{name}`", _shown(own, "dal", 2), _shown(own, "dal_ir", 3), f"{own['al'][0]:.2f}",
            f"{own['al'][-1]:.2f}", _shown(own, "al_mean", 2), _shown(own, "ir", 3),
        ))  # fmt: skip
    return table(("policy", "dAL", "slope of dAL", "AL(1)", f"AL({last})", "AVG", "IR"), rows)


def _worlds(entries: Sequence[Mapping[str, Any]]) -> str:
    if not entries:
        return LACKS
    rows = [(f"{own['effect']:g}", str(own["worlds"]), f"{own['al']:.2f}",
             *(f"{own[name]:z.3f} ({own['found'][name]}; {own.get('found_alone', {}).get(name, NONE)})"
               for name in QUESTIONS),
             f"{own['found']['any']} ({_shown(own, 'share', 3)})")
            for own in entries]  # fmt: skip
    titles = ("effect", "worlds", "AVG", "mean dAL", "mean slope of dAL", "hinted preferred minus plain preferred",
              "any found (share)")  # fmt: skip
    alt = world_sentence(entries).replace("**", "")
    return f"{world_sentence(entries)}\n\n![{alt}]({FIGURES['null_worlds']})\n\n{table(titles, rows)}"


def _trainings(entries: Sequence[Mapping[str, Any]]) -> str:
    if not entries:
        return LACKS
    rows = [(f"{own['effect']:g}", str(own["seed"]), str(own["n_cases"]), _shown(own, "al_mean", 2),
             *(NONE if own[name] is None else signed(own[name], own[f"{name}_ci"], digits)
               for name, digits in (("dal", 2), ("dal_ir", 3))))
            for own in entries]  # fmt: skip
    titles = ("effect", "seed", "cases", "AVG", "dAL", "slope of dAL")
    return f"{training_sentence(entries)}\n\n{table(titles, rows)}"


def _variance(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    if not found:
        return LACKS
    seen = {row["component"] for rows in found.values() for row in rows}
    alone = [source for source in ("seed", "simulator", "judge") if source not in seen]
    left = f" Not split, as there was one of each only: {', '.join(alone)}." if alone else ""
    rows = [({"al_mean": "AVG", "dal": "dAL"}[name], row["component"], str(row["n"]), f"{row['variance']:.4f}",
             f"{row['share']:.0%}", f"{row['share_of_mean']:.0%}")
            for name, own in found.items() for row in own]  # fmt: skip
    titles = ("of", "component", "levels seen", "variance", "share, one case", "share, mean of all")
    said = variance_sentence(found)
    return f"{said}{left}\n\n![{said.replace('`', '')}]({FIGURES['variance']})\n\n{table(titles, rows)}"


def _named(row: Mapping[str, Any]) -> str:
    return f"`{row['component']}`"


def _shown(own: Mapping[str, Any], name: str, digits: int) -> str:
    low, high = own.get(f"{name}_ci") or (None, None)
    return interval(own.get(name), low, high, digits)


def _svg(ax: Any) -> bytes:
    """The figure of Axes, the same bytes for the same data."""
    import matplotlib
    import matplotlib.pyplot as plt

    image, figure = io.BytesIO(), ax.get_figure(root=True)
    with matplotlib.rc_context({"svg.hashsalt": "aloe"}):
        figure.savefig(image, format="svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    return image.getvalue()
