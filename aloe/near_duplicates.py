"""When are two texts too close? A threshold from labelled pairs, and a pool that keeps what is far enough from it.

In: texts and a function that embeds them as unit rows. Out: a calibrated threshold, and a verdict on each candidate.
A threshold belongs to an embedder: it says nothing under another one. This module does not know where texts come
from or what a good one looks like.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from aloe.embedding import Embed

BATCH = 256  # candidates compared at once
BLOCK = 8192  # pool rows in one matrix product: similarities are held for so many, never for the whole pool


@dataclass(frozen=True)
class LabelledPair:
    """Two texts and what a person says of them: the same in other words, or two different ones."""

    kind: Literal["profile", "personality"]
    label: Literal["duplicate", "distinct"]
    a: str
    b: str


class Calibration(NamedTuple):
    """A threshold and how well it parts the labelled pairs.

    `youden` is the true minus the false positive rate at the threshold: 1 is a clean cut, 0 is chance. `auc` is the
    share of (duplicate, distinct) couples in which the duplicate is the more similar: 1 is best, 0.5 is chance.
    `pairs` has one row per pair: kind, label, similarity, a, b.
    """

    threshold: float
    youden: float
    auc: float
    pairs: pd.DataFrame


class Cut(NamedTuple):
    """A threshold and its Youden index."""

    threshold: float
    youden: float


class Nearest(NamedTuple):
    """For each of some rows, which of the others is most like it, and how much; -1 and -inf where there is no other."""

    at: np.ndarray
    similarity: np.ndarray


class Verdict(NamedTuple):
    """A candidate, its highest cosine similarity to what came before (None: nothing did), and the text it is like."""

    text: str
    kept: bool
    similarity: float | None
    nearest: str | None


def calibrate(pairs: Sequence[LabelledPair], embed: Embed) -> Calibration:
    """Choose the similarity above which two texts count as the same.

    Args:
        pairs: of one kind, at least one duplicate and one distinct.
        embed: the embedder for which the threshold will hold.

    Raises:
        ValueError: a label is missing or all similarities are equal.
    """
    rows = embed([text for pair in pairs for text in (pair.a, pair.b)])
    similarity = np.sum(rows[0::2] * rows[1::2], axis=1)
    duplicate = np.array([pair.label == "duplicate" for pair in pairs], dtype=bool)
    cut = youden_cut(similarity, duplicate)
    margins = similarity[duplicate][:, None] - similarity[~duplicate][None, :]
    auc = float(np.mean((margins > 0) + 0.5 * (margins == 0)))
    frame = pd.DataFrame([{"kind": p.kind, "label": p.label, "a": p.a, "b": p.b} for p in pairs])
    frame.insert(2, "similarity", similarity)
    return Calibration(cut.threshold, cut.youden, auc, frame)


def youden_cut(similarity: np.ndarray, duplicate: np.ndarray) -> Cut:
    """The cut with the highest Youden index (Youden 1950): sensitivity + specificity - 1.

    A pair is called a duplicate if its similarity is above the cut. Cuts lie midway between neighbouring
    similarities; of several best ones the one in the widest gap is taken, then the lowest.

    Args:
        similarity: shape (n_pairs,).
        duplicate: shape (n_pairs,), bool; both values must occur.
    """
    levels = np.unique(similarity)
    if duplicate.all() or not duplicate.any() or len(levels) < 2:
        raise ValueError(f"need duplicate and distinct pairs of differing similarity, got {len(levels)} similarities, "
                         f"{int(duplicate.sum())} duplicates of {len(duplicate)} pairs")  # fmt: skip
    cuts = (levels[:-1] + levels[1:]) / 2
    above = similarity[None, :] > cuts[:, None]
    youden = above[:, duplicate].mean(axis=1) - above[:, ~duplicate].mean(axis=1)
    best = np.flatnonzero(youden >= youden.max() - 1e-12)
    chosen = best[np.argmax(np.diff(levels)[best])]
    return Cut(float(cuts[chosen]), float(youden[chosen]))


def nearest(rows: np.ndarray, others: np.ndarray) -> Nearest:
    """The highest cosine similarity of each row to the others, without a matrix of all similarities.

    Args:
        rows: unit rows, shape (n_rows, dimension); a few hundred at a time.
        others: unit rows, shape (n_others, dimension).

    Returns:
        Two arrays of shape (n_rows,); of several nearest ones the first.
    """
    index = np.full(len(rows), -1)
    similarity = np.full(len(rows), -np.inf, dtype=np.float32)
    for start in range(0, len(others), BLOCK):
        block = rows @ others[start : start + BLOCK].T
        best = block.argmax(axis=1)
        highest = block[np.arange(len(rows)), best]
        nearer = highest > similarity
        index[nearer], similarity[nearer] = start + best[nearer], highest[nearer]
    return Nearest(index, similarity)


def share_above(rows: np.ndarray, cut: float) -> float:
    """The share of all pairs of rows whose cosine similarity is above the cut: 0 where there is no near-duplicate.

    Args:
        rows: unit rows, shape (n_rows, dimension); at least two.
    """
    n = len(rows)
    if n < 2:
        raise ValueError(f"at least two rows make a pair, got {n}")
    above = 0
    for start in range(0, n, BATCH):
        block = rows[start : start + BATCH] @ rows[start:].T
        above += int(np.triu(block > cut, 1).sum())
    return above / (n * (n - 1) / 2)


class Pool:
    """Texts no two of which are too close, nor too close to a held-out text.

    Every text is embedded once. The rows stand in one matrix that grows in place (doubling), so that a batch of
    candidates costs one matrix product against what is there and one among itself. Time grows as candidates times
    pool, memory as pool plus batch.
    """

    def __init__(self, embed: Embed, threshold: float, held_out: Sequence[str] = ()) -> None:
        self._embed, self._threshold, self._n_held_out = embed, threshold, len(held_out)
        self._known, self._seen = list(held_out), set(held_out)
        rows = embed(self._known)
        self._rows = np.empty((max(64, 2 * len(rows)), rows.shape[1]), dtype=np.float32)
        self._rows[: len(rows)] = rows

    @property
    def texts(self) -> list[str]:
        """The pool's texts in the order in which they were kept, without the held-out ones."""
        return self._known[self._n_held_out :]

    def __len__(self) -> int:
        return len(self._known) - self._n_held_out

    def add(self, candidates: Sequence[str]) -> list[Verdict]:
        """Keep each candidate whose highest similarity to all before it is at or under the threshold.

        "Before it" are the held-out texts, the pool, and the candidates kept earlier in this batch: the verdicts are
        those of offering one after the other. A word-for-word repeat is never kept, whatever the threshold.

        Returns:
            One verdict per candidate, in order.
        """
        batches = (candidates[start : start + BATCH] for start in range(0, len(candidates), BATCH))
        return [verdict for batch in batches for verdict in self._add(batch)]

    def _add(self, candidates: Sequence[str]) -> list[Verdict]:
        size = len(self._known)
        rows = self._embed(candidates)
        before, among = nearest(rows, self._rows[:size]), rows @ rows.T
        verdicts, kept = [], list[int]()
        for i, text in enumerate(candidates):
            at, highest = int(before.at[i]), float(before.similarity[i])
            like = self._known[at] if at >= 0 else None
            if kept and (beside := float(among[i, kept].max())) > highest:
                highest, like = beside, candidates[kept[int(among[i, kept].argmax())]]
            keep = text not in self._seen and highest <= self._threshold
            verdicts.append(Verdict(text, keep, None if like is None else highest, like))
            if keep:
                kept.append(i)
                self._seen.add(text)
        self._reserve(size + len(kept))
        self._rows[size : size + len(kept)] = rows[kept]
        self._known += [candidates[i] for i in kept]
        return verdicts

    def _reserve(self, n_rows: int) -> None:
        if n_rows > len(self._rows):
            grown = np.empty((max(n_rows, 2 * len(self._rows)), self._rows.shape[1]), dtype=np.float32)
            grown[: len(self._known)] = self._rows[: len(self._known)]
            self._rows = grown
