"""Who is whose stranger in the shuffled-persona control, from ids alone.

In: ids of profiles and personalities. Out: for everybody another profile with another personality. The pairing is
fixed: it follows from the ids and is the same in every run, so that runs can be compared. This module knows no text.
"""

import random
from collections.abc import Collection

SEED = 0
"""Of the order in which profiles and personalities are paired; no preset changes it."""
Ids = tuple[str, str]


def stranger_ids(pairs: Collection[Ids]) -> dict[Ids, Ids]:
    """(profile, personality) of the stranger of everybody, by (profile, personality).

    Profiles stand in a seeded circle, and each gets the next one. Personalities stand in another circle, and each gets
    the one that is 1, 2, ... places on: by one place with the first profile, by two with the second, and so on round
    and round, so that no result hangs on which two personalities happen to be neighbours. Where every profile goes with
    every personality, everybody is the stranger of exactly one other.

    Returns: empty where there is a single profile or a single personality: then nobody differs in both.

    >>> stranger_ids([("p1", "t1"), ("p1", "t2"), ("p2", "t1"), ("p2", "t2")])["p1", "t1"]
    ('p2', 't2')
    """
    ids = [sorted({pair[kind] for pair in pairs}) for kind in (0, 1)]
    if min(map(len, ids)) < 2:
        return {}
    rng = random.Random(SEED)
    profiles, personalities = (rng.sample(names, len(names)) for names in ids)
    found = {}
    for profile, personality in pairs:
        place = profiles.index(profile)
        step = 1 + place % (len(personalities) - 1)
        other = personalities[(personalities.index(personality) + step) % len(personalities)]
        found[profile, personality] = (profiles[(place + 1) % len(profiles)], other)
    return found
