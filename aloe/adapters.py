"""Adapters (LoRA) kept beside the merged weights of a policy, and put together as one on the base model.

In: a trained PEFT model, or the folder of a policy. Out: a folder that PEFT loads; the same adapter gives the same
bytes, wherever the run stands. The adapter of a policy that was trained from another one of the run belongs on that
one, so on the base model all of them are needed, one after the other. This module does not know what was trained.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = "adapter"
_CONFIG = "adapter_config.json"
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


def save_adapter(model: Any, belongs_on: str, folder: Path) -> None:
    """Write the adapter of a PEFT model to `folder`: its weights and its settings, without PEFT's empty model card."""
    config = model.peft_config["default"]
    config.base_model_name_or_path = belongs_on
    if isinstance(config.target_modules, set):  # whose order is another one in each process
        config.target_modules = sorted(config.target_modules)
    model.save_pretrained(folder, selected_adapters=["default"], save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def chain(policy: Path) -> list[Path]:
    """The folders of the adapters that lead from the base model to a policy, in order; empty if it has none."""
    own = policy / FOLDER
    if not own.is_dir():
        return []
    belongs_on = json.loads((own / _CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    return [*(chain(own / belongs_on) if belongs_on.startswith(_BESIDE) else []), own]


def save_joined(model: Any, adapters: Sequence[Path], belongs_on: str, folder: Path) -> None:
    """Write one adapter that does on the base model what `adapters` do one after the other; their ranks add up.

    Args:
        model: any model of the architecture, which is changed: only the shapes of its weights matter.
        adapters: what `chain` gives.
        belongs_on: the base model, as the adapter's file is to call it.
        folder: where to.
    """
    from peft import PeftModel

    names = ["default"] if len(adapters) == 1 else [f"part{number}" for number in range(len(adapters))]
    held = PeftModel.from_pretrained(model, str(adapters[0]), adapter_name=names[0])
    for name, path in zip(names[1:], adapters[1:], strict=True):
        held.load_adapter(str(path), name)
    if len(names) > 1:
        held.add_weighted_adapter(names, [1.0] * len(names), "default", combination_type="cat")
    save_adapter(held, belongs_on, folder)
