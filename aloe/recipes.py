"""Where training may depart from the corrected recipe to what the released code of Wu et al. does, choice by choice.

In: a preset's `recipe`, by name or switch by switch. Out: a `Recipe` of switches, each with a sentence on either side,
and tables of them. `corrected` turns all of them off, `published` turns on what was a choice and not a fault. What a
switch does to data stands in `departures` and `examples`; this module only carries values and words.
"""

import dataclasses
from typing import Any, Literal, NamedTuple, TypeVar

TrainingStage = Literal["sft", "dpo"]
PUBLISHED_BETA = 0.9
CUT_ABOVE, CUT_TO = 512, 128  # tokens of a pair, and of its prompt: TRL's limits of 2024 where none were given
_Dpo = TypeVar("_Dpo")


def _switch(stage: TrainingStage, published: str, corrected: str, fault: bool = False) -> Any:
    """A field that is off by default, with what either side does."""
    words = {"stage": stage, "published": published, "corrected": corrected, "fault": fault}
    return dataclasses.field(default=False, metadata=words)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The switches. On: as in the released code; off: as corrected here. `fault`: not part of `published`."""

    prefixes: bool = _switch(
        "sft",
        "each dialogue becomes as many overlapping examples as it has turns, its first one, two, three ... turns",
        "each dialogue is one example, read once",
    )
    first_message: bool = _switch(
        "sft",
        "the first user message stands at every turn",
        "every turn has its own user message",
    )
    all_tokens: bool = _switch(
        "sft",
        "every token is learned: user messages and the marks of the chat template too",
        "only the wanted replies and their end tokens are learned",
    )
    preferred_history: bool = _switch(
        "sft",
        "the history goes on with the preferred reply at every turn, though the next message answered the sampled one",
        "the history is the one that was sampled, and no reply is learned with another",
    )
    from_base: bool = _switch(
        "dpo",
        "starts from the base model, which is also the reference",
        "starts from the model fine-tuned on preferred replies",
    )
    large_beta: bool = _switch(
        "dpo",
        f"beta is {PUBLISHED_BETA}",
        "beta is that of the preset",
    )
    no_sft_term: bool = _switch(
        "dpo",
        "the loss is that of DPO alone",
        "an SFT term on the chosen replies is added with the preset's weight, which may be 0",
    )
    cut_history: bool = _switch(
        "dpo",
        f"lengths are not set: of a pair above {CUT_ABOVE} tokens the prompt keeps its last {CUT_TO} (here: the last "
        f"messages that fit into them, from a user's on)",
        "the whole history is kept, and a longer one is refused",
    )
    one_character: bool = _switch(
        "dpo",
        "with the released data the rejected reply is one character of it, drawn at random",
        "the rejected reply is the whole reply",
        fault=True,
    )


CORRECTED = Recipe()


class Departure(NamedTuple):
    """A row of the table of departures."""

    switch: str
    published: str
    corrected: str
    here: str


# Known departures that are no switch, in words only.
ELSEWHERE = (
    Departure("step sizes, batches, epochs", "learning rates of 1.0e-5, 48 examples a step, one epoch",
              "the preset says them, and why where it differs", ""),
    Departure("start token", "DPO puts the end token in its place",
              "the chat template says it; not reproduced, since it is a matter of one tokenizer", ""),
    Departure("general-skill data", "a general instruction set is mixed into SFT",
              "none, unless `training.sft.mix` names a file of one's own", ""),
)  # fmt: skip


def switches(stage: TrainingStage | None = None) -> dict[str, "dataclasses.Field[Any]"]:
    """The switches of a stage by name; of both without one."""
    fields = dataclasses.fields(Recipe)
    return {field.name: field for field in fields if stage in (None, field.metadata["stage"])}


def named(name: str) -> dict[str, bool] | None:
    """The switches of `corrected` or `published`; None for another name."""
    if name not in ("corrected", "published"):
        return None
    return {key: name == "published" and not field.metadata["fault"] for key, field in switches().items()}


def applied(recipe: Recipe, dpo: _Dpo) -> _Dpo:
    """A preset's `dpo` section with the values that the recipe puts in place of its own."""
    values: dict[str, float] = {"beta": PUBLISHED_BETA} if recipe.large_beta else {}
    values |= {"sft_weight": 0.0} if recipe.no_sft_term else {}
    return dataclasses.replace(dpo, **values)  # type: ignore[type-var]


def departures(recipe: Recipe, stage: TrainingStage | None = None) -> list[Departure]:
    """What the released code does beside what is done here, a row per switch; `here`: which side this recipe takes.

    >>> [(row.switch, row.here) for row in departures(Recipe(from_base=True), "dpo")][:2]
    [('from_base', 'published'), ('large_beta', 'corrected')]
    """
    return [
        Departure(name, field.metadata["published"], field.metadata["corrected"],
                  "published" if getattr(recipe, name) else "corrected")
        for name, field in switches(stage).items()
    ]  # fmt: skip


def turned_on(recipe: Recipe, stage: TrainingStage | None = None) -> list[str]:
    """The names of the switches that are on; none in the corrected recipe."""
    return [name for name in switches(stage) if getattr(recipe, name)]
