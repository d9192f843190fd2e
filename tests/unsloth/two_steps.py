"""Two steps of SFT and of DPO on a random tiny model, by the backend that is named; both must print the same losses.

In: `two_steps.py BACKEND METHOD FOLDER`. Out: one JSON object on the last line of stdout, by stage: the summary of the
training and its table. Which backend to take, Unsloth only beside a GPU, is answered here; what follows is the code
that a run on a GPU goes through. `test_two_backends.py` calls this: Unsloth patches other libraries, so each backend
needs a process of its own.
"""

import dataclasses
import json
import sys
from pathlib import Path

from aloe import checkpoints, training
from aloe.params import load_params
from aloe.records import write_jsonl
from aloe.runs import Run

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "unit"))


def main(backend, method, folder):
    checkpoints.choose_backend = lambda wanted: backend
    checkpoints.import_backend("auto")  # as a notebook does before it takes transformers
    early = "unsloth" in sys.modules
    from test_training import TREES
    from tiny_model import save_tiny_model

    run = Run("toy", toy_params(save_tiny_model(folder / "base"), method), folder / "run")
    write_jsonl(run.trees, TREES)
    found = {"early": early, "sft_preferred": training.train_sft(run, "preferred"), "dpo": training.train_dpo(run)}
    for name in ("sft_preferred", "dpo"):
        found[name]["table"] = run.training_log(name).read_text(encoding="utf-8")
    print(json.dumps(found))


def toy_params(base, method):
    """The smoke preset in float32, two steps of four, with step sizes that change the loss by more than a rounding."""
    params = load_params("smoke")
    steps = {"batch_size": 4, "learning_rate": 1e-2, "warmup_ratio": 0.0}
    section = dataclasses.replace(
        params.training, base_model=str(base), method=method, dtype="float32", max_length=400,
        lora_rank=4, lora_alpha=24,  # no library's defaults: what is not passed on must show
        sft=dataclasses.replace(params.training.sft, **steps),
        dpo=dataclasses.replace(params.training.dpo, **steps, n_pairs=8, n_dev_pairs=4),
    )  # fmt: skip
    return dataclasses.replace(params, training=section)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
