"""Is there room for a training? Memory before a model is loaded, disk before the first step.

In: a model's size and the preset's `training` section. Out: nothing, a printed line where it will be tight, or a
`UserError` that says how much is needed, where, and how much is free. Weights, gradients and Adam's moments are
counted, activations are not: what is refused could not have worked. This module does not know what is trained.
"""

import json
import math
import re
import shutil
from pathlib import Path

from aloe.errors import UserError
from aloe.params import ROOT, Training

GB = 1e9
TIGHT = 1.2  # times what is needed: with less than that free, a line is printed
ADAPTER = 0.03  # parameters of an adapter over all linear layers, as a share of the model's; rank 64 at 8B has 0.02


def model_size(base_model: str) -> float | None:
    """Number of parameters: from the weights of a local model, else from a name such as Llama-3-8B; None if neither.

    >>> model_size("meta-llama/Meta-Llama-3-8B-Instruct")
    8000000000.0
    """
    weights = list((ROOT / base_model).glob("*.safetensors"))
    if weights:
        total = 0
        for path in weights:
            with path.open("rb") as file:  # eight bytes of length, then JSON with the shape of every tensor
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
        return float(total)
    named = re.search(r"(\d+(?:\.\d+)?)\s*([BbMm])(?![a-zA-Z])", base_model.rsplit("/", 1)[-1])
    return float(named[1]) * {"b": 1e9, "m": 1e6}[named[2].lower()] if named else None


def weight_bytes(training: Training) -> int:
    """Bytes of a weight on a GPU: four if it is trained, two if it is frozen under an adapter, unless `dtype` says so.

    In bfloat16 a step under 1/512 of a weight is rounded away: at a learning rate of 1e-6, most of them are.
    """
    half = training.dtype == "bfloat16_weights" or (training.dtype == "bfloat16" and training.method == "lora")
    return 2 if half else 4


def training_bytes(training: Training, size: float, width: float) -> float:
    """Memory for weights, gradients and Adam's two moments; DPO's reference is computed beforehand and needs none.

    Args:
        training: full or LoRA, four bits or not.
        size: number of parameters.
        width: bytes of a parameter that is not in four bits.
    """
    if training.method == "full":
        return 4 * size * width
    return size * (0.55 if training.load_in_4bit else width) + 4 * ADAPTER * size * width


def checkpoint_bytes(training: Training, size: float, width: float) -> float:
    """Disk for one checkpoint: what is trained, and Adam's two moments of it."""
    return 3 * size * width * (1.0 if training.method == "full" else ADAPTER)


def refuse_without_memory(source: str, training: Training, width: int, on_gpu: bool, shared: bool) -> None:
    """Look before a model is loaded. Of processes that share one (FSDP), each has to hold it whole at first.

    Raises:
        UserError: the free memory cannot hold weights, gradients and moments.
    """
    size = model_size(source)
    if size is None:
        return
    remedy = "Take `training.method: lora`, on a GPU `training.load_in_4bit` with it, or a smaller base model"
    if on_gpu and training.method == "full" and not shared:
        remedy += ", or share the model between GPUs (`training.launcher`)"
    what, needed = "the weights, gradients and optimizer of this training", training_bytes(training, size, width)
    if shared:
        what, needed = "the weights, which every process holds before they are shared out,", size * width
    _compare(needed, _free_memory(on_gpu), what, "on the GPU" if on_gpu else "in memory", remedy)


def refuse_without_disk(folder: Path, size: float, training: Training, width: int) -> None:
    """Look before the first step, for the trained model and for two checkpoints: one is written beside the last.

    Raises:
        UserError: the disk that holds `folder` cannot hold them.
    """
    there = next(place for place in (folder, *folder.resolve().parents) if place.exists())
    needed, what = size * width, "the trained model"
    if training.save_minutes is not None:
        needed, what = needed + 2 * checkpoint_bytes(training, size, width), "the trained model and two checkpoints"
    remedy = "Free some, or set `training.save_minutes` to null to go without checkpoints"
    _compare(needed, shutil.disk_usage(there).free, what, f"on the disk that holds {folder}", remedy)


def _free_memory(on_gpu: bool) -> float:
    """Bytes that can still be had; on a CPU with what may be swapped out, since that is slow but works."""
    if on_gpu:
        import torch

        return float(torch.cuda.mem_get_info()[0])
    import psutil

    return float(psutil.virtual_memory().available + psutil.swap_memory().free)


def _compare(needed: float, free: float, what: str, where: str, remedy: str) -> None:
    sizes = f"{what} need about {needed / GB:,.1f} GB {where}, and {free / GB:,.1f} GB are free"
    if needed > free:
        raise UserError(f"{sizes[0].upper()}{sizes[1:]}. {remedy}.")
    if needed * TIGHT > free:
        print(f"It will be tight: {sizes}. {remedy}.", flush=True)
