"""The dialogues of a run as a data set: Parquet files that `datasets` loads, split by persona, and a data card.

In: a run whose dialogues were grown. Out: `dataset/`, whole or not at all: per configuration (dialogues, SFT
conversations, DPO pairs) a file for each split; `dataset.json` says what it was made from. A card that somebody has
edited is never overwritten, and what came from a release without a licence is refused. Nothing is sent anywhere.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from aloe.branching import Path as TreePath
from aloe.branching import paths
from aloe.data_card import data_card
from aloe.dataset_schema import SCHEMAS
from aloe.errors import UserError
from aloe.export import read_origin
from aloe.finished import done
from aloe.folders import whole_folder
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.provenance import fingerprint
from aloe.records import DialogueTree, Message, Reply, read_jsonl
from aloe.runs import Run, split_of
from aloe.stages import STAGES
from aloe.writing import write_text

ORIGIN, CARD = "dataset.json", "README.md"
SPLITS = ("train", "dev")
_STAGES = [stage for stage in STAGES if stage.name in ("02_persona_expansion", "03_dialogue_trees")]
_REPLIES: tuple[Reply, ...] = ("preferred", "rejected")


class Grown(NamedTuple):
    """`metrics.json` and `manifest.json`, the record of the stage that grew the dialogues, and their hash."""

    metrics: dict[str, Any]
    manifest: dict[str, Any]
    record: dict[str, Any]
    digest: str


def write_dataset(run: Run) -> Path:
    """Write a run's data set anew and return its folder.

    Raises:
        UserError: the dialogues are not there, not those of the preset or not the stage's; they came from a copy of the
            release; or the card that stands there was edited.
    """
    known = grown(run)
    card, origin = run.dataset / CARD, read_origin(run.dataset, ORIGIN)
    if card.is_file() and origin.get("card_sha256") != fingerprint(card):
        raise UserError(f"{card} was edited, and a new data set would take its place; move or remove it first.")
    trees = read_jsonl(DialogueTree, run.trees)
    tables = {name: _by_split(rows(name, trees)) for name in SCHEMAS}
    with whole_folder(run.dataset) as folder:
        for name, splits in tables.items():
            for split, own in splits.items():
                path = folder / name / f"{split}.parquet"
                path.parent.mkdir(exist_ok=True)
                pq.write_table(pa.Table.from_pylist(own, schema=SCHEMAS[name]), path)
        counts = {name: {split: len(own) for split, own in splits.items()} for name, splits in tables.items()}
        text = data_card(run, known.metrics, known.record, known.digest, trees, counts)
        write_text(folder / CARD, f"{text.rstrip()}\n")
        origin = {**_origin(run, known), "card_sha256": fingerprint(folder / CARD)}
        write_text(folder / ORIGIN, json.dumps(origin, indent=2) + "\n")
    return run.dataset


def written(run: Run) -> Path:
    """The data set that stands there, an edited card included, if it is that of the run's dialogues; else a new one.

    Raises:
        UserError: as `write_dataset`.
    """
    origin = read_origin(run.dataset, ORIGIN)
    origin.pop("card_sha256", None)
    return run.dataset if origin == _origin(run, grown(run)) else write_dataset(run)


def grown(run: Run) -> Grown:
    """What is known of a run's dialogues.

    Raises:
        UserError: as `write_dataset`.
    """
    if run.params.personas.from_released or run.params.trees.from_released:
        raise UserError(f"Run {run.name!r} starts from a copy of released files, which carry no licence; a data set of "
                        f"them cannot be passed on.")  # fmt: skip
    again = f"run `{run.command()}` first"
    if not run.trees.is_file() or not run.metrics.is_file():
        raise UserError(f"{run.root} has no dialogues; {again}.")
    manifest, metrics = run.read_manifest(), run.read_metrics()
    records = done(run, _STAGES, manifest)
    record, digest = records[_STAGES[-1].name], fingerprint(run.trees)
    if digest != record["outputs"].get("trees/trees.jsonl") or metrics.get("trees") != record["metrics"].get("trees"):
        raise UserError(f"{run.trees} or {run.metrics} is not what the stage of the dialogues wrote; {again}.")
    return Grown(metrics, manifest, record, digest)


def rows(configuration: str, trees: Sequence[DialogueTree]) -> list[dict[str, Any]]:
    """The rows of a configuration, in the order of the trees: a row per turn, conversation or pair."""
    return [row for tree in trees for row in _ROWS[configuration](tree)]


def _by_split(own: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    return {split: [row for row in own if split_of(row["persona_id"]) == split] for split in SPLITS}


def _turn_rows(tree: DialogueTree) -> list[dict[str, Any]]:
    return [_turn_row(tree, path) for path in paths(tree).values()]


def _turn_row(tree: DialogueTree, path: TreePath) -> dict[str, Any]:
    turn, persona = path[-1], tree.persona
    return {
        "tree": tree.id, "persona_id": persona.id, "profile": persona.profile, "personality": persona.personality,
        "id": turn.id, "parent": turn.parent, "turn": len(path), "off_branch": turn.off_branch, "user": turn.user,
        "inferred_profile": turn.inferred_profile, "inferred_personality": turn.inferred_personality,
        "hinted": turn.hinted, "plain": turn.plain, "verdict_hinted_first": turn.verdicts[0],
        "verdict_hinted_second": turn.verdicts[1], "label": turn.label, "branch": turn.branch, "reason": turn.reason,
    }  # fmt: skip


def _sft_rows(tree: DialogueTree) -> list[dict[str, Any]]:
    return [
        {"tree": tree.id, "persona_id": tree.persona.id, "reply": reply, **conversation}
        for reply in _REPLIES
        for conversation in sft_conversations([tree], reply)
    ]


def _pair_rows(tree: DialogueTree) -> list[dict[str, Any]]:
    hinted = {turn.id for turn in tree.turns if turn.label == "hinted"}
    return [
        {"tree": tree.id, "persona_id": tree.persona.id, "id": pair.id, "turn": pair.turn,
         "prompt": [_message(message) for message in pair.prompt],
         "chosen": [_message(Message("assistant", pair.chosen))],
         "rejected": [_message(Message("assistant", pair.rejected))], "chosen_is_hinted": pair.id in hinted}
        for pair in dpo_pairs([tree])
    ]  # fmt: skip


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


_ROWS = {"dialogues": _turn_rows, "sft": _sft_rows, "dpo": _pair_rows}


def _origin(run: Run, known: Grown) -> dict[str, Any]:
    return {
        "study": "interact-to-align", "run": run.name, "preset": run.params.name, "seed": run.params.seed,
        "simulated": run.params.simulated, "git_commit": known.record["git_commit"], "trees_sha256": known.digest,
    }  # fmt: skip
