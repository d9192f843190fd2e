"""Whose persona a reply is judged against in the shuffled-persona control.

In: the personas of a benchmark. Out: for each of them a *stranger*: another profile joined with another personality, so
that nothing of the first persona is left. The pairing is fixed: it follows from the ids alone and is the same in every
run, so that runs can be compared. This module does not know what is judged, or how.
"""

import random
from collections.abc import Mapping, Sequence

from aloe.personas import join
from aloe.records import Persona
from aloe.texts import Text

SEED = 0
"""Of the order in which profiles and personalities are paired; no preset changes it."""


def strangers(personas: Sequence[Persona]) -> dict[str, Persona]:
    """The stranger of every persona, by the persona's id.

    Profiles stand in a seeded circle, and each gets the next one's text. Personalities stand in another circle, and
    each gets the one that is 1, 2, ... places on: by one place with the first profile, by two with the second, and so
    on round and round, so that no result hangs on which two personalities happen to be neighbours. Where every profile
    goes with every personality, every persona is the stranger of exactly one other.

    Returns: empty where there is a single profile or a single personality: then nobody differs in both.

    >>> grid = [Persona(f"{p}-{t}", p, t, p.upper(), t.upper()) for p in ("p1", "p2") for t in ("t1", "t2")]
    >>> {name: stranger.id for name, stranger in strangers(grid).items()}
    {'p1-t1': 'p2-t2', 'p1-t2': 'p2-t1', 'p2-t1': 'p1-t2', 'p2-t2': 'p1-t1'}
    """
    profiles = {persona.profile_id: persona.profile for persona in personas}
    personalities = {persona.personality_id: persona.personality for persona in personas}
    if min(len(profiles), len(personalities)) < 2:
        return {}
    rng = random.Random(SEED)
    first, second = (rng.sample(sorted(ids), len(ids)) for ids in (profiles, personalities))
    found = {}
    for persona in personas:
        place = first.index(persona.profile_id)
        step = 1 + place % (len(second) - 1)
        profile = first[(place + 1) % len(first)]
        personality = second[(second.index(persona.personality_id) + step) % len(second)]
        found[persona.id] = join(Text(profile, profiles[profile]), Text(personality, personalities[personality]))
    return found


def stranger_to(others: Mapping[str, Persona], *people: Persona) -> Persona | None:
    """The stranger of the first of some people who has neither the profile nor the personality of any of them.

    Where the stranger has, theirs is taken instead, and so on round the circle.

    Args:
        others: of `strangers`.
        people: one persona, or whom a user was and whom they have become.

    Returns: None where there is nobody.
    """
    profiles, personalities = ({getattr(p, key) for p in people} for key in ("profile_id", "personality_id"))
    candidate, seen = others.get(people[0].id), set[str]()
    while candidate is not None and candidate.id not in seen:
        if candidate.profile_id not in profiles and candidate.personality_id not in personalities:
            return candidate
        seen.add(candidate.id)
        candidate = others.get(candidate.id)
    return None
