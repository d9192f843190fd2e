"""What a pool of personas is like: who is in it, how crowded it is, what is over- and under-represented; and its card.

In: texts by source, their unit rows, and counts. Out: data frames and one Markdown text. What is said of people follows
the rules of `attributes`. The published pool is known here by its crowding alone, since its text is not shipped. This
module neither embeds nor draws, and touches no file.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aloe.attributes import ATTRIBUTES
from aloe.markdown import literal
from aloe.near_duplicates import BATCH, nearest

# Highest similarity of each entry of the published pool to those before it, under all-MiniLM-L6-v2 (embedder `minilm`):
# the median, computed once by this project from the published files.
PUBLISHED_MEDIAN = {"profile": 0.76, "personality": 0.87}
TELLING = 0.05  # a p-value below it is worth a look; with so many values some are below it by chance


def neighbours(rows: np.ndarray, splits: Sequence[str]) -> pd.DataFrame:
    """Each text's highest similarity to another one of its split, and to one of any other split.

    Args:
        rows: unit rows, shape (n_texts, dimension).
        splits: the split of each.

    Returns:
        Columns split, reach ("within", "across"), similarity; two rows per text, one where there is no other text.
    """
    of, found = np.asarray(splits), []
    for split in dict.fromkeys(splits):
        own, others = rows[of == split], rows[of != split]
        if len(own) > 1:
            found += [(split, "within", float(similarity)) for similarity in _among(own)]
        if len(others):
            found += [(split, "across", float(similarity)) for similarity in nearest(own, others).similarity]
    return pd.DataFrame(found, columns=["split", "reach", "similarity"])


def _among(rows: np.ndarray) -> np.ndarray:
    """The highest similarity of each row to another one."""
    highest = []
    for start in range(0, len(rows), BATCH):
        block = rows[start : start + BATCH] @ rows.T
        own, other = np.ogrid[start : start + len(block), : len(rows)]
        block[other == own] = -np.inf
        highest.append(block.max(axis=1))
    return np.concatenate(highest)


def shares(people: pd.DataFrame, attribute: str) -> pd.DataFrame:
    """The share of each value of an attribute by source; the shares of a source add up to 1.

    Args:
        people: columns source and the attribute, one row per text.

    Returns:
        One row per value, the most frequent first, "unknown" last if it occurs; one column per source.
    """
    table = pd.crosstab(people[attribute], people["source"], normalize="columns")
    table = table[list(dict.fromkeys(people["source"]))]
    order = people[attribute].value_counts().index
    known = [value for value in order if value != "unknown"]
    return table.reindex([*known, *(["unknown"] if "unknown" in order else [])])


def over_and_under(people: pd.DataFrame, source: str, beside: Sequence[str]) -> pd.DataFrame:
    """Values that are more or less frequent in one source than in others taken together, the clearest first.

    Args:
        people: columns source and `attributes.ATTRIBUTES`, one row per text.
        source: such as "train".
        beside: sources to compare with, such as those written by hand.

    Returns:
        Columns attribute, value, share, beside, p: two-sided Fisher exact test, each value for itself.
    """
    from scipy.stats import fisher_exact

    own, other = people[people["source"] == source], people[people["source"].isin(beside)]
    found = []
    for attribute in ATTRIBUTES:
        for value in people[attribute].unique():
            here, there = int((own[attribute] == value).sum()), int((other[attribute] == value).sum())
            p = float(fisher_exact([[here, len(own) - here], [there, len(other) - there]]).pvalue)
            found.append((attribute, value, here / len(own), there / len(other), p))
    frame = pd.DataFrame(found, columns=["attribute", "value", "share", "beside", "p"])
    return frame.sort_values(["p", "attribute", "value"], ignore_index=True)


def markdown(
    title: str, note: str | None, counts: Mapping[str, Any], fate: Mapping[str, Mapping[str, int]],
    people: pd.DataFrame, valence: pd.DataFrame, near: pd.DataFrame, uneven: pd.DataFrame, lines: Sequence[str],
    about: "Mapping[str, pd.Series[float]]",
) -> str:  # fmt: skip
    """The card as Markdown.

    Args:
        title: names the run.
        note: such as "simulated", or None.
        counts: of profiles, personalities, personas and the like.
        fate: by kind, `personas.counted`.
        people: as in `shares`.
        valence: columns source and valence, one row per trait.
        near: `neighbours` of both kinds, with a column kind.
        uneven: `over_and_under`.
        lines: sentences on limits and checks.
        about: by kind, the share of each topic among its facts or traits, the largest first.
    """
    clear = uneven[uneven["p"] < TELLING]
    parts = [f"# Pool card: {literal(title)}", ""]
    parts += [f"**{literal(note).capitalize()}**: these people were written by a simulated model.", ""] if note else []
    parts += ["## Counts", "", *_table(["what", "number"], [[literal(k), f"{v:,}"] for k, v in counts.items()])]
    for kind, own in fate.items():
        rows = [[literal(reason), f"{n:,}"] for reason, n in own.items()]
        parts += [f"## What became of every {kind} that came up", "", *_table(["fate", "texts"], rows)]
    for attribute in ATTRIBUTES:
        parts += [f"## {attribute.capitalize()}", "", *_share_table(shares(people, attribute))]
    parts += ["## Valence of traits", "", *_share_table(shares(valence, "valence"))]
    quantiles = near.groupby(["kind", "split", "reach"], sort=False)["similarity"].agg(["median", "max"])
    parts += ["## Nearest neighbours", "", *_table(
        ["kind", "split", "neighbour", "median similarity", "highest"],
        [[*map(str, key), f"{row['median']:.3f}", f"{row['max']:.3f}"] for key, row in quantiles.iterrows()],
    )]  # fmt: skip
    parts += ["## More or less frequent than in the texts written by hand", "", *_table(
        ["attribute", "value", "share", "by hand", "p"],
        [[literal(str(r.attribute)), literal(str(r.value)), f"{r.share:.0%}", f"{r.beside:.0%}", f"{r.p:.3f}"]
         for r in clear.itertuples()],
    ), f"{len(clear)} of {len(uneven)} values have p below {TELLING}, each tested for itself; chance alone would give "
       f"about {TELLING * len(uneven):.0f}.", ""]  # fmt: skip
    for kind, own in about.items():
        rows = [[literal(topic), f"{share:.0%}"] for topic, share in own.items()]
        parts += [
            f"## Topics of every {kind}, by the words that tell them apart",
            "",
            *_table(["topic", "share"], rows),
        ]
    return "\n".join([*parts, "## To be read with it", "", *(f"- {line}" for line in lines)]) + "\n"


def _share_table(table: pd.DataFrame) -> list[str]:
    rows = [[literal(str(value)), *(f"{share:.0%}" for share in row)] for value, row in table.iterrows()]
    return _table([str(table.index.name), *map(str, table.columns)], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["None.", ""]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)] + [""]
