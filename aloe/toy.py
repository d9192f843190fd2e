"""A random model of a base model's own architecture at toy width, with its tokenizer and chat format, for dry runs.

In: a preset's `base_model`. Out: a folder that loads like the base model, and a sentence on where each part came from.
Configuration and tokenizer are the model's own where they are on this disk; otherwise the architecture and the chat
format follow from its name, and the tokenizer is trained on the texts of this repository. No network is asked. This
module does not know what the toy is for.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aloe.base_models import FAMILIES, ROOT, Family, family_of
from aloe.checkpoints import locate
from aloe.errors import UserError
from aloe.quiet import quiet

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

WIDTH, LAYERS, HEADS, VOCABULARY = 64, 2, 4, 1000
FILES = "--include '*.json' --include '*.jinja' --include 'tokenizer*'"  # of a model on a hub: all but its weights
TEXTS = ("aloe/prompts/*.txt", "aloe/data/*.jsonl")


class Toy(NamedTuple):
    """What was written, and whether configuration and tokenizer are those of the base model itself."""

    architecture: str
    own_config: bool
    own_tokenizer: bool


def save_toy(base_model: str, folder: Path, trust_remote_code: bool = False, seed: int = 0) -> Toy:
    """Write the toy of a base model to `folder`.

    Raises:
        UserError: the architecture is not known here, or cannot be made this small.
    """
    import torch
    from transformers import AutoModelForCausalLM

    source, family = locate(base_model), family_of(base_model)
    config = _own(source, "AutoConfig", trust_remote_code)
    tokenizer = _own(source, "AutoTokenizer", trust_remote_code)
    if family is None and (config is None or tokenizer is None):
        names = ", ".join(family.name for family in FAMILIES.values())
        missing = "configuration" if config is None else "tokenizer"
        raise UserError(f"The {missing} of {base_model} is not on this disk, and its name is of none of the families "
                        f"that are known here ({names}); fetch it first: hf download {base_model} {FILES}")  # fmt: skip
    used = family_tokenizer(family) if family and tokenizer is None else tokenizer
    with quiet():
        try:
            small = family_config(family, used) if family and config is None else shrink(config, used)
            torch.manual_seed(seed)
            model = AutoModelForCausalLM.from_config(small, trust_remote_code=trust_remote_code)
            model.save_pretrained(folder)
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            raise UserError(f"No toy model could be made of {base_model}: {error}") from error
        used.save_pretrained(folder)
    return Toy(type(model).__name__, config is not None, tokenizer is not None)


def shrink(config: "PretrainedConfig", tokenizer: "PreTrainedTokenizerBase") -> "PretrainedConfig":
    """A configuration at toy width: what it does not name here, such as its context or tied weights, stays."""
    grouped = config.num_attention_heads // (getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    sizes = {
        **_sizes(max(1, grouped)), "head_dim": WIDTH // HEADS,
        "layer_types": (getattr(config, "layer_types", None) or [])[:LAYERS],
    }  # fmt: skip
    for key, value in {**sizes, **_tokens(tokenizer)}.items():
        if getattr(config, key, None) is not None or key.endswith("_id"):
            setattr(config, key, value)
    config.quantization_config = None
    return config


def family_config(family: Family, tokenizer: "PreTrainedTokenizerBase") -> "PretrainedConfig":
    """The toy configuration of a family."""
    from transformers import AutoConfig

    return AutoConfig.for_model(
        family.model_type, **_sizes(family.heads_per_key), **_tokens(tokenizer), tie_word_embeddings=False,
        max_position_embeddings=family.context,
    )  # fmt: skip


def family_tokenizer(family: Family) -> "PreTrainedTokenizerBase":
    """A small byte-level tokenizer with a family's special tokens and chat format."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|toy_pad|>", *filter(None, (family.bos, family.eos)), *family.others]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(_texts(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=family.bos, eos_token=family.eos, pad_token="<|toy_pad|>",
        additional_special_tokens=list(family.others), chat_template=family.template,
    )  # fmt: skip


def _own(source: str, kind: str, trust_remote_code: bool) -> Any:
    """The model's own configuration or tokenizer, if it is on this disk."""
    import transformers

    with quiet():
        try:
            return getattr(transformers, kind).from_pretrained(
                source, local_files_only=True, trust_remote_code=trust_remote_code
            )
        except (OSError, ValueError, ImportError):
            return None


def _sizes(heads_per_key: int) -> dict[str, int]:
    return {
        "hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": max(1, HEADS // heads_per_key),
    }  # fmt: skip


def _tokens(tokenizer: "PreTrainedTokenizerBase") -> dict[str, int | None]:
    return {
        "vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip


def _texts() -> Iterator[str]:
    for pattern in TEXTS:
        for path in sorted(ROOT.glob(pattern)):
            yield path.read_text(encoding="utf-8")
