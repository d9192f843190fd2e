"""What is known of a base model before it is loaded: its architecture, its context, its chat format.

In: a preset's `base_model`, a folder or the id of a hub. Out: its configuration where that stands on this disk, and for
the paper's four models, by their names, the facts below. No network is asked and no weights are read. This module does
not know what is trained.
"""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = Path(__file__).resolve().parent / "data" / "chat_templates"


class Family(NamedTuple):
    """Models of one architecture and one chat format. `context` in tokens; `heads_per_key`: query heads that share one.

    `bos` and `eos` open a conversation and close a reply; `others` are further special tokens that the format uses.
    """

    name: str
    model_type: str
    context: int
    heads_per_key: int
    bos: str | None
    eos: str
    others: tuple[str, ...] = ()

    @property
    def template(self) -> str:
        """The chat format as a template, written down for this project; the models' own say the same in other words."""
        return (TEMPLATES / f"{self.name}.jinja").read_text(encoding="utf-8").rstrip("\n")


# By what the end of a hub's id begins with, in lower case.
FAMILIES = {
    r"(meta-)?llama-3-\d+b-instruct": Family(
        "llama3", "llama", 8192, 4, "<|begin_of_text|>", "<|eot_id|>", ("<|start_header_id|>", "<|end_header_id|>")
    ),
    r"mistral-7b-instruct-v0\.3": Family("mistral", "mistral", 32768, 4, "<s>", "</s>", ("[INST]", "[/INST]")),
    r"qwen2-\d+b-instruct": Family("qwen2", "qwen2", 32768, 7, None, "<|im_end|>", ("<|im_start|>", "<|endoftext|>")),
    r"olmo-\d+b-0724-instruct": Family("olmo", "olmo", 4096, 1, None, "<|endoftext|>"),
}

# Under which licence a base model's own page gives its weights, by the name that hubs have for it. Whole names only:
# of one family, models of another size may be under another licence.
LICENCES = {
    "aloe/sandbox/base_model": "mit",
    "meta-llama/Meta-Llama-3-8B-Instruct": "llama3",
    "mistralai/Mistral-7B-Instruct-v0.3": "apache-2.0",
    "Qwen/Qwen2-7B-Instruct": "apache-2.0",
    "allenai/OLMo-7B-0724-Instruct-hf": "apache-2.0",
}


def family_of(base_model: str) -> Family | None:
    """One of the four families, by the model's name; None if it is none of them.

    >>> family_of("mistralai/Mistral-7B-Instruct-v0.3").context
    32768
    """
    name = base_model.rsplit("/", 1)[-1].lower()
    return next((family for pattern, family in FAMILIES.items() if re.match(pattern, name)), None)


def context_of(base_model: str) -> int | None:
    """The longest sequence in tokens that the model was made for; None if it is not known here."""
    family, found = family_of(base_model), _config(base_model).get("max_position_embeddings")
    if isinstance(found, int):
        return found
    return family.context if family else None


def _config(base_model: str) -> dict[str, Any]:
    """The model's configuration from its folder, or from the local cache of a hub; empty if it is in neither."""
    path = ROOT / base_model / "config.json"
    if not path.is_file() and re.fullmatch(r"[\w.-]+/[\w.-]+", base_model):
        from huggingface_hub import try_to_load_from_cache

        cached = try_to_load_from_cache(base_model, "config.json")
        path = Path(cached) if isinstance(cached, str) else path
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
