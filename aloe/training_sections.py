"""The sections of a preset that say how policies are trained: `training` and `arms`.

Out: nested frozen dataclasses with the type and range of every value, as those of `sections`, for `params` to build.
This module reads nothing and trains nothing.
"""

import dataclasses
from typing import Annotated, Literal

from aloe.recipes import CORRECTED, Recipe
from aloe.sections import Count, Positive, Rate, StepSize
from aloe.strict_yaml import Range


@dataclasses.dataclass(frozen=True)
class Mix:
    """General conversations in a local file (path relative to the repository), as a share of SFT's sequences."""

    path: str
    share: Annotated[float, Range(above=0, high=0.9)]


@dataclasses.dataclass(frozen=True)
class Sft:
    """Supervised fine-tuning. A step has `batch_size * gradient_accumulation` sequences, in all processes together.

    `off_branch`: learn the wanted replies too that no dialogue goes on with (`tree_attention`).
    """

    learning_rate: StepSize
    epochs: Positive
    batch_size: Count
    gradient_accumulation: Count
    warmup_ratio: Rate
    weight_decay: Rate
    packing: bool
    mix: Mix | None = None
    off_branch: bool = False


@dataclasses.dataclass(frozen=True)
class Dpo:
    """Learning from pairs. `n_pairs` 0 takes all pairs; `sft_weight` 0 adds no SFT term to the loss.

    `loss`: "sigmoid" is DPO's own; of the others, `losses.LOSSES` says what they are and what `beta` means there.
    """

    learning_rate: StepSize
    beta: Positive
    epochs: Positive
    batch_size: Count
    gradient_accumulation: Count
    warmup_ratio: Rate
    n_pairs: Annotated[int, Range(0)]
    n_dev_pairs: Count
    sft_weight: Annotated[float, Range(0)]
    loss: Literal["sigmoid", "ipo", "kto", "cpo", "simpo", "orpo"] = "sigmoid"


@dataclasses.dataclass(frozen=True)
class Training:
    """The base model, how it is loaded, and both trainings. `max_length` in tokens: no example may exceed it.

    `dtype`: of products, and of frozen weights; weights that are trained are kept in float32 beside them, but not with
    `bfloat16_weights`, which halves a full training's memory and loses small steps. Without a GPU all are in float32.
    `save_minutes`: how often a training keeps what it needs to go on after an interruption; null for never.
    `recipe`: `corrected`, `published`, or single switches of `recipes.Recipe`, such as `{from_base: true}`.
    `launcher`: a configuration of Accelerate (path relative to the repository) that says in how many processes a
    notebook trains; null for its own alone. A step holds the same examples either way.
    """

    backend: Literal["auto", "unsloth", "transformers"]
    base_model: str
    method: Literal["full", "lora"]
    lora_rank: Count
    lora_alpha: Count
    dtype: Literal["float32", "bfloat16", "bfloat16_weights"]
    load_in_4bit: bool
    trust_remote_code: bool
    max_length: Annotated[int, Range(16)]
    report_to: Literal["none", "tensorboard", "wandb"]
    save_minutes: Positive | None
    sft: Sft
    dpo: Dpo
    recipe: Recipe = CORRECTED
    launcher: str | None = None


@dataclasses.dataclass(frozen=True)
class SftArm:
    """A further policy, fine-tuned on preferred replies: what is not given is as in `training`."""

    recipe: Recipe
    sft: Sft


@dataclasses.dataclass(frozen=True)
class DpoArm:
    """A further policy, optimised on pairs from where `dpo` starts, or as its recipe says."""

    recipe: Recipe
    dpo: Dpo


@dataclasses.dataclass(frozen=True)
class Arms:
    """Policies trained beside the study's own to be compared with `sft_preferred` and with `dpo`, by name."""

    sft: dict[str, SftArm] | None = None
    dpo: dict[str, DpoArm] | None = None

    def reference(self) -> dict[str, str]:
        """Every arm with the policy that it is compared with."""
        return dict.fromkeys(self.sft or {}, "sft_preferred") | dict.fromkeys(self.dpo or {}, "dpo")


NO_ARMS = Arms()
