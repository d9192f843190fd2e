"""What a user takes away of a finished run: one policy's weights in 16 bits, its adapter, its model card.

In: a finished run and the name of a policy that it trained. Out: `export/<policy>/`, whole or not at all, which plain
transformers loads; `export.json` in it says which weights and numbers it was made from. A card that somebody has edited
is never overwritten. This module does not know what stands in the card, and sends nothing anywhere.
"""

import json
from pathlib import Path
from typing import Any

from aloe import adapters
from aloe.checkpoints import read_checkpoint
from aloe.errors import UserError
from aloe.finished import Finished, finished
from aloe.folders import whole_folder
from aloe.gguf import refuse_gguf, write_gguf
from aloe.lineage import base_name
from aloe.model_card import Written, model_card
from aloe.provenance import fingerprint
from aloe.quiet import quiet
from aloe.records import Transcript, read_jsonl
from aloe.runs import Run
from aloe.writing import write_text

ORIGIN, CARD = "export.json", "README.md"
SHARD = "5GB"  # a file of weights is no larger, as hubs advise


def export_policy(run: Run, policy: str, gguf: str | None = None) -> Path:
    """Write a policy's export anew.

    Args:
        run: a finished run.
        policy: one that it trained and put on the benchmark.
        gguf: also write the weights for llama.cpp, as one of `gguf.KINDS`.

    Returns:
        The folder.

    Raises:
        UserError: the run is not finished, has no such policy, GGUF cannot be written here, or the card of an export
            that stands there was edited.
    """
    if gguf:
        refuse_gguf(gguf)
    known = finished(run, policy)
    card, origin = run.export(policy) / CARD, read_origin(run.export(policy))
    if card.is_file() and origin.get("card_sha256") != fingerprint(card):
        raise UserError(f"{card} was edited, and a new export would take its place; move or remove it first.")
    example = next(held for held in read_jsonl(Transcript, run.transcripts) if held.policy == policy)
    with quiet(), whole_folder(run.export(policy)) as folder:
        dtype = _write_weights(run, policy, folder)
        if gguf:
            write_gguf(folder, gguf, folder / "gguf")
        written = Written(dtype, (folder / adapters.FOLDER).is_dir(), gguf)
        write_text(folder / CARD, f"{model_card(run, policy, known, example, written).content.rstrip()}\n")
        origin = {**_origin(run, policy, known, gguf), "card_sha256": fingerprint(folder / CARD)}
        write_text(folder / ORIGIN, json.dumps(origin, indent=2) + "\n")
    return run.export(policy)


def exported(run: Run, policy: str, gguf: str | None = None) -> Path:
    """The export that stands there, a card that was edited included, if it was made from what the run has now; else a
    new one.

    Raises:
        UserError: as `export_policy`.
    """
    known, origin = finished(run, policy), read_origin(run.export(policy))
    origin.pop("card_sha256", None)
    if origin == _origin(run, policy, known, gguf):
        return run.export(policy)
    return export_policy(run, policy, gguf)


def _write_weights(run: Run, policy: str, folder: Path) -> str:
    """Write weights in bfloat16, tokenizer and adapter; the dtype that the weights had."""
    import torch

    params = run.params.training
    model, tokenizer = read_checkpoint(str(run.model(policy)), "auto", params.trust_remote_code)
    dtype = str(model.dtype).removeprefix("torch.")
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)
    chain = adapters.chain(run.model(policy))
    if chain:
        adapters.save_joined(chain, base_name(params.base_model), folder / adapters.FOLDER)
    return dtype


def read_origin(folder: Path, name: str = ORIGIN) -> dict[str, Any]:
    """What an export says of itself; empty where there is none or it cannot be read."""
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _origin(run: Run, policy: str, known: Finished, gguf: str | None) -> dict[str, Any]:
    return {
        "study": "interact-to-align", "run": run.name, "preset": run.params.name, "seed": run.params.seed,
        "simulated": run.params.simulated, "policy": policy, "git_commit": known.record["git_commit"],
        "weights_sha256": known.digest, "metrics_sha256": fingerprint(run.metrics), "gguf": gguf,
    }  # fmt: skip
