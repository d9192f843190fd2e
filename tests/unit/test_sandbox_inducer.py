"""The simulated inducer: notes what has come out, and errs at the planted rates."""

import random

from sandbox_talk import CLEAN, ask

from aloe.prompts import conversation
from aloe.records import Message
from aloe.sandbox import inducer, world
from aloe.sandbox.model import Knobs

PROFILE = "Marta is a 34-year-old nurse from Porto. She keeps a grey parrot called Pablo. She bakes rye bread."
PERSONALITY = "Blunt, saying the unwelcome thing first. Curious, asking how everything works."
SAID = ["I keep a grey parrot called Pablo.", world.traits()["blunt"].says[0]]


def induced(messages, **rates):
    knobs = Knobs(**{**vars(CLEAN), **rates})
    turns = conversation([Message("user", text) for text in messages])
    reply = ask("inducer", knobs=knobs, profile=PROFILE, personality=PERSONALITY, conversation=turns)
    profile, personality = reply.splitlines()
    return profile.removeprefix("Profile: "), personality.removeprefix("Personality: ")


def test_only_what_has_come_out_is_noted():
    assert induced(SAID) == ("She keeps a grey parrot called Pablo.", "Blunt.")


def test_before_anything_has_come_out_there_is_nothing_yet():
    assert induced(["Hello."]) == ("nothing yet", "nothing yet")
    assert induced([]) == ("nothing yet", "nothing yet")


def test_what_the_assistant_says_is_no_evidence():
    turns = conversation([Message("user", "Hello."), Message("assistant", " ".join(SAID))])
    reply = ask("inducer", profile=PROFILE, personality=PERSONALITY, conversation=turns)
    assert reply == "Profile: nothing yet\nPersonality: nothing yet"


def test_an_inducer_that_misses_everything_notes_nothing():
    assert induced(SAID, missed_inference=1.0) == ("nothing yet", "nothing yet")


def test_an_inducer_that_leaks_everything_gives_the_persona_away():
    assert induced(["Hello."], leak=1.0) == (PROFILE, "Blunt. Curious.")


def test_items_are_missed_and_leaked_at_the_planted_rates():
    """600 draws each: three standard errors of a rate of 0.3 are 0.056."""
    rng, n = random.Random(0), 600
    notes = [inducer.induce(PROFILE, PERSONALITY, SAID, 0.3, 0.1, rng) for _ in range(n)]
    missed = 1 - sum("parrot" in note for note in notes) / n
    leaked = sum("rye bread" in note for note in notes) / n
    assert abs(missed - 0.3) <= 0.056
    assert abs(leaked - 0.1) <= 0.037


def test_a_trait_that_is_not_understood_is_never_noted():
    note = inducer.induce(PROFILE, "She is zorbly.", SAID, 0.0, 0.0, random.Random(0))
    assert note.endswith("Personality: nothing yet")
