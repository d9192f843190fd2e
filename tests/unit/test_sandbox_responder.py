"""The simulated responder: says what it is told to say, in a manner that the judge's features read back."""

import random

import pytest
from sandbox_talk import CLEAN

from aloe.prompts import render
from aloe.sandbox import judge, responder, world
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import sentences
from aloe.sandbox.model import complete, subject_of

PARROT, CELLO = responder.Subject("pets", "your grey parrot"), responder.Subject("music", "your cello")
MESSAGE = "I keep a grey parrot called Pablo. What would you do?"


def replies(desires, n=40, other=None):
    return [
        responder.respond(PARROT, other, responder.choose_manner(desires, rng), rng)
        for rng in map(random.Random, range(n))
    ]


def answer(system, seed=0, message=MESSAGE):
    return complete([{"role": "system", "content": system}, {"role": "user", "content": message}], seed, CLEAN)


@pytest.mark.parametrize("dimension", world.DIMENSIONS)
def test_the_judge_reads_back_the_manner_that_was_asked_for(dimension):
    """Features lie between -1 and 1; a responder that ignores the wish would give a difference near 0."""
    wanted, unwanted = (
        sum(judge.features(reply)[dimension] for reply in replies({dimension: sign})) / 40 for sign in (1, -1)
    )
    assert wanted >= 0.8
    assert wanted - unwanted >= 0.7


def test_a_reply_has_at_most_three_sentences():
    for desires in ({}, {"length": 2, "structure": 2, "questions": 1}, {"length": -2}):
        assert max(len(sentences(reply)) for reply in replies(desires, other=CELLO)) <= 3


def test_who_likes_it_short_gets_far_fewer_words():
    short, long = (sum(len(reply.split()) for reply in replies({"length": sign}, other=CELLO)) / 40 for sign in (-1, 1))
    assert short <= 0.6 * long
    assert all("cello" in reply.lower() or "music" in reply.lower() for reply in replies({"length": -2}, other=CELLO))


def test_who_likes_it_short_and_merry_gets_both():
    for reply in replies({"length": -2, "play": 1, "exclamation": 1, "warmth": 1}, other=CELLO):
        assert reply.split(",")[0] in world.manner()["laughs"]
        assert judge.features(reply)["play"] > 0
        assert "!" in reply
        assert len(reply.split()) <= 34


def test_a_second_thing_that_is_known_is_called_back_to():
    assert all(
        "cello" in reply.lower() or "music" in reply.lower() for reply in replies({"questions": -1}, other=CELLO)
    )
    assert not any("cello" in reply for reply in replies({"questions": -1}))


def test_somebody_of_the_family_is_called_back_to_as_a_person():
    stepson = responder.Subject("family", "your stepson")
    things = {line.format(other="your stepson") for way in world.manner()["callbacks"].values() for line in way}
    people = {line.format(other="your stepson") for way in world.manner()["callbacks_kin"].values() for line in way}
    found = {
        part for reply in replies({"questions": -1}, 80, stepson) for part in sentences(reply) if "stepson" in part
    }
    assert len(found & people) > 5
    assert not found & (things - people)


def test_without_wishes_every_manner_occurs():
    manners = [responder.choose_manner({}, random.Random(seed)) for seed in range(100)]
    for dimension in world.DIMENSIONS:
        assert {manner[dimension] for manner in manners} == {1, -1}


def test_what_is_known_decides_the_manner_whatever_is_drawn():
    for seed in range(20):
        manner = responder.choose_manner({"warmth": 2, "length": -1}, random.Random(seed))
        assert (manner["warmth"], manner["length"]) == (1, -1)


def test_a_hinted_reply_suits_what_was_inferred_and_a_plain_one_nobody():
    personality, profile = "Affectionate, hugging people. Gentle.", "She plays the cello in a quartet."
    hinted = render("hinted_responder", inferred_profile=profile, inferred_personality=personality)
    persona = (f"{profile} She keeps a grey parrot.", personality, MESSAGE)
    fits = [
        sum(judge.fit(*persona, answer(system, seed)) for seed in range(15)) / 15
        for system in (hinted, render("plain_responder"))
    ]
    assert fits[0] - fits[1] >= 0.3


def test_a_hint_of_nothing_yet_is_no_hint():
    empty = render("hinted_responder", inferred_profile="nothing yet", inferred_personality="nothing yet")
    said = [answer(empty, seed) for seed in range(15)]
    assert not any("nothing" in reply.lower() for reply in said)
    assert read_profile("nothing yet")[1] == ()
    unhinted = [answer(render("plain_responder"), seed) for seed in range(15)]
    named, other = (sum("parrot" in reply.lower() for reply in replies_) for replies_ in (said, unhinted))
    assert abs(named - other) <= 5
    assert named >= 5


@pytest.mark.parametrize(
    "message, topic, phrase",
    [
        ("I keep a grey parrot called Pablo.", "pets", "your grey parrot"),
        ("It rained. My cello needs new strings, though.", "music", "your cello"),
        ("Any ideas?", None, None),
        ("", None, None),
    ],
)
def test_what_a_message_is_about_is_read_from_the_message_alone(message, topic, phrase):
    assert subject_of(message) == responder.Subject(topic, phrase)


def test_a_reply_avoids_an_opening_that_was_used_before():
    openers = world.manner()["openers"]["plain"]
    for seed in range(20):
        manner = {**dict.fromkeys(world.DIMENSIONS, 0), "length": 1}
        reply = responder.respond(PARROT, None, manner, random.Random(seed), " ".join(openers[1:]))
        assert reply.startswith(openers[0])
