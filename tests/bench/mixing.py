"""What general conversations in fine-tuning keep of what a model could do before, what they add, and what they cost.

In: a finished simulated run, whose dialogues are trained on; shares. General here is what the sandbox's base model was
pretrained on beside chats, drawn anew: words to be said again, and questions about what it was told. Out: a table on
stdout and in `outputs/bench/mixing.md`, the measurements behind it in `mixing.csv`. Every arm is trained on the same
dialogues with `training.sft.mix` alone changed; what is measured on is in no arm. No target calls this.
"""

import argparse
import dataclasses
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aloe import training
from aloe.checkpoints import load_policy
from aloe.examples import sft_tokens
from aloe.generation import open_policy
from aloe.held_out import held_out_loss
from aloe.intervals import mean_estimate
from aloe.params import Mix
from aloe.preferences import sft_conversations
from aloe.records import DialogueTree, Message, read_jsonl
from aloe.runs import OUTPUTS, Run, open_run, split_of
from aloe.sandbox.language import words
from aloe.sandbox.lessons import lesson, repetition
from aloe.trainers import sft_trainer
from aloe.writing import write_text

Conversation = list[dict[str, str]]
COLUMNS = {
    "share": "share of general conversations", "dialogues": "loss on held-out dialogues, nats a token",
    "general": "loss on held-out general conversations", "said_again": "words said again as asked, share",
    "steps": "steps", "seconds": "seconds",
}  # fmt: skip


def main() -> int:
    """Train an arm per share, measure each and the base model, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", default="sandbox")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.1, 0.3])
    parser.add_argument("--general", type=int, default=600, help="general conversations to draw from")
    parser.add_argument("--held-out", type=int, default=200, help="general conversations to measure on")
    options = parser.parse_args()
    run, rng = open_run(options.preset), random.Random("mixing")
    drawn = [(repetition if number % 2 else lesson)(rng) for number in range(options.general + options.held_out)]
    held_out = drawn[options.general :]
    with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
        path = Path(folder) / "general.jsonl"
        write_text(path, "".join(json.dumps({"messages": own}) + "\n" for own in drawn[: options.general]))
        rows = [{"share": "before fine-tuning", **measured(run, run.model("base"), held_out)}]
        for share in options.shares:
            mix = Mix(str(path), share) if share else None
            rows.append({"share": f"{share:g}", **trained(run, mix, held_out, Path(folder) / f"{share:g}")})
            print(rows[-1], file=sys.stderr)
    text = table(rows, run, options)
    print(text)
    write_text(OUTPUTS / "bench" / "mixing.md", text)
    write_text(OUTPUTS / "bench" / "mixing.csv", pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    return 0


def trained(run: Run, mix: Mix | None, held_out: Sequence[Conversation], folder: Path) -> dict[str, Any]:
    """Fine-tune the run's base model on its preferred replies in `folder`, and measure what came out."""
    section = dataclasses.replace(run.params.training.sft, mix=mix)
    params = dataclasses.replace(run.params, training=dataclasses.replace(run.params.training, sft=section))
    copy = Run("trial", params, folder)
    shutil.copytree(run.trees.parent, copy.trees.parent)
    summary = training.train_sft(copy, "preferred")
    return {**measured(run, copy.model("sft_preferred"), held_out),
            "steps": summary["steps"], "seconds": round(summary["seconds"])}  # fmt: skip


def measured(run: Run, model: Path, held_out: Sequence[Conversation]) -> dict[str, Any]:
    """Loss of a model on held-out dialogues and general conversations, and how many words it says again."""
    params, seed = run.params, run.params.seed
    trees = [tree for tree in read_jsonl(DialogueTree, run.trees) if split_of(tree.persona.id) == "dev"]
    policy = load_policy(str(model), params.training, seed)
    general = [{"messages": own, "train": [turn["role"] == "assistant" for turn in own]} for own in held_out]
    losses = {}
    for name, rows in (("dialogues", sft_conversations(trees, "preferred")), ("general", general)):
        tokens = sft_tokens(policy.tokenizer, rows, params.training.max_length)
        with tempfile.TemporaryDirectory(prefix="aloe-bench-") as folder:
            trainer = sft_trainer(Run("loss", params, Path(folder)), "loss", policy, tokens)
            losses[name] = held_out_loss(trainer, tokens, f"loss on {name}")
    greedy = dataclasses.replace(params.benchmark, temperature=0.0)
    asked = [own for own in held_out if len(own) == 2 and own[0]["role"] == "user"]  # words to be said again
    replies = open_policy(model, greedy, seed).reply([[Message("user", own[0]["content"])] for own in asked])
    shares = [share_said(own[1]["content"], reply) for own, reply in zip(asked, replies, strict=True)]
    found = mean_estimate(np.array(shares), np.arange(len(shares)), params.benchmark.confidence)
    return {**losses, "said_again": found.value, "said_again_low": found.low, "said_again_high": found.high}


def share_said(wanted: str, reply: str) -> float:
    """Share of the wanted words that stand in a reply."""
    said = set(words(reply))
    return sum(word in said for word in words(wanted)) / len(words(wanted))


def table(rows: Sequence[dict[str, Any]], run: Run, options: argparse.Namespace) -> str:
    """The table as Markdown, with a sentence on what was done."""
    lines = [
        f"SFT on the preferred replies of `{run.name}` ({run.params.trees.n_trees} dialogues), a share of the training "
        f"sequences being general conversations: half of them words to be said again, half questions about what was "
        f"told, of the kinds that the base model was pretrained on. Losses are means over learned tokens, on "
        f"{run.params.trees.n_dev_trees} dialogues with development personas and on {options.held_out} general "
        f"conversations, in no arm; intervals {run.params.benchmark.confidence:.0%}, over conversations. One seed.",
        "",
        "What the model could not do before fine-tuning and can with a share was learned from that share, not kept. "
        "Forgetting is what the arm without one has lost.",
        "", "| " + " | ".join(COLUMNS.values()) + " |", "|" + "---|" * len(COLUMNS),
    ]  # fmt: skip
    for row in rows:
        again = f"{row['said_again']:.2f} [{row['said_again_low']:.2f}, {row['said_again_high']:.2f}]"
        shown = {**row, "dialogues": f"{row['dialogues']:.3f}", "general": f"{row['general']:.3f}", "said_again": again}
        lines.append("| " + " | ".join(str(shown.get(name, "-")) for name in COLUMNS) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
