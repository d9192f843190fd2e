"""Gathers what `training_gpu.py` needs on a machine that reaches no package index, as wheels in `.wheels/`.

In: pip, `requirements.lock` and `tests/unsloth/requirements.txt`. Out: wheels for Linux on x86-64, under 64 MiB in
all. That machine has torch with CUDA, transformers, peft, accelerate and what they need; `--python` and `--cuda` say
which. Two are made smaller by what a training never opens: Unsloth's web page, and bitsandbytes' kernels for other
versions of CUDA. `make gpu-wheels` runs it.
"""

import argparse
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from aloe.params import ROOT

NAMES = (
    "bitsandbytes", "cut-cross-entropy", "datasets", "dill", "docstring-parser", "hf-transfer", "msgspec",
    "multiprocess", "nest-asyncio", "structlog", "torchao", "trl", "typeguard", "tyro",
)  # fmt: skip
GLIBC = ("2_39", "2_35", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17")
FOLDER = ROOT / ".wheels"


def main() -> int:
    """Download, make smaller, say how large."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="3.12")
    parser.add_argument("--cuda", default="130", help="of that machine's torch, without the dot")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.whl"):
        old.unlink()
    platforms = [word for glibc in GLIBC for word in ("--platform", f"manylinux_{glibc}_x86_64")]
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--python-version",
         options.python, "--implementation", "cp", *platforms, "--platform", "manylinux2014_x86_64",
         "--dest", str(FOLDER), *pins()], check=True,
    )  # fmt: skip
    kernels = f"libbitsandbytes_cuda{options.cuda}.so"
    for wheel in sorted(FOLDER.glob("*.whl")):
        if wheel.name.startswith("unsloth-"):
            without(wheel, lambda name: name.startswith(("studio/", "unsloth_cli/")))
        if wheel.name.startswith("bitsandbytes-"):
            without(wheel, lambda name: name.endswith(".so") and not name.endswith((kernels, "_cpu.so")))
        print(f"{wheel.stat().st_size / 2**20:7.2f} MiB  {wheel.name}")
    print(f"{sum(wheel.stat().st_size for wheel in FOLDER.glob('*.whl')) / 2**20:7.2f} MiB in {FOLDER.name}/")
    return 0


def pins() -> list[str]:
    """Every package with its version: Unsloth's as the CPU check has it, the others as in the lock."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    found = [re.search(rf"^{name}==[^ ;]+", lock, re.MULTILINE) for name in NAMES]
    own = (ROOT / "tests" / "unsloth" / "requirements.txt").read_text(encoding="utf-8")
    return [match[0] for match in found if match] + re.findall(r"^unsloth\S*==\S+", own, re.MULTILINE)


def without(wheel: Path, unwanted: Callable[[str], bool]) -> None:
    """Rewrite a wheel without some of its files, in its list of files too."""
    new = wheel.with_suffix(".new")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED) as kept:
        for entry in old.infolist():
            if unwanted(entry.filename):
                continue
            data = old.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                lines = data.decode().splitlines(keepends=True)
                data = "".join(line for line in lines if not unwanted(line.partition(",")[0])).encode()
            kept.writestr(entry, data)
    new.replace(wheel)


if __name__ == "__main__":
    sys.exit(main())
