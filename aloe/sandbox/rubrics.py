"""The simulated judge on two further scales, and the habit by which a simulated model knows its own kind.

In: a persona, the user's last message, a reply; or a verdict. Out: 0 or 1; a number from 1 to 5 for each of five
criteria; the verdict with a favour in it. Planted is: a reply suits (1) exactly where the level would be 4 or 5; the
criteria are read off the features of `judge`, each by itself; errors are turned or one step off at the rate of judge
errors, each criterion by itself. A model with a *habit* ends its replies with the same words, and at the rate of its
`favour` gives a reply with these words one step more than it is worth, never above the top of the scale. What stands in
the text is all that it goes by: it knows no policy and no name of a model.
"""

import random
from collections.abc import Mapping

from aloe.sandbox import judge
from aloe.sandbox.language import content_words, words

CRITERIA = ("Manner", "Content", "Human", "Engaging", "Concise")
_BRIEF, _LONG = 25, 60
"""Words up to which a reply is as concise as can be, and from which on it is not at all."""


def suits(value: float, error: float, rng: random.Random) -> int:
    """1 where the level of a fit is 4 or 5, else 0; at the rate of judge errors the other one."""
    exact = int(judge.level(value) >= 4)
    return 1 - exact if rng.random() < error else exact


def criteria(profile: str, personality: str, message: str, reply: str) -> dict[str, float]:
    """How far a reply meets each criterion, from 0 (not at all) to 1.

    Engaging is the mean of three: it asks something, it is warm, it takes up a word of the message.
    """
    read, tokens = judge.features(reply), words(reply)
    taken_up = bool(content_words(reply) & content_words(message))
    found = (
        judge.manner_fit(personality, reply),
        judge.content_fit(profile, message, reply),
        judge.human_fit(reply),
        ((read["questions"] > 0) + (read["warmth"] > 0) + taken_up) / 3,
        (_LONG - len(tokens)) / (_LONG - _BRIEF) if tokens else 0.0,
    )
    return {name: min(1.0, max(0.0, value)) for name, value in zip(CRITERIA, found, strict=True)}


def rated(found: Mapping[str, float], error: float, rng: random.Random) -> dict[str, int]:
    """A number from 1 to 5 for each criterion; each by itself is one step off at the rate of judge errors."""
    return {name: judge.rate(0.8 * value, error, rng) for name, value in found.items()}


def written(text: str, habit: str) -> str:
    """A reply of a model with a habit: the same, and then the words that end it, once. No habit: the same.

    >>> written("Mind the goats.", "So I say.")
    'Mind the goats. So I say.'
    """
    return f"{text} {habit}" if habit and not text.endswith(habit) else text


def favours(reply: str, habit: str, favour: float, rng: random.Random) -> int:
    """What a judge with a habit adds to its verdict: 1 at the rate of its favour, if the reply ends as its own do."""
    own = bool(habit) and reply.rstrip().endswith(habit)
    return int(own and rng.random() < favour)
