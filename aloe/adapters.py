"""Adapters (LoRA) kept beside the merged weights of a policy, and put together as one on the base model.

In: a trained PEFT model, or the folder of a policy. Out: a folder that PEFT loads; the same adapter gives the same
bytes, wherever the run stands. The adapter of a policy that was trained from another one of the run belongs on that
one, so on the base model all of them are needed, one after the other. This module does not know what was trained.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

FOLDER = "adapter"
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_BESIDE = "../../"  # from the adapter of one policy to the folder of another one


def onto(source: str, path: Path, base_model: str) -> str:
    """What an adapter's file calls the model that it belongs on.

    Args:
        source: where that model was loaded from.
        path: the folder of the policy that has the adapter.
        base_model: the preset's, which is said where `source` is no other policy beside `path`.

    >>> onto("/runs/a/models/sft_preferred", Path("/runs/a/models/dpo"), "owner/model")
    '../../sft_preferred'
    >>> onto("owner/model", Path("/runs/a/models/sft_preferred"), "owner/model")
    'owner/model'
    """
    return f"{_BESIDE}{Path(source).name}" if Path(source).parent == path.parent else base_model


def save_adapter(model: Any, belongs_on: str, folder: Path, weights: "dict[str, torch.Tensor] | None" = None) -> None:
    """Write the adapter of a PEFT model to `folder`: its weights and its settings, without PEFT's empty model card.

    `weights` are all of the model's, where it holds only a part of them itself.
    """
    config = model.peft_config["default"]
    config.base_model_name_or_path = belongs_on
    if isinstance(config.target_modules, set):  # whose order is another one in each process
        config.target_modules = sorted(config.target_modules)
    model.save_pretrained(folder, state_dict=weights, selected_adapters=["default"], save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def chain(policy: Path) -> list[Path]:
    """The folders of the adapters that lead from the base model to a policy, in order; empty if it has none."""
    own = policy / FOLDER
    if not own.is_dir():
        return []
    belongs_on = json.loads((own / _CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    return [*(chain(own / belongs_on) if belongs_on.startswith(_BESIDE) else []), own]


def save_joined(adapters: Sequence[Path], belongs_on: str, folder: Path) -> None:
    """Write one adapter that does on the base model what `adapters` do one after the other; their ranks add up.

    The change of a weight is the sum of its adapters' `scale * B @ A`, so A is stacked and B is set side by side.
    (PEFT's own `add_weighted_adapter` needs a loaded model for it, and rounds the result to that model's precision.)

    Args:
        adapters: what `chain` gives; of one kind, without patterns of ranks.
        belongs_on: the base model, as the adapter's file is to call it.
        folder: where to.
    """
    import torch
    from safetensors.torch import load_file, save_file

    parts: dict[str, list[torch.Tensor]] = {}
    rank, settings = 0, {}
    for path in adapters:
        settings = json.loads((path / _CONFIG).read_text(encoding="utf-8"))
        assert not any(settings[key] for key in ("use_rslora", "rank_pattern", "alpha_pattern"))
        rank += settings["r"]
        for name, weight in load_file(path / _WEIGHTS).items():
            scale = settings["lora_alpha"] / settings["r"] if ".lora_A." in name else 1.0
            parts.setdefault(name, []).append(weight * scale)
    joined = {name: torch.cat(own, dim=0 if ".lora_A." in name else 1) for name, own in parts.items()}
    settings |= {"r": rank, "lora_alpha": rank, "base_model_name_or_path": belongs_on}
    folder.mkdir()
    save_file(joined, folder / _WEIGHTS, metadata={"format": "pt"})
    (folder / _CONFIG).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
