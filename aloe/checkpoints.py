"""Policies on disk: load one to train or to talk with, and write one whole or not at all.

In: a folder or the id of a hub, and the preset's `training` section. Out: a model with its tokenizer, from Unsloth
where there is a CUDA device and it is installed, else from plain transformers + PEFT; safetensors only. On a CPU
weights are float32. This module does not know what a model is trained on.
"""

import contextlib
import gc
import importlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aloe import processes
from aloe.adapters import FOLDER, onto, save_adapter
from aloe.errors import UserError
from aloe.folders import whole_folder
from aloe.params import ROOT, Training
from aloe.quiet import quiet
from aloe.room import refuse_without_memory, weight_bytes

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Backend = Literal["unsloth", "transformers"]
WEIGHTS_OF_LORA = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Trainable(NamedTuple):
    """A model ready to be trained. `adapter` is what the trainer still has to wrap it with, if anything."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    adapter: "LoraConfig | None"
    backend: Backend
    source: str


def choose_backend(wanted: Literal["auto", "unsloth", "transformers"]) -> Backend:
    """Which library loads the policy; `auto` is Unsloth where it can run, and one process holds the whole model.

    Raises:
        UserError: Unsloth is asked for, but there is no CUDA device, it is not installed, or the model is sharded.
    """
    if wanted == "unsloth" and processes.sharded():
        raise UserError("`training.backend` is unsloth, but the processes share one model (FSDP), which is done with "
                        "the other backend here; set it to `auto` or `transformers`.")  # fmt: skip
    if wanted == "transformers" or processes.sharded():
        return "transformers"
    has_device, installed = has_cuda(), importlib.util.find_spec("unsloth") is not None
    if has_device and installed:
        return "unsloth"
    if wanted == "unsloth":
        missing = "it is not installed" if has_device else "there is no CUDA device"
        remedy = "install the `gpu` extra, or set it to `auto`" if has_device else "set it to `auto` or `transformers`"
        raise UserError(f"`training.backend` is unsloth, but {missing}; {remedy}.")
    return "transformers"


def import_backend(wanted: Literal["auto", "unsloth", "transformers"]) -> Backend:
    """Choose the backend and import it: Unsloth has to come before transformers and TRL, which it patches."""
    backend = choose_backend(wanted)
    if backend == "unsloth":
        os.environ.setdefault("UNSLOTH_DISABLE_STATISTICS", "1")
        importlib.import_module("unsloth")
    return backend


def has_cuda() -> bool:
    """Is there a CUDA device that torch can use?"""
    import torch

    return torch.cuda.is_available()


def computes_bfloat16() -> bool:
    """Is there a GPU, or a processor with matrix products in bfloat16? Elsewhere they would be slower, not faster."""
    import torch

    able = torch.cpu.get_capabilities()
    return has_cuda() or bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def locate(base_model: str) -> str:
    """A preset's `base_model` as a folder's full path, or as it is where it is the id of a hub ("owner/name").

    Raises:
        UserError: it is neither.
    """
    folder = ROOT / base_model
    if (folder / "config.json").is_file():
        return str(folder)
    if base_model.count("/") != 1 or base_model.startswith((".", "/", "~")) or folder.exists():
        raise UserError(f"`training.base_model` is {base_model!r}, but {folder} holds no model; restore it (the "
                        f"sandbox's is made by `make base-model`) or name a model of a hub as owner/name.")  # fmt: skip
    return base_model


def read_checkpoint(
    source: str, dtype: "torch.dtype | Literal['auto']", trust_remote_code: bool, **how: Any
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Model and tokenizer with plain transformers.

    Raises:
        UserError: it cannot be had (no such model, no network, no permission, no safetensors, remote code).
    """
    from transformers import AutoModelForCausalLM

    tokenizer = _tokenizer(source, trust_remote_code)
    with quiet(), _explained(source):
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, trust_remote_code=trust_remote_code, use_safetensors=True, **how
        )
    return model, tokenizer


def read_tokenizer(params: Training) -> "PreTrainedTokenizerBase":
    """The base model's tokenizer alone, to look at what training will see.

    Raises:
        UserError: it cannot be had.
    """
    import_backend(params.backend)
    return _tokenizer(locate(params.base_model), params.trust_remote_code)


def load_policy(source: str, params: Training, seed: int) -> Trainable:
    """A model to train as the preset says: backend, full or LoRA, dtype (float32 without a GPU), four bits.

    Raises:
        UserError: the backend is not there, four bits are asked for without a GPU, memory is too small for the
            training, or the model cannot be loaded.
    """
    backend = import_backend(params.backend)
    if params.load_in_4bit and not has_cuda():
        raise UserError("`training.load_in_4bit` needs a CUDA device; set it to false.")
    if params.load_in_4bit and processes.sharded():
        raise UserError("`training.load_in_4bit` does not go with processes that share one model (FSDP); set it to "
                        "false, or take a launcher in which each process holds the model.")  # fmt: skip
    free_memory()
    refuse_without_memory(source, params, training_dtype(params).itemsize, has_cuda(), processes.sharded())
    if backend == "unsloth":
        return _load_with_unsloth(source, params, seed)
    import torch
    from peft import LoraConfig
    from transformers import BitsAndBytesConfig

    dtype = training_dtype(params)
    how: dict[str, Any] = {}
    if params.load_in_4bit:
        how["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    model, tokenizer = read_checkpoint(source, dtype, params.trust_remote_code, **how)
    if processes.sharded() and has_cuda():
        model.to("cuda")  # whole until training begins: what is measured and computed before is done there
    adapter = LoraConfig(
        r=params.lora_rank, lora_alpha=params.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    return Trainable(model, tokenizer, adapter if params.method == "lora" else None, backend, source)


def training_dtype(params: Training) -> "torch.dtype":
    """The dtype that weights are loaded in: on a CPU float32, on a GPU as `room.weight_bytes` has it."""
    import torch

    return torch.bfloat16 if has_cuda() and weight_bytes(params) == 2 else torch.float32


def written_dtype(source: str, params: Training) -> "torch.dtype":
    """The dtype that a trained policy is written in. On a GPU that of the model that it was trained from."""
    from transformers import AutoConfig

    if not has_cuda() or params.dtype == "float32":
        return training_dtype(params)
    config = AutoConfig.from_pretrained(source, trust_remote_code=params.trust_remote_code)
    return config.dtype or training_dtype(params)


def whole_weights(trainer: Any, source: str, params: Training) -> "dict[str, torch.Tensor] | None":
    """The weights of a trained model that several processes share, in the first of them; None if they share none.

    All processes have to call this. FSDP trains in float32 whatever the model was loaded in.
    """
    if not trainer.is_fsdp_enabled:
        return None
    weights, dtype = trainer.accelerator.get_state_dict(trainer.model), written_dtype(source, params)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in weights.items()}


def save_policy(
    model: Any, tokenizer: "PreTrainedTokenizerBase", source: str, params: Training, path: Path,
    weights: "dict[str, torch.Tensor] | None" = None,
) -> None:  # fmt: skip
    """Write a trained model and its tokenizer, all or nothing: an adapter by itself, in a folder within, and merged
    into the weights of `source`.

    Args:
        model, tokenizer: what was trained.
        source: where the model was loaded from.
        params: how.
        path: the folder to write.
        weights: all of the model's, where it holds only a part of them itself.
    """
    from peft import PeftModel

    with quiet(), whole_folder(path) as folder:
        if isinstance(model, PeftModel):
            adapter, on_disk = folder / FOLDER, params.load_in_4bit or weights
            save_adapter(model, onto(source, path, params.base_model), adapter, weights)
            model = _merged_from_disk(adapter, source, params) if on_disk else model.merge_and_unload()
            weights = None
        if has_cuda() and weights is None:
            model.to(written_dtype(source, params))
        model.save_pretrained(folder, state_dict=weights)
        tokenizer.save_pretrained(folder)


def save_base(params: Training, path: Path) -> None:
    """Write the base model as a policy of the run, so that the benchmark finds all policies in one place."""
    import_backend(params.backend)
    source = locate(params.base_model)
    model, tokenizer = read_checkpoint(source, "auto", params.trust_remote_code)
    save_policy(model, tokenizer, source, params, path)


def _tokenizer(source: str, trust_remote_code: bool) -> "PreTrainedTokenizerBase":
    """A tokenizer; one without a pad token pads with its end token."""
    from transformers import AutoTokenizer

    with quiet(), _explained(source):
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextlib.contextmanager
def _explained(source: str) -> Iterator[None]:
    """Turn what stops a model from loading into a `UserError`."""
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(f"The model {source} could not be loaded: {reason}. Check `training.base_model`, "
                        f"`training.trust_remote_code`, the network and your access to it.") from error  # fmt: skip


def free_memory() -> None:
    """Let go of the model before: trainers hold it in reference cycles, and two of 8B do not fit on one GPU."""
    import torch

    gc.collect()
    if has_cuda():
        torch.cuda.empty_cache()


def _merged_from_disk(adapter: Path, source: str, params: Training) -> Any:
    """The adapter merged into the 16-bit weights: into four-bit ones it would be rounded away, into parts it cannot."""
    from peft import PeftModel

    whole, _ = read_checkpoint(source, training_dtype(params), params.trust_remote_code)
    return PeftModel.from_pretrained(whole, str(adapter)).merge_and_unload()


def _load_with_unsloth(source: str, params: Training, seed: int) -> Trainable:
    from unsloth import FastLanguageModel

    with quiet(), _explained(source):
        model, tokenizer = FastLanguageModel.from_pretrained(
            model_name=source, max_seq_length=params.max_length, dtype=training_dtype(params),
            load_in_4bit=params.load_in_4bit, full_finetuning=params.method == "full",
            trust_remote_code=params.trust_remote_code,
        )  # fmt: skip
    if params.method == "lora":
        model = FastLanguageModel.get_peft_model(
            model, r=params.lora_rank, lora_alpha=params.lora_alpha, lora_dropout=0.0, bias="none",
            target_modules=WEIGHTS_OF_LORA, use_gradient_checkpointing="unsloth", random_state=seed,
        )  # fmt: skip
    return Trainable(model, tokenizer, None, "unsloth", source)
