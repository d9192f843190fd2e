"""Whose persona a reply is judged against in the shuffled-persona control.

In: the personas of a benchmark. Out: for each of them a *stranger*: another profile joined with another personality, so
that nothing of the first persona is left. The pairing is fixed: it follows from the ids alone and is the same in every
run, so that runs can be compared. This module does not know what is judged, or how.
"""

from collections.abc import Mapping, Sequence

from aloe.pairing import stranger_ids
from aloe.personas import join
from aloe.records import Persona
from aloe.texts import Text


def strangers(personas: Sequence[Persona]) -> dict[str, Persona]:
    """The stranger of every persona, by the persona's id; paired as `pairing.stranger_ids` says.

    Returns: empty where there is a single profile or a single personality: then nobody differs in both.

    >>> grid = [Persona(f"{p}-{t}", p, t, p.upper(), t.upper()) for p in ("p1", "p2") for t in ("t1", "t2")]
    >>> {name: stranger.id for name, stranger in strangers(grid).items()}
    {'p1-t1': 'p2-t2', 'p1-t2': 'p2-t1', 'p2-t1': 'p1-t2', 'p2-t2': 'p1-t1'}
    """
    profiles = {persona.profile_id: Text(persona.profile_id, persona.profile) for persona in personas}
    personalities = {persona.personality_id: Text(persona.personality_id, persona.personality) for persona in personas}
    others = stranger_ids([(persona.profile_id, persona.personality_id) for persona in personas])
    return {
        persona.id: join(profiles[other[0]], personalities[other[1]])
        for persona in personas if (other := others.get((persona.profile_id, persona.personality_id)))
    }  # fmt: skip


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
