"""The same weights for llama.cpp (GGUF), written by Unsloth on a machine with a GPU.

In: a folder with a model in 16 bits. Out: `.gguf` files. Unsloth works in a process of its own, which it has to be
imported into before transformers, and which gives its memory back; it fetches and builds llama.cpp where that is not
there yet. This module does not know which model it is.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from aloe.checkpoints import has_cuda
from aloe.errors import UserError
from aloe.params import ROOT

KINDS = ("q4_k_m", "q5_k_m", "q8_0", "f16", "bf16")
_ELSEWHERE = "leave GGUF out, or give the exported folder to llama.cpp's own convert_hf_to_gguf.py"


def refuse_gguf(kind: str) -> None:
    """Look before anything is written.

    Raises:
        UserError: there is no such kind, no CUDA device, or no Unsloth.
    """
    if kind not in KINDS:
        raise UserError(f"GGUF={kind} is not known here; take one of {', '.join(KINDS)}.")
    if not has_cuda():
        raise UserError(
            f"GGUF files are written by Unsloth, which needs a CUDA device, and there is none: {_ELSEWHERE}."
        )
    if importlib.util.find_spec("unsloth") is None:
        raise UserError(f"GGUF files are written by Unsloth, which is not installed: install the `gpu` extra (see the "
                        f"README), {_ELSEWHERE}.")  # fmt: skip


def write_gguf(model: Path, kind: str, folder: Path) -> None:
    """Write a model's weights as `kind` to `folder`.

    Raises:
        UserError: Unsloth could not; the message has its last line.
    """
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "aloe.gguf", str(model), kind, place]
        found = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": found}
        done = subprocess.run(command, cwd=place, env=environment, stderr=subprocess.PIPE, text=True)
        made = sorted(Path(place).rglob("*.gguf"))  # where below it they stand differs between versions of Unsloth
        if done.returncode or not made:
            reason = (done.stderr.strip().splitlines() or ["it wrote no file"])[-1]
            raise UserError(f"Unsloth could not write {kind}: {reason}. Nothing was exported; {_ELSEWHERE}.")
        folder.mkdir()
        for path in made:
            shutil.move(path, folder / path.name)


def _main(model: str, kind: str, place: str) -> None:
    from unsloth import FastLanguageModel

    loaded, tokenizer = FastLanguageModel.from_pretrained(model_name=model, load_in_4bit=False)
    loaded.save_pretrained_gguf(str(Path(place, "model")), tokenizer, quantization_method=kind)


if __name__ == "__main__":
    _main(*sys.argv[1:])
