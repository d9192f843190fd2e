"""What people are about: the facts or traits of a pool in clusters, each named by its most telling words.

In: texts, and the unit rows of their pieces. Out: a topic per piece. Whole profiles fall apart by name and gender first
of all, so it is their facts that are grouped, without their owners. The number of clusters is the caller's; k-means
finds as many as it is told, so a topic is a way to look at texts and no finding. This module does not know where texts
come from.
"""

import random
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from aloe.quality import Kind, sentences

WORDS = 3  # in a topic's name
MOST = 1_000  # facts or traits


def pieces(texts: Sequence[str], kind: Kind, seed: int = 0) -> list[str]:
    """The facts of profiles without their first word, which says of whom they are; or the traits of personalities.

    Of more than `MOST` so many are drawn: a map of all would only be blacker.

    >>> pieces(["Ana is a nurse. Her son paints."], "profile"), pieces(["Shy, hiding. Witty."], "personality")
    (['is a nurse', 'son paints'], ['Shy, hiding', 'Witty'])
    """
    found = [sentence.strip() for text in texts for sentence in sentences(text)]
    found = [piece.split(maxsplit=1)[-1] for piece in found] if kind == "profile" else found
    return found if len(found) <= MOST else random.Random(f"{seed}-pieces-{kind}").sample(found, MOST)


def topics(texts: Sequence[str], rows: np.ndarray, n_topics: int, seed: int = 0) -> list[str]:
    """The name of each text's topic, such as "garden, bees, honey".

    Args:
        texts: at least `n_topics`.
        rows: unit rows of the texts, shape (n_texts, dimension).
        n_topics: how many clusters to make.
        seed: of the clusters' starting points.

    Returns:
        One name per text: the words whose share among the cluster's texts exceeds that among all by most; words that
        English sentences have whatever they are about do not count where there are others.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    clusters = KMeans(n_topics, n_init=5, random_state=seed).fit_predict(rows)
    found = [frozenset(re.findall(r"[^\W\d_]{3,}", text.lower())) for text in texts]
    words = [own - ENGLISH_STOP_WORDS or own for own in found]
    names = {cluster: _name([w for w, c in zip(words, clusters, strict=True) if c == cluster], words)
             for cluster in sorted(set(clusters))}  # fmt: skip
    return [names[cluster] for cluster in clusters]


def _name(own: Sequence[frozenset[str]], everyone: Sequence[frozenset[str]]) -> str:
    here, overall = (Counter(word for text in texts for word in text) for texts in (own, everyone))
    telling = {word: n / len(own) - overall[word] / len(everyone) for word, n in here.items()}
    return ", ".join(sorted(telling, key=lambda word: (-telling[word], word))[:WORDS])
