"""The simulated inducer: which facts and traits of a known persona a user has let out so far.

In: the full persona, the user's messages, two error rates, a random generator. Out: the two labelled lines that
the prompt asks for. It misses items at the rate of missed inferences and lets slip others at the leak rate.
"""

import random
from collections.abc import Sequence

from aloe.sandbox import world
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import capitalise
from aloe.sandbox.user import is_revealed, traits_shown


def induce(profile: str, personality: str, mine: Sequence[str], missed: float, leak: float, rng: random.Random) -> str:
    """Two lines, "Profile: ..." and "Personality: ..."; "nothing yet" where nothing has come out."""
    _, facts = read_profile(profile)
    kept = [fact.sentence for fact in facts if _noted(is_revealed(fact, mine), missed, leak, rng)]
    shown = traits_shown(mine)
    traits = [
        phrase
        for phrase, name in world.read_personality(personality)
        if _noted(name is not None and name in shown, missed, leak, rng)
    ]
    return f"Profile: {' '.join(kept) or 'nothing yet'}\nPersonality: {_as_sentences(traits) or 'nothing yet'}"


def _noted(out: bool, missed: float, leak: float, rng: random.Random) -> bool:
    draw = rng.random()
    return draw >= missed if out else draw < leak


def _as_sentences(phrases: Sequence[str]) -> str:
    return " ".join(f"{capitalise(phrase)}." for phrase in phrases)
