"""The first screen of the report: what was asked, what was found, how sure that is, and whether it is simulated.

In: a finished run's `metrics.json`. Out: the fields of the front page, in Markdown. Every statement follows from an
interval and names the policies that it holds for; numbers are rounded here, never computed. What a run has not measured
is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aloe.families import families, self_judging
from aloe.findings import (
    LEARNED,
    NOT_APART,
    dal_sentence,
    differences_table,
    growth,
    halves_sentence,
    late_sentence,
    lost_for_others,
    manner_sentence,
    policies_table,
    two_way_sentence,
    verdict,
)
from aloe.headline import FIGURE, finished_metrics, headline, markdown_table, share_text, unheard_sentence
from aloe.judge_words import report_part
from aloe.markdown import literal
from aloe.runs import Run

_RISE = {"higher": "rises", "lower": "falls", NOT_APART: "is not shown to change"}
_SIMULATED = """:::{admonition} Simulated
:class: warning
Every user and every score in this report comes from a simulated language model, and the policies are a small Llama,
aligned on an ordinary machine. That users have preferences, and that judges see them, was planted; what a policy learns
of them was not ([](pages/what-the-sandbox-shows.md) keeps the two apart). So the report shows what the method's code
does in a world that is known, and nothing about people. The benchmark's people were in no training, but settings were
changed after earlier runs had been measured on them.
:::"""
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


def fields(run: Run) -> dict[str, str]:
    """What the front page of a finished run says of its policies.

    Raises:
        UserError: the benchmark is not done.
    """
    metrics = finished_metrics(run)
    benchmark = metrics["benchmark"]
    said = filter(None, (_rises(benchmark), _beside(benchmark), _personal(benchmark), _cost(benchmark)))
    numbers = "\n".join(f"- {sentence}" for sentence in said)
    return {
        "found": f"{_answer(benchmark)}\n\n{numbers}".strip(),
        "sure": _sure(run, metrics),
        "simulated": _simulated(metrics),
        "sentence": headline(run).sentence,
        "figure": FIGURE,
        "table": markdown_table(run),
        "growth": "\n".join(f"- {growth(name, own)}" for name, own in benchmark["policies"].items()),
        "late": late_sentence(benchmark),
        "personal": dal_sentence(benchmark),
        "policies": policies_table(benchmark),
        "shown": f"{manner_sentence(benchmark)} {unheard_sentence(run)}".strip(),
        "differences": differences_table(benchmark) or "No two policies of this run were compared.",
        "halves": halves_sentence(benchmark),
        "judges": report_part(benchmark.get("judges")),
        "level": f"{run.params.benchmark.confidence:.0%}",
    }


def about(run: Run) -> dict[str, str]:
    """What the front page says of any run, also of one that ended early."""
    return {
        "run": run.name,
        "description": literal(run.params.description.rstrip(".")),
        "what_it_is": _SIMULATED if run.params.simulated else _REAL,
        "own_family": _own_family(run),
        "unparseable": _unparseable(run),
    }


def _own_family(run: Run) -> str:
    """What the front page says of judges that are of the responders' family; nothing if there is none."""
    judges = self_judging(run.params)
    named = ", ".join(f"`{judge}`" for judge in judges)
    family = (families(run.params)[judges[0]] or "").replace("`", "") if judges else ""
    return _OWN_FAMILY % (named, family) if judges else ""


def _unparseable(run: Run) -> str:
    """What the front page says of answers that could not be read; nothing where all could."""
    counts = run.read_metrics().get("unparseable", {}) if run.metrics.is_file() else {}
    counted = ", ".join(f"`{role}` {n:,}" for role, n in counts.items() if n)
    return _UNPARSEABLE % counted if counted else ""


def _answer(benchmark: Mapping[str, Any]) -> str:
    """The answer to what was asked, by dAL: is it above `base`'s, does it grow with the turns? Empty without either."""
    policies, gaps = benchmark["policies"], benchmark.get("differences", {})
    learned = next((name for name in LEARNED if policies.get(name, {}).get("dal") is not None), None)
    beyond = gaps.get(f"{learned} - base", {})
    if learned is None or beyond.get("dal") is None or "shift_level" in benchmark:
        return ""
    own, told = policies[learned], gaps.get(f"told - {learned}")
    if verdict(beyond["dal"], beyond.get("dal_ci")) != "higher":
        return f"**Not shown**, that replies of `{learned}` suit their own user more than those of `base` do."
    short = told is not None and verdict(told["al_mean"], told["al_mean_ci"]) == "higher"
    grows = verdict(own["dal_ir"], own.get("dal_ir_ci")) == "higher"
    more = "and more so from turn to turn" if grows else "but not shown to do so more from turn to turn"
    late = own.get("slope_4_10")
    if grows and late is not None and verdict(late, own.get("slope_4_10_ci")) != "higher":
        more += " (early on: over turns 4 to 10 its level is not shown to rise)"
    left = ", short of the same model told the persona" if short else ""
    answer = "Yes" if grows and not short else "Yes, in part"
    return (f"**{answer}**: replies of `{learned}` suit their own user beyond what suits a stranger, further than "
            f"those of `base`, {more}{left}.")  # fmt: skip


def _rises(benchmark: Mapping[str, Any]) -> str:
    """With whom the level rises from turn to turn, and with whom of these not if personalities are draws, too."""
    policies = benchmark["policies"]
    said = _grouped({name: verdict(own["ir"], own.get("ir_ci")) for name, own in policies.items()})
    lost = {f"`{name}`" for name, own in policies.items() if lost_for_others(own, "ir")}
    named = {word: [f"{name}{' (not shown for other personalities)' if name in lost else ''}" for name in names]
             for word, names in said.items()}  # fmt: skip
    parts = [f"{_RISE[word]} with {_listed(named[word])}" for word in _RISE if word in said]
    return f"From turn to turn, the level of alignment {'; it '.join(parts)}."


def _beside(benchmark: Mapping[str, Any]) -> str:
    """How the trained policy compares with the model before training and with the one that is told the persona."""
    policies = benchmark["policies"]
    learned = next((name for name in LEARNED if name in policies), None)
    if learned is None:
        return ""
    notes = ((learned, ""), ("base", " (the model before training)"), ("told", " (the same, told the persona)"))
    parts = [f"{policies[name]['al_mean']:.2f} with `{name}`{note}" for name, note in notes if name in policies]
    gap = benchmark.get("differences", {}).get(f"{learned} - base")
    shown = "" if gap is None else f"; `{learned}` against `base`: {verdict(gap['al_mean'], gap['al_mean_ci'])}"
    return f"The mean level, of 1 to 5, is {_listed(parts)}{shown}."


def _personal(benchmark: Mapping[str, Any]) -> str:
    """Whose replies suit their own user better than a stranger; empty where that was not measured."""
    measured = any(own.get("dal") is not None for own in benchmark["policies"].values())
    return dal_sentence(benchmark) if measured else ""


def _cost(benchmark: Mapping[str, Any]) -> str:
    """How often the trained policy and the model before training write words that nobody used."""
    counted = benchmark.get("unheard_words", {})
    learned = next((name for name in LEARNED if name in counted), None)
    if learned is None:
        return ""
    parts = [f"{share_text(counted[name])} with `{name}`" for name in (learned, "base") if name in counted]
    return f"Replies with a word that nobody used in the study, be it garbled or from pretraining: {_listed(parts)}."


def _sure(run: Run, metrics: Mapping[str, Any]) -> str:
    benchmark, level = metrics["benchmark"], f"{run.params.benchmark.confidence:.0%}"
    profiles = {own.get("n_profiles") for own in benchmark["policies"].values()} - {None}
    sizes = run.params.benchmark
    each = f" with {sizes.n_personalities} personalities each" if sizes.n_personalities > 1 else ""
    scored = max(profiles, default=sizes.n_profiles)
    lost = f"; those of {scored} could be scored" if scored < sizes.n_profiles else ""
    of = f" ({sizes.n_profiles} profiles{each}{lost})" if profiles else ""
    return (f"{level} intervals from {benchmark['n_cases']} held-out people{of}, {benchmark['n_turns']} turns each: "
            f"\"rises\", \"higher\" and the like mean that the interval leaves zero out. They hold for other profiles, "
            f"and neither for other personalities nor for another training: this is one run, with seed "
            f"{metrics['seed']}. {two_way_sentence(benchmark)}").strip()  # fmt: skip


def _simulated(metrics: Mapping[str, Any]) -> str:
    if metrics["simulated"]:
        return ("**Yes.** Users, judges and scores are a simulated language model's, and the policies a small Llama: "
                "nothing here is about people.")  # fmt: skip
    return "**No.** The roles were played by the models that the preset names."


def _grouped(words: Mapping[str, str]) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for name, word in words.items():
        said.setdefault(word, []).append(f"`{name}`")
    return said


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if names[:-1] else "") + names[-1]
