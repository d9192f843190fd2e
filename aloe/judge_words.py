"""What is to be said of the judges: sentences, and the report's table of further judges.

In: the section `benchmark.judges` of `metrics.json`. Out: plain text and Markdown; empty where a run has no further
judges. Numbers are compared and rounded here, never computed. What an interval does not show is not said.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aloe.findings import NONE, NOT_APART, interval, signed, table, verdict
from aloe.markdown import literal
from aloe.scales import EVERYBODY, FAVOUR, FAVOUR_AS_IS, TRUTH

Section = Mapping[str, Any]
_NAMES = {"level": "level", "suits": "yes or no"}
"""Of scores that are no criterion."""
_SCALED = {
    FAVOUR: "For that, judges of {} were put on one scale by how they go together on replies of one policy, so that "
            "a judge who errs more is not taken for one who favours.",
    FAVOUR_AS_IS: "For that, what judges say on {} was taken as it is. A judge who errs more draws good and bad "
                  "policies to the middle, which can look like a favour; it takes three judges who go together on "
                  "replies of one policy to tell.",
}  # fmt: skip
"""Which of the two estimates of a favour is shown, by its measure."""
_ABOUT = """## Are the judges to be believed?

Further judges scored a sample of the same stored replies. None of this enters the numbers above; it says how much hangs
on who judges. *Kappa* (weighted by squared distance) and *alpha* (Krippendorff's) are 1 for full agreement and 0 for
what chance gives. The scale `strict` is yes or no; `criteria` are five, and their kappa is that of the one with the
lowest.
"""


def sentences(section: Section) -> list[str]:
    """How far the judges agree, with themselves too, what they get wrong, and whom they favour; a sentence each."""
    return [said for part in (_agreeing, _repeating, _erring, _favouring) for said in part(section)]


def report_part(section: Section | None) -> str:
    """The part of the report's front page on further judges, with its heading; empty without them."""
    if not section:
        return ""
    said = "\n".join(f"- {literal(text)}" for text in sentences(section))
    return f"{_ABOUT}\n{judges_table(section)}\n\n{said}\n"


def judges_table(section: Section) -> str:
    """A row per further judge, in Markdown."""
    rows = []
    for name, judge in section["judges"].items():
        rows.append((
            f"`{name}`", judge["scale"], f"{judge['temperature']:g}", literal(judge["family"] or NONE),
            f"{judge['replies']:,}", f"{judge['unreadable']:,} of {judge['answers']:,}",
            _lowest(section, "between", name), _lowest(section, "again", name), _lowest(section, "truth", name),
        ))  # fmt: skip
    titles = ("judge", "scale", "temperature", "family", "replies", "not readable", "kappa with another judge",
              "with itself", "with the truth")  # fmt: skip
    return table(titles, rows)


def _agreeing(section: Section) -> Iterator[str]:
    for row in _rows(section, "between", "alpha"):
        yield (f"Between all judges of the {_name(row['score'])}, Krippendorff's alpha is {_shown(row)} "
               f"({row['n']:,} replies).")  # fmt: skip
    for row in _rows(section, "levels", "correlation"):
        yield (f"What {row['one']} says on the scale {row['scale']} goes with the level of the judges of levels by a "
               f"correlation of {_shown(row)}.")  # fmt: skip


def _repeating(section: Section) -> Iterator[str]:
    by_judge: dict[str, list[Mapping[str, Any]]] = {}
    for row in _rows(section, "again", "exact"):
        by_judge.setdefault(row["one"], []).append(row)
    for judge, rows in by_judge.items():
        worst, degrees = min(rows, key=lambda row: row["value"]), section["judges"][judge]["temperature"]
        what = f" for the {_name(worst['score'])}, the least steady of its scores" if len(rows) > 1 else ""
        yield (f"{judge} at temperature {degrees:g}, asked the same once more, gives the same answer in a share of "
               f"{_shown(worst)}{what}.")  # fmt: skip


def _erring(section: Section) -> Iterator[str]:
    for row in _rows(section, "truth", "error"):
        if row["scale"] != "criteria":
            yield (f"Beside the simulated model {TRUTH}, {row['one']} gives a wrong {_name(row['score'])} in a "
                   f"share of {_shown(row)}.")  # fmt: skip


def _favouring(section: Section) -> Iterator[str]:
    for measure, remark in _SCALED.items():
        rows = _rows(section, "own family", measure)
        yield from _favours(rows)
        if rows:
            scores = list(dict.fromkeys(_name(row["score"]) for row in rows))
            yield remark.format(f"the {scores[0]}" if len(scores) == 1 else "these scores")


def _favours(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    each = [row for row in rows if row["one"] != EVERYBODY]
    if rows and not each:
        yield (f"The judges together give policies of their own families {signed(rows[0]['value'], rows[0]['ci'], 2)} "
               f"on the {_name(rows[0]['score'])}; which of them does cannot be told apart.")  # fmt: skip
    for row in each:
        words = {"higher": "favours", "lower": "is harder on", NOT_APART: "is not shown to favour"}
        said = words[verdict(row["value"], row["ci"])]
        yield (f"Beside the other judges, {row['one']} {said} policies of its own family ({row['other']}): "
               f"{signed(row['value'], row['ci'], 2)} on the {_name(row['score'])}.")  # fmt: skip


def _lowest(section: Section, question: str, judge: str) -> str:
    """A judge's kappa, and with what; of several the lowest."""
    found = [row for row in _rows(section, question, "kappa") if judge in (row["one"], row["other"])]
    if not found:
        return NONE
    row = min(found, key=lambda row: row["value"])
    other = (row["one"] if row["other"] == judge else row["other"]) if question == "between" else ""
    parts = [
        part for part in (other and literal(str(other)), row["score"] if row["scale"] == "criteria" else "") if part
    ]
    return _shown(row) + (f" ({', '.join(parts)})" if parts else "")


def _rows(section: Section, question: str, measure: str) -> Sequence[Mapping[str, Any]]:
    return [row for row in section["found"]
            if row["question"] == question and row["measure"] == measure and row["value"] is not None]  # fmt: skip


def _name(score: str) -> str:
    return _NAMES.get(score, f"criterion {score}")


def _shown(row: Mapping[str, Any]) -> str:
    return interval(row["value"], *(row["ci"] or (None, None)))
