"""The simulated user: lets out a life bit by bit, shows traits without naming them, and is no template."""

import functools
import random

import pytest
from sandbox_talk import CLEAN, ask, talk

from aloe.prompts import conversation
from aloe.records import Message
from aloe.sandbox import user, world, writer
from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import sentences, words
from aloe.sandbox.model import Knobs

N_DIALOGUES = 50
PROFILE = (
    "Marta is a 34-year-old nurse from Porto. She keeps a grey parrot called Pablo. She bakes rye bread. "
    "She plays the cello in a string quartet. She rents a flat above a bakery. Her brother repairs clocks."
)


@functools.cache
def personas():
    rng = random.Random(3)
    profiles, personalities = (
        writer.write_profiles([], N_DIALOGUES, rng),
        writer.write_personalities([], N_DIALOGUES, rng),
    )
    return tuple(zip(profiles, personalities, strict=True))


@functools.cache
def dialogues():
    """The user's messages of one dialogue per persona."""
    return [talk(*persona, seed=seed, knobs=Knobs()) for seed, persona in enumerate(personas())]


def frame(sentence, facts):
    """A sentence with an asterisk where a fact or what it is about stands."""
    said = f" {' '.join(words(sentence))} "
    fillings = {text for fact in facts for text in (fact.clause, fact.mine() if fact.topic else fact.clause)}
    for filling in sorted(fillings, key=len, reverse=True):
        said = said.replace(f" {' '.join(words(filling))} ", " * ")
    return said.strip()


def test_the_same_request_gets_the_same_message_and_another_seed_another():
    fields = {"profile": PROFILE, "personality": "Blunt. Curious.", "conversation": ""}
    assert ask("user", seed=1, **fields) == ask("user", seed=1, **fields)
    assert len({ask("user", seed=seed, **fields) for seed in range(20)}) >= 15


def test_facts_come_out_bit_by_bit_over_ten_turns():
    shares = [[0.0] * N_DIALOGUES for _ in range(10)]
    for case, ((profile, _), messages) in enumerate(zip(personas(), dialogues(), strict=True)):
        facts = read_profile(profile)[1]
        for turn in range(10):
            out = sum(user.is_revealed(fact, messages[: turn + 1]) for fact in facts)
            shares[turn][case] = out / len(facts)
    means = [sum(row) / len(row) for row in shares]
    assert means == sorted(means)
    assert means[0] < 0.2  # one fact of eight to ten
    assert 0.4 < means[4] < 0.7
    assert means[9] > 0.85


@pytest.mark.parametrize("early, most", [(0.0, 1), (1.0, 2)])
def test_early_disclosure_lets_out_a_second_fact_at_once(early, most):
    knobs = Knobs(**{**vars(CLEAN), "early_disclosure": early})
    fields = {"profile": PROFILE, "personality": "", "conversation": ""}
    facts = read_profile(PROFILE)[1]
    out = [
        sum(user.is_revealed(fact, [ask("user", seed=seed, knobs=knobs, **fields)]) for fact in facts)
        for seed in range(20)
    ]
    assert max(out) == most
    assert sum(out) / len(out) >= most - 0.2


def test_a_message_has_mostly_one_to_four_sentences():
    lengths = [len(sentences(message)) for messages in dialogues() for message in messages]
    assert sum(1 <= length <= 4 for length in lengths) / len(lengths) >= 0.95
    assert max(lengths) <= 5


def test_traits_show_in_what_is_said_more_and_more():
    shown_early, shown_late = 0, 0
    for (_, personality), messages in zip(personas(), dialogues(), strict=True):
        own = {name for _, name in world.read_personality(personality)}
        assert user.traits_shown(messages) <= own
        shown_early += len(user.traits_shown(messages[:2]))
        shown_late += len(user.traits_shown(messages))
    assert shown_late / N_DIALOGUES >= 4
    assert shown_late >= 2.5 * shown_early


def test_nobody_names_a_trait_of_their_own():
    """A stray word does not count (the topic's "quiet evening" of a reserved person): one message in fifty at most."""
    named, count = 0, 0
    for (_, personality), messages in zip(personas(), dialogues(), strict=True):
        own = [world.traits()[name] for _, name in world.read_personality(personality) if name]
        mine = {word for trait in own for word in (trait.name, *trait.synonyms)}
        named += sum(bool(mine & set(words(message))) for message in messages)
        count += len(messages)
    assert named / count <= 0.02


def test_two_people_of_different_character_talk_differently():
    loud, quiet = "Enthusiastic. Talkative. Melodramatic.", "Reserved. Pessimistic. Methodical."
    first, second = talk(PROFILE, loud, seed=4), talk(PROFILE, quiet, seed=4)
    assert user.traits_shown(first) == {"enthusiastic", "talkative", "melodramatic"}
    assert user.traits_shown(second) == {"reserved", "pessimistic", "methodical"}
    assert sum("!" in message for message in first) > sum("!" in message for message in second)


def test_messages_hardly_ever_repeat_and_have_hundreds_of_frames():
    said = [message for messages in dialogues() for message in messages]
    assert (len(said) - len(set(said))) / len(said) <= 0.02
    frames = {
        frame(sentence, read_profile(profile)[1])
        for (profile, _), messages in zip(personas(), dialogues(), strict=True)
        for message in messages
        for sentence in sentences(message)
    }
    assert len(frames) >= 200
    assert sum("*" in frame for frame in frames) >= 150


def test_the_user_answers_a_question_about_something_that_is_known():
    turns = [
        Message("user", "I keep a grey parrot called Pablo."),
        Message("assistant", "How is your grey parrot?"),
    ]
    answers = {world.topics()["pets"].answer, tuple(world.chat()["answer"])}
    fields = {"profile": PROFILE, "personality": "", "conversation": conversation(turns)}
    openings = [sentences(ask("user", seed=seed, **fields))[0] for seed in range(10)]
    known = {
        sentences(line.format(topic="my grey parrot", Topic="My grey parrot"))[0] for row in answers for line in row
    }
    assert sum(opening in known for opening in openings) >= 8


def test_a_user_without_a_persona_still_has_something_to_say():
    for seed in range(5):
        assert ask("user", seed=seed, profile="", personality="", conversation="")


def _habits_in(message):
    """(dimension, side) of each habit whose words stand in a message."""
    return {
        (dimension, side)
        for dimension, sides in world.habits().items()
        for side, habit in sides.items()
        if any(words_ in message for kind in ("before", "after") for words_ in habit.get(kind, ()))
    }


def _n_habits(message):
    """How many habits show, in words or in a mark at the end of a sentence."""
    ends = {mark for sides in world.habits().values() for habit in sides.values() for mark in habit.get("end", ())}
    return len(_habits_in(message)) + sum(mark in message for mark in ends)


def test_users_let_go_with_time():
    shown = [sum(_n_habits(message) for message in turn) / len(turn) for turn in zip(*dialogues(), strict=True)]
    assert sum(shown[7:]) >= 1.5 * sum(shown[:3])
    assert sum(shown[7:]) >= 1.1 * sum(shown[3:6])


def test_users_write_as_they_like_to_be_answered():
    right = wrong = 0
    for (_, personality), messages in zip(personas(), dialogues(), strict=True):
        wants = world.desires([name for _, name in world.read_personality(personality) if name])
        for dimension, side in set().union(*map(_habits_in, messages)):
            suits = wants.get(dimension, 0) * (1 if side == "high" else -1) > 0
            right, wrong = right + suits, wrong + (not suits)
    assert right >= 200
    assert wrong <= right / 20  # a habit's words can stand in another sentence by chance
