"""How a policy came about, in words and a table: from which model, by which trainings, with which settings.

In: the section `training` of `metrics.json`, and the preset's base model. Out: text in Markdown, in which no path of
this machine stands. Nothing is computed. This module knows no weights and writes no file.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aloe.findings import NONE, interval, table
from aloe.markdown import literal
from aloe.params import ROOT
from aloe.recipes import switches

_LOSSES = "loss on development personas, before → after"


def trainings(policy: str, training: Mapping[str, Any]) -> list[str]:
    """The trainings that led to a policy, in order: those on pairs begin at `sft_preferred`, or at the base model.

    >>> trainings("dpo", {"sft_preferred": {}, "dpo": {"settings": {"beta": 0.1, "departures": []}}})
    ['sft_preferred', 'dpo']
    """
    settings = training[policy]["settings"]
    from_sft = "beta" in settings and "from_base" not in settings["departures"]
    return [*(["sft_preferred"] if from_sft else []), policy]


def base_name(base_model: str) -> str:
    """A base model's name that says nothing of this machine: the id of a hub, or what a folder is called.

    >>> base_name("owner/model"), base_name("/home/me/models/mine")
    ('owner/model', 'mine')
    """
    return Path(base_model).name if Path(base_model).is_absolute() or base_model.startswith((".", "~")) else base_model


def of_a_hub(base_model: str) -> bool:
    """Is it the id of a model on a hub, and no folder here?"""
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", base_model) is not None and not (ROOT / base_model).exists()


def story(names: Sequence[str], training: Mapping[str, Any], base_model: str) -> str:
    """One sentence per training: from where, on what."""
    sentences, start = [], f"the base model, {literal(base_name(base_model))}"
    for name in names:
        own = training[name]
        if "beta" in own["settings"]:
            loss = own["settings"]["loss"]
            what = f"{own['pairs']:,} preference pairs" + ("" if loss == "sigmoid" else f" with the loss `{loss}`")
            sentences.append(f"`{name}` began at {start}, and was optimised on {what}.")
        else:
            kind = "replies that the user would *not* prefer" if name == "sft_rejected" else "preferred replies"
            sentences.append(f"`{name}` began at {start}, and was fine-tuned on the {kind} of "
                             f"{own['sequences']:,} sequences.")  # fmt: skip
        start = f"`{name}`"
    return " ".join(sentences)


def settings_table(names: Sequence[str], training: Mapping[str, Any]) -> str:
    """A table: what each training ran with, a column each."""
    columns, losses = [], []
    for name in names:
        own, settings = training[name], dict(training[name]["settings"])
        settings.pop("departures")
        if "mix" in settings:
            mix = settings.pop("mix")
            settings["general conversations mixed in"] = f"{mix['share']:.0%} of the sequences" if mix else "none"
        columns.append({**settings, "steps": own["steps"]})
        losses.append(" → ".join(interval(own[key], None, None, 3) for key in ("loss_before", "loss_after")))
    keys = list(dict.fromkeys(key for column in columns for key in column))
    rows = [[key.replace("_", " "), *(_value(column.get(key)) for column in columns)] for key in keys]
    return table(["setting", *(f"`{name}`" for name in names)], [*rows, [_LOSSES, *losses]])


def _value(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def recipe(names: Sequence[str], training: Mapping[str, Any], preset: str) -> str:
    """Which choices of the released code were taken, in words."""
    known = switches()
    lines = [f"- `{switch}` in `{name}`: {known[switch].metadata['published']}; the study would otherwise have it that "
             f"{known[switch].metadata['corrected']}."
             for name in names for switch in training[name]["settings"]["departures"]]  # fmt: skip
    chosen = "\n".join(["The study corrects some choices of the released code; here these were taken as there:", "",
                        *lines, ""]) if lines else (
        "The study corrects some choices of the released code, and all corrections were in force."
    )  # fmt: skip
    return f"{chosen} Where sizes and settings differ from the paper's, and why, stands in the preset `{preset}`."
