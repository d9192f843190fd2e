"""Texts grouped by what they are about: clusters of embeddings, each named by its most telling words.

In: texts and their unit rows. Out: a topic per text. The number of clusters is the caller's; k-means finds as many as
it is told, so a topic is a way to look at texts and no finding. This module does not know where texts come from.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

WORDS = 3  # in a topic's name


def topics(texts: Sequence[str], rows: np.ndarray, n_topics: int, seed: int = 0) -> list[str]:
    """The name of each text's topic, such as "garden, bees, honey".

    Args:
        texts: at least `n_topics`.
        rows: unit rows of the texts, shape (n_texts, dimension).
        n_topics: how many clusters to make.
        seed: of the clusters' starting points.

    Returns:
        One name per text: the words whose share among the cluster's texts exceeds that among all by most.
    """
    from sklearn.cluster import KMeans

    clusters = KMeans(n_topics, n_init=5, random_state=seed).fit_predict(rows)
    words = [frozenset(re.findall(r"[^\W\d_]{3,}", text.lower())) for text in texts]
    names = {cluster: _name([w for w, c in zip(words, clusters, strict=True) if c == cluster], words)
             for cluster in sorted(set(clusters))}  # fmt: skip
    return [names[cluster] for cluster in clusters]


def _name(own: Sequence[frozenset[str]], everyone: Sequence[frozenset[str]]) -> str:
    here, overall = (Counter(word for text in texts for word in text) for texts in (own, everyone))
    telling = {word: n / len(own) - overall[word] / len(everyone) for word, n in here.items()}
    return ", ".join(sorted(telling, key=lambda word: (-telling[word], word))[:WORDS])
