"""The card of a data set: what is in it, who wrote and judged it, what audits found, and whose terms hold.

In: a run whose dialogues were grown, its trees, and how many rows were written. Out: a card as hubs show it, with the
metadata by which `datasets` finds configurations and splits. Numbers are those of `metrics.json`. Whatever a model or
the preset's author wrote is taken literally; no endpoint and no path of this machine is named. It writes no file.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

import yaml

from aloe.dataset_schema import SCHEMAS
from aloe.findings import table
from aloe.markdown import literal
from aloe.records import DialogueTree
from aloe.runs import Run, split_of
from aloe.tables import flat

TEMPLATE = Path(__file__).resolve().parent / "data" / "data_card.md"
NOT_AUDITS = ("examples", "cost", "labels", "n_trees", "n_dev_trees", "n_turns")
_SIMULATED = """> **Simulated.** Every text and every preference in here comes from a simulated language model:
> templates filled in by a program, and preferences that were planted. The data shows what the study's code does in a
> world that is known. It says nothing about people, and a model trained on it learns nothing about them."""
_REAL = """Every user in here is a language model that plays an invented persona, and every preference is a language
model's verdict. No person took part, and nobody has compared the verdicts with people's."""
_TERMS = (
    "The texts were written by the models named above, and their providers' terms say what may be done with them; this "
    "study does not know them. Look them up, and put a licence here and into the metadata, before you pass the data on."
)
_MIT = "MIT, as the program that wrote the texts: no other model and no person took part."


def data_card(
    run: Run, metrics: Mapping[str, Any], record: Mapping[str, Any], digest: str, trees: Sequence[DialogueTree],
    counts: Mapping[str, Mapping[str, int]],
) -> str:  # fmt: skip
    """The card as text.

    Args:
        run: the run.
        metrics: its `metrics.json`.
        record: what the manifest notes of the stage that grew the dialogues.
        digest: the hash of its dialogues.
        trees: the dialogues.
        counts: rows by configuration and split.
    """
    simulated = run.params.simulated
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=literal(run.name),
        what_it_is=_SIMULATED if simulated else _REAL,
        description=f"{literal(run.params.description.rstrip('.'))}.",
        counts=_counts(trees, counts),
        schema="\n\n".join(f"### `{name}`\n\n{_fields(name)}" for name in SCHEMAS),
        models=_models(trees),
        dialogues=_dialogues(run),
        audits=_audits(metrics),
        provenance=_provenance(run, record, digest),
        licence=_MIT if simulated else _TERMS,
    )
    return f"---\n{_metadata(run, counts)}---\n\n{text}"


def _metadata(run: Run, counts: Mapping[str, Mapping[str, int]]) -> str:
    configs = [
        {"config_name": name, "data_files": [{"split": s, "path": f"{name}/{s}.parquet"} for s in splits]}
        for name, splits in counts.items()
    ]
    data: dict[str, Any] = {"license": "mit"} if run.params.simulated else {
        "license": "other", "license_name": "terms-of-the-models"
    }  # fmt: skip
    tags = ["aloe", "preference", "personalization", "dpo", *(["simulated"] if run.params.simulated else [])]
    data |= {"pretty_name": run.name, "task_categories": ["text-generation"], "tags": tags, "configs": configs}
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _counts(trees: Sequence[DialogueTree], counts: Mapping[str, Mapping[str, int]]) -> str:
    rows = []
    for split in next(iter(counts.values())):
        own = [tree.persona for tree in trees if split_of(tree.persona.id) == split]
        people = [len({getattr(p, key) for p in own}) for key in ("id", "profile_id", "personality_id")]
        rows.append((f"`{split}`", *(f"{n:,}" for n in (len(own), *people, *(counts[name][split] for name in counts)))))
    titles = ("split", "dialogues", "personas", "profiles", "personalities", "turns (`dialogues`)",
              "conversations (`sft`)", "pairs (`dpo`)")  # fmt: skip
    return table(titles, rows)


def _fields(name: str) -> str:
    rows = [
        (f"`{field.name}`", f"`{_kind(str(field.type))}`", field.metadata[b"about"].decode()) for field in SCHEMAS[name]
    ]
    return table(("column", "type", "what it holds"), rows)


def _kind(arrow: str) -> str:
    return (
        "list of messages"
        if arrow.startswith("list") and "struct" in arrow
        else arrow.replace("list<element: ", "list<")
    )


def _models(trees: Sequence[DialogueTree]) -> str:
    known = sorted({tuple(dataclasses.asdict(tree.models).items()) for tree in trees if tree.models is not None})
    rows = [(role.replace("_", " "), literal(model)) for models in known for role, model in models]
    return table(("role", "model"), rows) if rows else "It is not known which models had which role."


def _dialogues(run: Run) -> str:
    """How the dialogues were held."""
    trees = run.params.trees
    went_on = {
        "random": "The dialogue went on with the preferred or the rejected reply, drawn at random.",
        "preferred": "The dialogue went on with the preferred reply.",
        "rejected": "The dialogue went on with the rejected reply.",
        "epsilon": f"The dialogue went on with the preferred reply, but for a share of {trees.epsilon} of the turns.",
    }[trees.branch]
    if trees.expand == "both":
        went_on += (f" In a sampled share of {trees.expand_share} of the trees both replies of the first "
                    f"{trees.expand_depth} turns were continued, so these branch.")  # fmt: skip
    return f"At most {trees.n_turns} turns a dialogue. {went_on} Without a preference, a coin decided."


def _audits(metrics: Mapping[str, Any]) -> str:
    """Every number of the stage's part of `metrics.json` that is no count of what is in here."""
    found = {key: value for key, value in metrics["trees"].items() if key not in NOT_AUDITS}
    found |= {key: value for key, value in metrics.items() if "audit" in key}
    labels = ", ".join(f"{literal(label)} {n:,}" for label, n in metrics["trees"]["labels"].items())
    rows = [(f"`{key}`", literal(str(value))) for key, value in flat(found)["value"].items()]
    return f"Turns by label: {labels}.\n\n{table(('measure', 'value'), rows)}"


def _provenance(run: Run, record: Mapping[str, Any], digest: str) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    commit = (record["git_commit"] or "unknown").replace("-modified", ", with local changes")
    rows = [
        ("run, preset, seed", f"`{run.name}`, `{run.params.name}`, {run.params.seed}"),
        ("commit of the study", commit), ("dialogues held", record["finished"]), ("with", versions),
        ("SHA-256 of the dialogues", f"`{digest}`"),
    ]  # fmt: skip
    return table(("what", "which"), rows)
