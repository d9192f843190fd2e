"""What a finished run shows, in sentences and two small tables for people who read nothing else.

In: the section `benchmark` of `metrics.json`. Out: text in Markdown. Numbers are compared and rounded here, never
computed; what a run has not measured is left out. Every statement follows from an interval: "shown" means that it lies
on one side of zero. This module knows no file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

WHAT = {
    "base": "the model before training",
    "told": "`base` with the persona in its system message: a mark to compare with, no upper bound",
    "sft_rejected": "fine-tuned on the replies that the user would *not* prefer: a control",
    "sft_preferred": "fine-tuned on the replies that the user would prefer",
    "dpo": "optimised on pairs of both, starting from `sft_preferred`",
}
LEARNED = ("dpo", "sft_preferred")
"""The policies that the study trains to adapt, the last one first."""
NONE = "–"
NBSP = "\u00a0"  # keeps an interval on one line


def policies_table(benchmark: Mapping[str, Any]) -> str:
    """One line per policy: what it is, how far it takes up facts again, and where its manner follows the user."""
    rows = []
    for policy in benchmark["policies"]:
        recalled = benchmark.get("recalled", {}).get(policy)
        facts = interval(recalled["above"], recalled["low"], recalled["high"]) if recalled else NONE
        rows.append((f"`{policy}`", _what(benchmark, policy), facts, _manner(benchmark, policy, ""),
                     _manner(benchmark, policy, "beyond_")))  # fmt: skip
    titles = ("policy", "what it is", "facts taken up again, above chance", "manner follows the user in",
              "further than `base` in")  # fmt: skip
    return table(titles, rows)


def _what(benchmark: Mapping[str, Any], policy: str) -> str:
    """What a policy is, in a few words."""
    arm = benchmark.get("arms", {}).get(policy)
    if arm:
        return f"an arm: trained as `{arm['reference']}`, but for a choice of its own"
    return WHAT.get(policy, "a policy of this preset")


def differences_table(benchmark: Mapping[str, Any]) -> str:
    """Paired differences between policies, with a word on level and on dAL; empty where none were computed."""
    rows = []
    for name, found in benchmark.get("differences", {}).items():
        level, personal = (found["al_mean"], found["al_mean_ci"]), (found.get("dal"), found.get("dal_ci"))
        dal = (NONE, NONE) if personal[0] is None else (signed(*personal, 2), verdict(*personal))
        rows.append((f"`{name}`".replace(" - ", "` − `"), signed(*level, 2), dal[0],
                     signed(found["ir"], found["ir_ci"], 3), verdict(*level), dal[1]))  # fmt: skip
    titles = ("difference", "AVG", "dAL", "IR", "mean level", "dAL is")
    return table(titles, rows) if rows else ""


def growth(name: str, policy: Mapping[str, Any]) -> str:
    """One sentence: does this policy's alignment grow with the turns, by IR and by N-IR, and why the two may differ."""
    band, value = policy.get("n_ir_null_band"), policy["n_ir"]
    slope = verdict(policy["ir"], policy.get("ir_ci"))
    if value is None or band is None:
        return f"`{name}`: its curve has no N-IR with a band; by IR its alignment is {_GROWTH[slope]}."
    inside = band[0] <= value <= band[1]
    where = f"N-IR {value:.3f} lies {'inside' if inside else 'outside'} its band {band[0]:.3f} to {band[1]:.3f}"
    if inside and slope == "higher":
        why = "a rise, but one whose shape noise can have as well: quick at first and then level, or uneven"
    elif inside:
        why = "the two agree"
    elif slope == NOT_APART:
        why = "a shape that noise seldom has, of a slope too small to be told from none"
    else:
        why = "the two agree"
    return f"`{name}`: by IR its alignment is {_GROWTH[slope]}; {where}: {why}."


def late_sentence(benchmark: Mapping[str, Any]) -> str:
    """Whose alignment still grows over turns 4 to 10, in one sentence; empty where dialogues are shorter."""
    said: dict[str, list[str]] = {}
    for name, policy in benchmark["policies"].items():
        if policy.get("slope_4_10") is not None:
            said.setdefault(verdict(policy["slope_4_10"], policy.get("slope_4_10_ci")), []).append(f"`{name}`")
    parts = [f"{_GROWTH[key]} with {_listed(names)}" for key, names in said.items()]
    return f"Late in the conversation, over turns 4 to 10, alignment is {'; '.join(parts)}." if parts else ""


def halves_sentence(benchmark: Mapping[str, Any]) -> str:
    """Which paired differences are others early in a conversation than late; empty where halves were not compared."""
    halved = {name: found for name, found in benchmark.get("differences", {}).items() if found.get("late") is not None}
    parts = []
    for name, found in halved.items():
        early, late = (verdict(found[half], found[f"{half}_ci"]) for half in ("early", "late"))
        if early != late:
            values = [signed(found[half], found[f"{half}_ci"], 2) for half in ("early", "late")]
            shown = f"`{name}`".replace(" - ", "` − `")
            parts.append(f"{shown} is {early} over the first half of the turns ({values[0]}) and {late} over the "
                         f"second ({values[1]})")  # fmt: skip
    if not halved:
        return ""
    return f"Early and late in the conversation: {'; '.join(parts) or 'no verdict is another one in one half'}."


def dal_sentence(benchmark: Mapping[str, Any]) -> str:
    """Whose replies suit their user better than a stranger, and whose more so than `base`'s; or that nobody asked."""
    said: dict[str, list[str]] = {}
    for name, policy in benchmark["policies"].items():
        if policy.get("dal") is not None:
            said.setdefault(verdict(policy["dal"], policy.get("dal_ci")), []).append(f"`{name}`")
    if not said:
        return "The replies of this run were not judged for strangers, so there is no dAL."
    parts = [f"{_PERSONAL[key]} with {_listed(names)}" for key, names in said.items()]
    further = "".join(_further(benchmark, reference) for reference in ("base", "concise"))
    return f"By dAL, replies are {'; '.join(parts)}.{further}"


def _further(benchmark: Mapping[str, Any], reference: str) -> str:
    """Which of the policies that are compared with another one have a higher dAL, as a sentence; empty for none."""
    gaps = {name: benchmark.get("differences", {}).get(f"{name} - {reference}", {}) for name in benchmark["policies"]}
    compared = {f"`{name}`": gap for name, gap in gaps.items() if gap.get("dal") is not None}
    if not compared:
        return ""
    further = [name for name, gap in compared.items() if verdict(gap["dal"], gap.get("dal_ci")) == "higher"]
    only = ", the only ones compared with it" if len(further) == len(compared) < len(gaps) - 1 else ""
    return f" On the same people, dAL is above that of `{reference}` with {_listed(further)}{only}."


def two_way_sentence(benchmark: Mapping[str, Any]) -> str:
    """What is told apart from 0 with the personalities as they are and no longer for others; empty if not computed.

    Of policies that is asked of IR, dAL and its slope, of paired differences also of AVG.
    """
    titles, lost, known = {"ir": "IR", "dal": "dAL", "dal_ir": "slope of dAL"}, [], False
    for part, own_titles in (("policies", titles), ("differences", {"al_mean": "AVG", **titles})):
        for title, own in benchmark.get(part, {}).items():
            known = known or any(own.get(f"{name}_two_way_ci") for name in own_titles)
            gone = [word for name, word in own_titles.items() if lost_for_others(own, name)]
            if gone:
                shown = f"`{title}`".replace(" - ", "` − `")
                lost.append(f"{_listed(gone)} of {shown}")
    if not known:
        return ""
    said = f"these are no longer told apart from 0: {'; '.join(lost)}" if lost else "all are still told apart from 0"
    of = "IR, dAL and paired differences" if "differences" in benchmark else "IR and dAL"
    return f"Where other personalities are meant too (two-way intervals of {of}), {said}."


def lost_for_others(own: Mapping[str, Any], name: str) -> bool:
    """Is a number told apart from 0 with the personalities as they are, and not for other ones?"""
    wide = own.get(f"{name}_two_way_ci")
    told = wide and verdict(own[name], own.get(f"{name}_ci")) != NOT_APART
    return bool(told) and verdict(own[name], wide) == NOT_APART


def manner_sentence(benchmark: Mapping[str, Any]) -> str:
    """What is shown of taking up facts and of manner, all policies in a sentence each; empty without measurements."""
    facts = [f"`{name}`" for name, own in benchmark.get("recalled", {}).items() if _above(own, "")]
    parts = []
    if benchmark.get("recalled"):
        parts.append(f"Facts told earlier are taken up again more often than by chance by {_listed(facts)}.")
    if "base" in benchmark["policies"] and benchmark.get("manner"):
        own = {name: _dimensions(benchmark, name, "beyond_") for name in benchmark["policies"] if name != "base"}
        some = [f"`{name}` ({', '.join(found)})" for name, found in own.items() if found]
        none = [f"`{name}`" for name, found in own.items() if not found]
        parts.append(f"A manner that follows the user further than that of `base` is shown for {_listed(some)}"
                     + (f"; in no dimension for {_listed(none)}." if none else "."))  # fmt: skip
    return " ".join(parts)


def novelty_sentence(measure: str, gaps: Mapping[str, Mapping[str, Any]]) -> str:
    """What the differences "new minus known" of a measure show, policy by policy, in one sentence."""
    said: dict[str, list[str]] = {}
    for policy, gap in gaps.items():
        said.setdefault(verdict(gap["difference"], [gap["low"], gap["high"]]), []).append(f"`{policy}`")
    if not said:
        return f"{measure}: no profile has both new facts and known ones."
    words = {"higher": "higher for new facts", "lower": "lower for new facts", NOT_APART: "not told apart"}
    return f"{measure}: " + "; ".join(f"{words[key]} with {_listed(names)}" for key, names in said.items()) + "."


NOT_APART = "not told apart"
_GROWTH = {"higher": "growing", "lower": "falling", NOT_APART: "not shown to change"}

_PERSONAL = {
    "higher": "rated higher for their own user than for a stranger",
    "lower": "rated lower for their own user than for a stranger",
    NOT_APART: "not told apart from replies to anybody",
}


def verdict(value: float, limits: Sequence[float | None] | None) -> str:
    """ "higher" or "lower" where the interval lies on one side of zero, else "not told apart"."""
    if not limits or limits[0] is None or limits[1] is None or limits[0] <= 0 <= limits[1]:
        return NOT_APART
    return "higher" if value > 0 else "lower"


def interval(value: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """A value with its interval in brackets, as far as there is one.

    >>> interval(-0.002, -0.043, 0.039).replace(NBSP, " ")
    '0.00 [-0.04, 0.04]'
    """
    if value is None:
        return NONE
    if low is None or high is None:
        return f"{value:z.{digits}f}"
    digits = enough_digits(digits, low, high)
    return f"{value:z.{digits}f} [{low:z.{digits}f},{NBSP}{high:z.{digits}f}]"


def signed(value: float, limits: Sequence[float] | None, digits: int) -> str:
    """A difference with its sign, and its interval where there is one."""
    digits = enough_digits(digits, *limits) if limits else digits
    ends = f" [{limits[0]:+.{digits}f},{NBSP}{limits[1]:+.{digits}f}]" if limits else ""
    return f"{value:+.{digits}f}{ends}"


def enough_digits(digits: int, *limits: float) -> int:
    """As many digits as show on which side of zero each limit lies; two more at most.

    >>> enough_digits(2, -0.0004, 0.02), enough_digits(2, -0.06, 0.0)
    (4, 2)
    """
    more = (digits + extra for extra in range(3))
    return next((n for n in more if all(not limit or round(limit, n) for limit in limits)), digits + 2)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _dimensions(benchmark: Mapping[str, Any], policy: str, prefix: str) -> list[str]:
    """The dimensions of manner in which a policy follows its users, as far as the intervals show."""
    own = benchmark.get("manner", {}).get(policy, {})
    return [name for name, found in own.items() if _above(found, prefix)]


def _manner(benchmark: Mapping[str, Any], policy: str, prefix: str) -> str:
    total = len(benchmark.get("manner", {}).get(policy, {}))
    if not total or (prefix and (policy == "base" or "base" not in benchmark["policies"])):
        return NONE
    found = _dimensions(benchmark, policy, prefix)
    against = [name for name, own in benchmark["manner"][policy].items() if (own[f"{prefix}high"] or 0) < 0]
    said = f"{len(found)} of {total}" + (f": {', '.join(found)}" if found else "")
    return said + (f"; against in {', '.join(against)}" if against else "")


def _above(found: Mapping[str, Any], prefix: str) -> bool:
    low = found[f"{prefix}low"]
    return low is not None and low > 0


def _listed(names: Sequence[str]) -> str:
    return "no policy" if not names else ", ".join(names[:-1]) + (" and " if names[:-1] else "") + names[-1]
