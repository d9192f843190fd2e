"""The columns of the data set: per configuration a schema whose fields say what they hold.

In: nothing. Out: Arrow schemas; the description of a field is its metadata, and the data card's tables are made of it.
"""

import pyarrow as pa

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def _schema(*fields: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, metadata={"about": about}) for name, kind, about in fields])


_TREE = ("tree", pa.string(), "id of the dialogue tree")
_PERSONA = ("persona_id", pa.string(), "its persona: split, profile and personality")

SCHEMAS = {
    "dialogues": _schema(
        _TREE,
        _PERSONA,
        ("profile", pa.string(), "facts of the persona, none of its character"),
        ("personality", pa.string(), "traits of the persona, no facts"),
        ("id", pa.string(), "id of the turn"),
        ("parent", pa.string(), "the turn that it answers; null for a first one"),
        ("turn", pa.int64(), "its number along its path, from 1"),
        ("off_branch", pa.bool_(), "it answers the reply of its parent that `branch` does not name"),
        ("user", pa.string(), "what the user says"),
        ("inferred_profile", pa.string(), "facts that the inducer noted by then"),
        ("inferred_personality", pa.string(), "traits that the inducer noted by then"),
        ("hinted", pa.string(), "reply written with these notes in view"),
        ("plain", pa.string(), "reply written without them"),
        ("verdict_hinted_first", pa.string(), "the judge's answer, hinted reply shown first"),
        ("verdict_hinted_second", pa.string(), "the judge's answer, hinted reply shown second"),
        ("label", pa.string(), "the preferred reply, or why there is none"),
        ("branch", pa.string(), "the reply that the dialogue went on with"),
        ("reason", pa.string(), "why: drawn at `random`, `preferred`, `coin`, `both` went on, ..."),
    ),
    "sft": _schema(
        _TREE,
        _PERSONA,
        ("reply", pa.string(), "which replies are to be learned: preferred or rejected"),
        ("messages", _MESSAGES, "the conversation as it was held"),
        ("train", pa.list_(pa.bool_()), "per message: is it to be learned"),
    ),
    "dpo": _schema(
        _TREE,
        _PERSONA,
        ("id", pa.string(), "id of the turn"),
        ("turn", pa.int64(), "its number along its path, from 1"),
        ("prompt", _MESSAGES, "the conversation up to the user's message"),
        ("chosen", _MESSAGES, "the preferred reply"),
        ("rejected", _MESSAGES, "the other one"),
        ("chosen_is_hinted", pa.bool_(), "was the preferred reply the hinted one"),
    ),
}
"""By configuration; each is one table in two splits, `train` and `dev`."""
