"""One sentence on what a figure shows, computed from the data behind it: for captions, and for readers who cannot see.

In: a figure's name and its frame. Out: plain text, or None for a frame of a form that is not known here. The form is
read off the columns, so that a new figure of a known form has its sentence. Every number comes from the frame; nothing
is tested here, and "above zero" says where a given interval lies.
"""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

FEW = 5
"""Lines named one by one; of more only the highest and the lowest are."""


def seen(name: str, frame: pd.DataFrame) -> str | None:
    """What the figure `name` shows, in a sentence or two; None where the form of its data is unknown, or empty."""
    if frame.empty:
        return None
    return next((text for form in _FORMS if (text := form(name, frame))), None)


def _lines(name: str, frame: pd.DataFrame) -> str | None:
    """A line per policy or series over turns."""
    line = next((column for column in ("policy", "series") if column in frame), None)
    value = next((column for column in ("al", "dal", "value", "level") if column in frame), None)
    if line is None or value is None or "turn" not in frame:
        return None
    means = frame.astype({value: float}).groupby([line, "turn"], sort=False)[value].mean().unstack(line).sort_index()
    return _from_to(means, "turn") if len(means) > 1 else None


def _against_strangers(name: str, frame: pd.DataFrame) -> str | None:
    """A level, that for a stranger's persona, and their difference, a line of each per policy."""
    return _curves(frame, {"dal": "level minus that for a stranger", "al_shuffled": "level for a stranger"})


def _two_curves(name: str, frame: pd.DataFrame) -> str | None:
    """What policies know and what they make of it, a line of each per policy."""
    return _curves(frame, {"recall": "share of told facts that is named", "al": "level"})


def _curves(frame: pd.DataFrame, columns: Mapping[str, str]) -> str | None:
    """Several columns over turns, a line of each per policy; a column that says nothing of a policy is left out."""
    if not {"policy", "turn", *columns} <= set(frame):
        return None
    said = []
    for column, words in columns.items():
        means = frame.astype({column: float}).groupby(["policy", "turn"], sort=False)[column].mean()
        by_turn = means.unstack("policy").sort_index()
        if len(by_turn) > 1 and by_turn.notna().any().all():
            said.append(f"The {words}: {_from_to(by_turn, 'turn')}")
    return " ".join(said) or None


def _turns(name: str, frame: pd.DataFrame) -> str | None:
    """A row per tree and turn, with numbers of each."""
    if not {"tree", "turn"} <= set(frame) or "label" in frame:
        return None
    means = frame.groupby("turn")[[column for column in frame if column not in ("tree", "turn")]].mean()
    return f"Means. {_from_to(means, 'turn')}" if len(means) > 1 else None


def _tree(name: str, frame: pd.DataFrame) -> str | None:
    """The turns of one dialogue."""
    if not {"tree", "turn", "label", "branch"} <= set(frame):
        return None
    counts = frame["label"].value_counts()
    said = ", ".join(f"{label} {n}" for label, n in counts.items())
    return f"Of the {len(frame)} turns shown, the judge's labels are: {said}."


def _training(name: str, frame: pd.DataFrame) -> str | None:
    """A training log."""
    if not {"step", "split", "loss"} <= set(frame):
        return None
    measures = {"loss": "loss", "rewards/margins": "reward margin", "rewards/accuracies": "reward accuracy"}
    parts = []
    for split, words in (("train", "in training"), ("dev", "held-out")):
        own = frame[frame["split"] == split].sort_values("step")
        for column, label in measures.items():
            values = own[column].dropna() if column in own else pd.Series(dtype=float)
            if len(values) > 1:
                parts.append(f"{label} {words} from {_number(values.iloc[0])} to {_number(values.iloc[-1])}")
    return f"From the first logged step to the last: {'; '.join(parts)}." if parts else None


def _growth(name: str, frame: pd.DataFrame) -> str | None:
    """A pool against candidates."""
    if not {"kind", "seen", "pool"} <= set(frame):
        return None
    last = frame.groupby("kind", sort=False)[["seen", "pool"]].max()
    parts = [f"{kind}: a pool of {row['pool']:,} after {row['seen']:,} candidates" for kind, row in last.iterrows()]
    return f"{'; '.join(parts)}."


def _estimates(name: str, frame: pd.DataFrame) -> str | None:
    """One number with its interval per row."""
    row = next((column for column in ("policy", "audit") if column in frame), None)
    value = name if f"{name}_low" in frame else next((c.removesuffix("_low") for c in frame if c.endswith("_low")), "")
    low, high = (f"{value}_low", f"{value}_high") if value else ("low", "high")
    value = value or "value"
    if row is None or not {value, low, high} <= set(frame):
        return None
    known = frame.astype({value: float, low: float, high: float}).dropna(subset=[value]).set_index(row)
    if known.empty:
        return None
    ordered = known.sort_values(value, ascending=False)
    ends = [f"{ordered.index[i]} {_number(ordered[value].iloc[i])}" for i in (0, -1)]
    text = f"Highest is {ends[0]}, lowest {ends[1]}." if len(ordered) > 1 else f"{ends[0]}."
    return text if row == "audit" else f"{text} {_places(known, value, low, high)}".strip()


def _worlds(name: str, frame: pd.DataFrame) -> str | None:
    """Worlds in which something is called significant, a row per effect and question."""
    if not {"effect", "question", "found", "worlds"} <= set(frame):
        return None
    whole = frame[frame["question"] == "any"]
    parts = [f"{row['found']:.0f} of {row['worlds']:.0f} with effect {row['effect']:g}" for _, row in whole.iterrows()]
    return f"Worlds in which any of the questions is called significant: {_listed(parts)}." if parts else None


def _components(name: str, frame: pd.DataFrame) -> str | None:
    """What variance comes from, a row per quantity and component."""
    if not {"quantity", "component", "share", "share_of_mean"} <= set(frame):
        return None
    words = {"al_mean": "AVG", "dal": "dAL"}
    said = []
    for quantity, own in frame.groupby("quantity", sort=False):
        shares = own.set_index("component")[["share", "share_of_mean"]].astype(float)
        one, mean = (f"{column.idxmax()} ({column.max():.0%})" for _, column in shares.items())
        said.append(f"of {words.get(str(quantity), quantity)}: {one} for one score, {mean} for the mean")
    return f"Most of the variance comes from, {'; '.join(said)}."


def _places(known: pd.DataFrame, value: str, low: str, high: str) -> str:
    """Which rows lie where: in or out of their bands where there are bands, else which intervals leave zero out."""
    if f"{value}_null_low" in known:
        what = "Of the values"
        inside = (known[f"{value}_null_low"] <= known[value]) & (known[value] <= known[f"{value}_null_high"])
        outside = ~inside & known[f"{value}_null_low"].notna()
        where = {"inside the band without trend": inside, "outside it": outside}
    elif value == "al_mean" and (known[low] >= 1).all():  # levels, which are 1 at least: zero says nothing there
        return ""
    else:
        what = "Of the intervals"
        above, below = known[low] > 0, known[high] < 0
        where = {"above zero": above, "below zero": below, "around zero": (known[low] <= 0) & (known[high] >= 0)}
    parts = [f"{place}: {_listed(list(known.index[rows]))}" for place, rows in where.items() if rows.any()]
    return f"{what}, {'; '.join(parts)}." if parts else ""


def _levels(name: str, frame: pd.DataFrame) -> str | None:
    """Shares of the levels, a row per policy."""
    levels = [column for column in frame if str(column).isdigit()]
    if "policy" not in frame or not levels:
        return None
    rows = frame.set_index("policy")[levels]
    parts = [f"{policy} {row.astype(float).idxmax()} ({row.max():.0%})" for policy, row in rows.iterrows()]
    return f"The level given most often: {', '.join(parts)}."


def _plane(name: str, frame: pd.DataFrame) -> str | None:
    """Points in a plane, by group."""
    group = next((column for column in ("split", "topic") if column in frame), None)
    if not {"x", "y"} <= set(frame) or group is None:
        return None
    counts = frame[group].value_counts()
    parts = ", ".join(f"{label} ({n})" for label, n in counts.head(FEW).items())
    return f"{len(frame)} points; the largest groups: {parts}." if len(counts) > 1 else f"{len(frame)} points: {parts}."


def _spread(name: str, frame: pd.DataFrame) -> str | None:
    """Numbers by groups: a histogram."""
    value = next((column for column in ("similarity", "learned") if column in frame), None)
    groups = [c for c in ("embedder", "replies", "kind", "label", "reach") if c in frame]
    if value is None or not groups:
        return None
    medians = frame.groupby(groups, sort=False)[value].median().dropna()
    names = [", ".join(key) if isinstance(key, tuple) else str(key) for key in medians.index]
    parts = [f"{label} {_number(number)}" for label, number in zip(names, medians, strict=True)]
    return f"Median by group: {'; '.join(parts)}."


def _shares(name: str, frame: pd.DataFrame) -> str | None:
    """What people or traits are, a row for each."""
    known = [c for c in ("age", "gender", "occupation", "region", "valence") if c in frame]
    if not known:
        return None
    first = {column: frame[column].value_counts(normalize=True) for column in known}
    parts = [f"{column} {shares.index[0]} ({shares.iloc[0]:.0%})" for column, shares in first.items() if len(shares)]
    return f"Most frequent of all {len(frame):,}: {', '.join(parts)}."


_FORMS: Sequence[Callable[[str, pd.DataFrame], str | None]] = (
    _two_curves, _against_strangers, _lines, _training, _growth, _tree, _turns, _levels, _estimates, _worlds,
    _components, _plane, _spread, _shares,
)  # fmt: skip


def _from_to(means: pd.DataFrame, step: str) -> str:
    """Where each line begins and ends; of many only those that end highest and lowest."""
    ends = means.ffill().iloc[-1].sort_values(ascending=False)
    shown = list(ends.index) if len(ends) <= FEW else [ends.index[0], ends.index[-1]]
    starts = means.bfill().iloc[0]
    parts = [f"{_words(line)} from {_number(starts[line])} to {_number(ends[line])}" for line in shown]
    only = "" if len(shown) == len(ends) else f" (of {len(ends)} lines those that end highest and lowest)"
    return f"From {step} {means.index[0]} to {means.index[-1]}: {'; '.join(parts)}{only}."


def _words(name: object) -> str:
    return str(name).replace("_words", " words")


def _number(value: float) -> str:
    """Three digits at most: 0.123, 12.3, 1,234."""
    size = abs(value)
    if size >= 100 or value == round(value):
        return f"{value:,.0f}"
    digits = 1 if size >= 10 else 2
    return f"{round(float(value), digits) + 0.0:.{digits}f}"  # no minus before a zero


def _listed(names: Sequence[object]) -> str:
    texts = [str(name) for name in names]
    return ", ".join(texts[:-1]) + (" and " if texts[:-1] else "") + texts[-1]
