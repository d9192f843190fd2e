"""How many calls it takes until the persona writer brings little that is new: an expectation, for planning.

In: the sizes under which a pool is grown. Out: calls. Measured with the sandbox's writer, whose texts are the less
often new, the more there are; another writer will run dry sooner or later. This module asks nobody.
"""

import math
from statistics import NormalDist

from aloe.params import Personas

CALLS_PER_ROUND = 8  # as in `personas`, which is not imported: it needs the embedder's libraries
# Of the texts that come after `n` others, a share of about NEW * (n / MANY) ** -FADING is kept, at these thresholds.
NEW, MANY, FADING = 0.64, 160.0, 0.35
THRESHOLDS = {"profiles": 0.8, "personalities": 0.74}
LONGER = 45.0  # how the logarithm of `MANY` rises with the threshold: measured 0.02 away; far above it is too little
_OVER = 1e-3  # a chance to be still growing that is let be


def writer_calls(personas: Personas) -> int:
    """The calls to expect until both pools are saturated, at most `max_calls` for each.

    A pool is looked at after every round. Whether it counts as saturated then is a matter of chance, as the share
    that was kept of a window is: each round is counted as often as it is likely to be needed.
    """
    return round(sum(_expected(personas, kind) for kind in THRESHOLDS))


def _expected(personas: Personas, kind: str) -> float:
    many = MANY * math.exp(LONGER * (getattr(personas, f"threshold_{kind}") - THRESHOLDS[kind]))
    made, expected, growing = 0, 0.0, 1.0
    while made < personas.max_calls and growing > _OVER:
        more = min(CALLS_PER_ROUND, personas.max_calls - made)
        made, expected = made + more, expected + growing * more
        written = made * personas.batch
        if written >= personas.window:
            share = min(0.99, NEW * ((written - personas.window / 2) / many) ** -FADING)
            spread = math.sqrt(share * (1 - share) / personas.window)
            growing *= 1 - NormalDist(share, spread).cdf(personas.min_accept_share)
    return expected
