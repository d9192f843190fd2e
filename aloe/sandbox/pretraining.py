"""The sandbox's small base model: made from a fixed seed by a recorded recipe (`make base-model`).

In: the text of `lessons.py`. Out: `base_model/` with a Llama of 1.6 million parameters, its tokenizer and chat
template, and `manifest.json` (recipe, data hash, held-out losses). Knows nothing of what the text says.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from aloe.sandbox import lessons
from aloe.sandbox.lessons import Dialogue
from aloe.sandbox.unfinished import Unfinished

BASE_MODEL = Path(__file__).parent / "base_model"
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m['role'] == 'assistant' %}<|assistant|>{% generation %}{{ m['content'] }}<|end|>{% endgeneration %}"
    "{% else %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
Row = tuple[list[int], list[int]]
"""Token ids of a dialogue, and 1 for those of a reply and its end."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides what the base model is; lengths in tokens, times in steps."""

    seed: int = 0
    n_easy_repetitions: int = 11_000
    n_easy_lessons: int = 12_000
    n_trait_lessons: int = 24_000
    n_repetitions: int = 5_000
    n_lessons: int = 40_000
    n_dialogues: int = 6_000
    n_long_dialogues: int = 4_000
    n_held_out: int = 200
    max_turns: int = 10
    least_long_turns: int = 6
    told_share: float = 0.5
    vocabulary: int = 6144
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    intermediate: int = 384
    max_positions: int = 1536
    batch_tokens: int = 2048
    learning_rate: float = 3.0e-3
    muon_rate: float = 0.015
    long_rate: float = 0.3
    warmup: int = 60
    weight_decay: float = 0.02
    context_weight: float = 0.1
    precision: str = "bfloat16"


class Text(NamedTuple):
    """What is read first (easy exercises: to copy, what traits mean), then (everything), last (long dialogues)."""

    first: list[Dialogue]
    mixed: list[Dialogue]
    last: list[Dialogue]
    held_out: list[Dialogue]


def write_text(recipe: Recipe) -> Text:
    """The text of pretraining, and dialogues that are kept out of it."""
    rng = random.Random(recipe.seed)
    tellings = {"held": [], "free": []}  # type: dict[str, list[Dialogue]]
    for _ in tqdm(range(recipe.n_dialogues + recipe.n_held_out), desc="writing dialogues", mininterval=5):
        kind = "held" if len(tellings["held"]) < recipe.n_held_out else "free"
        tellings[kind].append(lessons.dialogue(rng, recipe.max_turns, rng.random() < recipe.told_share))
    first = [lessons.repetition(rng, easy=True) for _ in range(recipe.n_easy_repetitions)]
    first += [lessons.lesson(rng, easy=True) for _ in range(recipe.n_easy_lessons)]
    first += [lessons.trait_lesson(rng) for _ in range(recipe.n_trait_lessons)]
    mixed = [lessons.repetition(rng) for _ in range(recipe.n_repetitions)]
    mixed += [lessons.lesson(rng) for _ in tqdm(range(recipe.n_lessons), desc="writing lessons", mininterval=5)]
    last = [
        lessons.dialogue(rng, recipe.max_turns, rng.random() < recipe.told_share, recipe.least_long_turns)
        for _ in tqdm(range(recipe.n_long_dialogues), desc="writing long dialogues", mininterval=5)
    ]
    return Text(first, mixed + tellings["free"], last, tellings["held"])


def build_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer of the given size with the chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=SPECIAL[0], eos_token=SPECIAL[1],
        additional_special_tokens=list(SPECIAL[2:]), padding_side="left",
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    return fast


def build_model(recipe: Recipe, tokenizer: Any) -> Any:
    """A Llama with random weights at the recipe's size; embeddings tied."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(recipe.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=recipe.hidden, intermediate_size=recipe.intermediate,
            num_hidden_layers=recipe.layers, num_attention_heads=recipe.heads, num_key_value_heads=recipe.heads,
            max_position_embeddings=recipe.max_positions, tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        )
    )  # fmt: skip


def encode(tokenizer: Any, dialogues: Sequence[Dialogue]) -> list[Row]:
    """Token ids and assistant marks (1 for tokens of a reply and its end) of each dialogue."""
    rows = []
    for messages in dialogues:
        row = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
        rows.append((row["input_ids"], row["assistant_masks"]))
    return rows


def batches(rows: Sequence[Row], batch_tokens: int, rng: random.Random) -> list[list[Row]]:
    """Dialogues of like length together, at most `batch_tokens` tokens with padding, in random order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i][0]), rng.random()))
    groups: list[list[int]] = [[]]
    for i in order:
        if groups[-1] and (len(groups[-1]) + 1) * len(rows[i][0]) > batch_tokens:
            groups.append([])
        groups[-1].append(i)
    rng.shuffle(groups)
    return [[rows[i] for i in group] for group in groups]


def loss_of(model: Any, rows: Sequence[Row], weight: float) -> Any:
    """Mean loss in nats a token; tokens that are not a reply's count `weight`."""
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    weights = torch.zeros((len(rows), longest))
    for i, (tokens, marks) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        weights[i, : len(tokens)] = torch.tensor([1.0 if mark else weight for mark in marks])
    logits = model(input_ids=ids).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    scale = weights[:, 1:].flatten()
    return (losses * scale).sum() / scale.sum()


def train(
    model: Any, plan: Sequence[Sequence[Row]], recipe: Recipe, unfinished: Unfinished, stage: int = 0,
    watch: Callable[[int], None] | None = None, rate: float = 1.0,
) -> None:  # fmt: skip
    """Muon for the matrices, AdamW for the rest, warm-up and cosine decay over the batches of the plan.

    Goes on where `unfinished` says that this stage stopped. `watch` is called with the number of steps done after each
    step; `rate` multiplies both learning rates.
    """
    import torch

    named = [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]
    hidden = [weights for name, weights in named if weights.ndim == 2 and "embed" not in name]
    other = [weights for name, weights in named if weights.ndim != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(hidden, lr=recipe.muon_rate, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(other, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    rates = (rate * recipe.muon_rate, rate * recipe.learning_rate)
    model.train()
    done = unfinished.take_up(stage, model, optimizers)
    if done is None:
        return
    progress = tqdm(plan[done:], desc="pretraining", initial=done, total=len(plan), mininterval=5)
    for step, rows in enumerate(progress, done):
        scale = min((step + 1) / recipe.warmup, 0.5 * (1 + math.cos(math.pi * step / len(plan))) + 0.01)
        for optimizer, highest in zip(optimizers, rates, strict=True):
            for settings in optimizer.param_groups:
                settings["lr"] = highest * scale
        with _precision(recipe):
            loss = loss_of(model, rows, recipe.context_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}")
        if (step + 1) % unfinished.EVERY == 0 or step + 1 == len(plan):
            unfinished.keep(stage, step + 1, model, optimizers)
        if watch is not None:
            watch(step + 1)


def _precision(recipe: Recipe) -> Any:
    """Matrix products in bfloat16 (twice as fast where the processor has them); weights stay in float32."""
    import torch

    return torch.autocast("cpu", torch.bfloat16) if recipe.precision == "bfloat16" else contextlib.nullcontext()


def held_out_losses(model: Any, tokenizer: Any, dialogues: Sequence[Dialogue]) -> dict[str, float]:
    """Loss on replies, in nats a token, of told and of untold held-out dialogues."""
    import torch

    model.eval()
    losses = {}
    for name, wanted in (("told", True), ("untold", False)):
        rows = encode(tokenizer, [d for d in dialogues if (d[0]["role"] == "system") == wanted])
        with torch.inference_mode():
            parts = [float(loss_of(model, rows[i : i + 8], 0.0)) for i in range(0, len(rows), 8)]
        losses[name] = round(sum(parts) / len(parts), 4)
    return losses


def _digest(dialogues: Any) -> str:
    return hashlib.sha256(json.dumps(dialogues, ensure_ascii=False).encode()).hexdigest()


def make_base_model(
    folder: Path = BASE_MODEL, recipe: Recipe | None = None, watch: Callable[[Any, Any, int], None] | None = None
) -> dict[str, Any]:
    """Write the text, train, save; returns the manifest. `watch` gets the model, its tokenizer and the step.

    An interrupted call goes on where it stopped when it is made again with the same recipe.
    """
    recipe = recipe or Recipe()
    text = write_text(recipe)
    read = [text.first, text.mixed, text.last]
    tokenizer = build_tokenizer([m["content"] for d in (*text.first, *text.mixed) for m in d], recipe.vocabulary)
    model = build_model(recipe, tokenizer)
    rng = random.Random(recipe.seed)
    rows = [encode(tokenizer, dialogues) for dialogues in read]
    first, mixed, last = (batches(part, recipe.batch_tokens, rng) for part in rows)
    report = None if watch is None else lambda step: watch(model, tokenizer, step)
    digest = _digest(read)
    unfinished = Unfinished(folder / "unfinished.pt", f"{digest} {recipe}")
    train(model, [*first, *mixed], recipe, unfinished, 0, report)
    train(model, last, recipe, unfinished, 1, report, recipe.long_rate)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    manifest = {
        "recipe": dataclasses.asdict(recipe), "data_sha256": digest,
        "parameters": model.num_parameters(), "tokens": sum(len(ids) for part in rows for ids, _ in part),
        "steps": len(first) + len(mixed) + len(last),
        "held_out_loss": held_out_losses(model, tokenizer, text.held_out),
        "minutes": round(unfinished.minutes, 1),
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    unfinished.forget()
    return manifest


if __name__ == "__main__":
    print(json.dumps(make_base_model(), indent=2))
