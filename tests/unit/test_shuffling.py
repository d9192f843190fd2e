"""Who stands for whom in the shuffled-persona control."""

from collections import Counter
from pathlib import Path

import pytest

from aloe.benchmark import load_cases
from aloe.cases import successors
from aloe.params import load_params
from aloe.records import Persona
from aloe.runs import Run
from aloe.shuffling import stranger_to, strangers


def grid(n_profiles, n_personalities):
    return [
        Persona(f"bench-p{p}-t{t}", f"bench-p{p}", f"bench-t{t}", f"Profile {p}.", f"Personality {t}.")
        for p in range(n_profiles) for t in range(n_personalities)
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(2, 2), (3, 2), (2, 5), (4, 3), (20, 5)])
def test_a_stranger_differs_in_both_texts_and_everybody_is_the_stranger_of_one_other(size):
    personas = grid(*size)
    found = strangers(personas)
    assert sorted(found) == sorted(persona.id for persona in personas)
    for persona in personas:
        other = found[persona.id]
        assert other.profile_id != persona.profile_id
        assert other.personality_id != persona.personality_id
        assert (other.profile, other.personality) != (persona.profile, persona.personality)
    assert sorted(found.values(), key=lambda p: p.id) == sorted(personas, key=lambda p: p.id)


def test_every_personality_stands_for_every_other_one_equally_often():
    personas = grid(20, 5)
    found = strangers(personas)
    pairs = Counter((persona.personality_id, found[persona.id].personality_id) for persona in personas)
    # 20 cases of each personality, 4 others: 5 times each
    assert set(pairs.values()) == {5}
    assert len(pairs) == 5 * 4


def test_the_pairing_follows_from_the_ids_alone():
    personas = grid(4, 3)
    assert strangers(personas[::-1]) == strangers(personas)
    assert strangers(personas * 2) == strangers(personas)


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (4, 1)])
def test_nobody_is_a_stranger_where_all_share_a_profile_or_a_personality(size):
    assert strangers(grid(*size)) == {}
    assert strangers([]) == {}


def test_the_shipped_benchmark_has_a_stranger_for_every_case(tmp_path):
    personas = load_cases(Run("sandbox", load_params("sandbox"), tmp_path))
    assert {other.id for other in strangers(personas).values()} == {persona.id for persona in personas}


def test_where_a_user_has_become_somebody_else_the_stranger_is_one_to_both():
    # 20 profiles x 5 personalities; whoever a user was and has become, somebody shares nothing with either
    people = load_cases(Run("smoke", load_params("sandbox"), Path("nowhere")))
    others = strangers(people)
    for was, now in zip(people, successors(people), strict=True):
        stranger = stranger_to(others, now, was)
        assert stranger.profile_id not in {was.profile_id, now.profile_id}
        assert stranger.personality_id not in {was.personality_id, now.personality_id}
    # of two profiles and two personalities, all are one of the two persons'
    few = grid(2, 2)
    assert stranger_to(strangers(few), few[3], few[0]) is None
