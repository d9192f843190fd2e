"""One row of `training_gpu.py`: a random model of a true shape, the study's lengths, one arm, and what it took.

In: a row, the folder of its model, a device. Out: tokens per second of the median step, memory above the weights (of
the device; on a CPU, of the process) and utilisation. Unsloth's arms go through this project's code, as a run would;
the plain arm is TRL set up by itself. A CPU is for trying this out: there Unsloth's CPU backend answers, where it is
installed, and weights are float32.
"""

import contextlib
import dataclasses
import importlib.util
import resource
import statistics
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

import study_lengths
from watch import Watch, clock

from aloe import checkpoints
from aloe.base_models import FAMILIES
from aloe.examples import dpo_row, pair_lengths
from aloe.params import Params, load_params
from aloe.quiet import quiet
from aloe.runs import Run
from aloe.trainers import dpo_trainer, sft_trainer

ARMS: dict[str, tuple[str, Literal["full", "lora"], bool]] = {  # by name: backend, method, four bits
    "plain TRL, LoRA": ("trl", "lora", False),
    "Unsloth, LoRA": ("unsloth", "lora", False),
    "Unsloth, 4-bit LoRA": ("unsloth", "lora", True),
    "Unsloth, full": ("unsloth", "full", False),
}
SHAPES = {
    "8B": {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "tie_word_embeddings": False, "vocab_size": 128256},
    "3B": {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "num_attention_heads": 24,
           "num_key_value_heads": 8, "tie_word_embeddings": True, "vocab_size": 128256},
    "1B": {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "tie_word_embeddings": True, "vocab_size": 128256},
    "toy": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "tie_word_embeddings": False, "vocab_size": 2048},
}  # fmt: skip
TOGETHER = 16384  # tokens a step in SFT, whatever the length
PAIRS = 4  # a step in DPO
WARM = 2  # steps that are not counted
GIB = 2**30


class Row(NamedTuple):
    """What is measured. `length` in tokens; 0 is that of the study's pairs."""

    size: str
    task: str
    length: int
    arm: str


def ceiling(device: str) -> dict[str, Any]:
    """The fastest of three large matrix products on this device, in TFLOP/s (bfloat16; on a CPU float32, and small)."""
    import torch

    n, dtype = (8192, torch.bfloat16) if device == "cuda" else (512, torch.float32)
    best = 0.0
    for shape in ((n, n, n), (2 * n, n, n), (2 * n, n // 2, 2 * n)):
        a, b = (torch.randn(s, device=device, dtype=dtype) for s in (shape[:2], shape[1:]))
        seconds = []
        for _ in range(25):
            begun = clock(device)
            a @ b
            seconds.append(clock(device) - begun)
        best = max(best, 2 * shape[0] * shape[1] * shape[2] / statistics.median(seconds[5:]) / 1e12)
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {"device": name, "ceiling_tflops": round(best, 3)}


def save_model(shape: dict[str, Any], folder: Path, device: str) -> None:
    """Write a random Llama of a shape with a small tokenizer of Llama 3's format, unless it is there."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from aloe.folders import whole_folder
    from aloe.toy import family_tokenizer

    if (folder / "config.json").is_file():
        return
    tokenizer = family_tokenizer(FAMILIES[next(iter(FAMILIES))])
    special = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    config = LlamaConfig(**shape, **special, max_position_embeddings=8192)
    torch.manual_seed(0)
    with quiet():
        with torch.device(device):
            dtype = torch.bfloat16 if device == "cuda" else torch.float32
            model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        with whole_folder(folder) as new:
            model.save_pretrained(new)
            tokenizer.save_pretrained(new)


def measure(row: Row, folder: Path, device: str, steps: int, ceiling_tflops: float) -> dict[str, Any]:
    """Train a few steps. `utilisation` is what the model needs to what the ceiling allows, in the same time."""
    _, method, _ = ARMS[row.arm]
    if device == "cpu" and importlib.util.find_spec("unsloth"):
        checkpoints.choose_backend = lambda wanted: "transformers" if wanted == "transformers" else "unsloth"
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as place:
        run = Run("bench", settings(row, device), Path(place))
        policy = checkpoints.load_policy(str(folder), run.params.training, run.params.seed)
        weights = sum(p.numel() * p.element_size() for n, p in policy.model.named_parameters() if "lora_" not in n)
        if device == "cuda":
            torch_cuda().reset_peak_memory_stats()
        watch = Watch(policy.model, device)
        with quiet():
            trainer = trainer_of(run, row, policy, steps)
            watch.constructed = True
            trainer.args.max_steps = steps
            trainer.add_callback(watch.callback())
            trainer.train()
    seconds = statistics.median(watch.seconds[WARM:]) + watch.reference()
    n_steps = len(watch.seconds)
    tokens, squares = watch.counts()
    needed = flops(SHAPES[row.size], row.task, method, tokens, squares) / n_steps
    return {
        "tokens_per_second": round(tokens / n_steps / seconds, 1),
        "gib_above_weights": round((peak(device) - weights) / GIB, 3),
        "gib_weights": round(weights / GIB, 3),
        "utilisation": round(needed / seconds / ceiling_tflops / 1e12, 4),
        "seconds_a_step": round(seconds, 4),
        "steps": n_steps - WARM,
        "tokens_a_step": round(tokens / n_steps),
        "versions": versions(),
    }


def flops(shape: dict[str, Any], task: str, method: str, tokens: int, squares: int) -> float:
    """What the model needs, nothing recomputed: forward 2N a token, backward 2N with LoRA and 4N in full.

    `squares` is the sum of the squared lengths of the documents: causal attention needs 2 * length^2 * width a layer
    for a forward pass and twice that backward. In DPO the reference's forward pass comes on top. N holds every weight
    that a token is multiplied with: the head, not the embedding.
    """
    width, layers = shape["hidden_size"], shape["num_hidden_layers"]
    narrow = width // shape["num_attention_heads"] * shape["num_key_value_heads"]
    n = layers * width * (2 * width + 2 * narrow + 3 * shape["intermediate_size"]) + shape["vocab_size"] * width
    passes, attention = (4 if method == "lora" else 6), 3
    if task == "dpo":
        passes, attention = passes + 2, attention + 1
    return passes * n * tokens + attention * 2 * squares * width * layers


def settings(row: Row, device: str) -> Params:
    """The paper's preset for an 8B model with what the row changes."""
    backend, method, four_bits = ARMS[row.arm]
    params = load_params("paper-llama3-8b")
    training = dataclasses.replace(
        params.training, backend="transformers" if backend == "trl" else "unsloth", method=method,
        load_in_4bit=four_bits, max_length=row.length or 8192, report_to="none",
        dtype="bfloat16_weights" if device == "cuda" else "float32",  # 16 bits in full training too
        sft=dataclasses.replace(params.training.sft, batch_size=batch(row), gradient_accumulation=1),
        dpo=dataclasses.replace(params.training.dpo, batch_size=PAIRS, gradient_accumulation=1),
    )  # fmt: skip
    return dataclasses.replace(params, training=training)


def batch(row: Row) -> int:
    """Packed sequences a step."""
    return max(1, (TOGETHER if row.size != "toy" else 512) // max(1, row.length))


def trainer_of(run: Run, row: Row, policy: checkpoints.Trainable, steps: int) -> Any:
    """This project's trainer, or TRL's own, told the lengths, the batch, where to write and nothing else."""
    from datasets import Dataset

    by_default = ARMS[row.arm][0] == "trl"
    told = {"output_dir": str(run.root), "save_strategy": "no", "report_to": "none", "disable_tqdm": True,
            "use_cpu": policy.model.device.type == "cpu" and not checkpoints.has_cuda()}  # fmt: skip
    if row.task == "dpo":
        drawn = study_lengths.pairs(policy.tokenizer, steps * PAIRS, run.params.seed)
        if not by_default:
            return dpo_trainer(run, policy, drawn, drawn[:1])
        from trl import DPOConfig, DPOTrainer

        longest = max(pair_lengths(policy.tokenizer, drawn, run.params.training.max_length))
        return DPOTrainer(
            policy.model, args=DPOConfig(**told, max_length=longest, per_device_train_batch_size=PAIRS),
            train_dataset=Dataset.from_list([dpo_row(pair) for pair in drawn]), processing_class=policy.tokenizer,
            peft_config=policy.adapter,
        )  # fmt: skip
    size = batch(row)
    rows = study_lengths.documents(
        int(1.2 * steps * size * row.length), row.length, SHAPES[row.size]["vocab_size"], run.params.seed
    )
    if not by_default:
        return sft_trainer(run, "bench", policy, rows)
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(
        policy.model, SFTConfig(**told, packing=True, max_length=row.length, per_device_train_batch_size=size),
        train_dataset=Dataset.from_list([document._asdict() for document in rows]), processing_class=policy.tokenizer,
        peft_config=policy.adapter,
    )  # fmt: skip


def peak(device: str) -> int:
    """Most bytes in use at once: of the device's memory, or by this process (Linux counts it in KiB)."""
    if device == "cuda":
        return int(torch_cuda().max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def torch_cuda() -> Any:
    """The module of torch that knows the device."""
    import torch

    return torch.cuda


def versions() -> str:
    """What the row was measured with."""
    found = []
    for name in ("torch", "transformers", "trl", "peft", "unsloth", "bitsandbytes"):
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return " ".join(found)
