"""The sandbox's world: its files are whole, and traits and topics are read as what they are."""

import pytest

from aloe.sandbox import judge, meaning, world
from aloe.sandbox.language import words


def read(text):
    """The known traits of a personality, None for a phrase that is not understood."""
    return [name for _, name in world.read_personality(text)]


def test_the_world_is_large_enough_to_be_told_from_a_template():
    topics, traits = world.topics().values(), world.traits().values()
    assert len(traits) >= 50
    assert sum(len(values) for topic in topics for values in topic.slots.values()) >= 500
    assert sum(len(topic.reveal) + len(topic.news) + len(topic.answer) for topic in topics) >= 200


@pytest.mark.parametrize("trait", world.traits().values(), ids=lambda trait: trait.name)
def test_a_trait_is_complete_and_wants_something_that_a_reply_can_have(trait):
    assert trait.wants.keys() <= set(world.DIMENSIONS)
    assert trait.wants
    assert len(trait.shows) >= 5
    assert len(trait.says) == len(set(trait.says)) >= 8
    assert trait.valence in (-1, 0, 1)


def test_no_saying_names_the_trait_that_it_shows():
    for trait in world.traits().values():
        names = {part for name in (trait.name, *trait.synonyms) for part in words(name)}
        for saying in trait.says:
            assert not names & set(words(saying)), saying


def test_no_two_traits_share_a_saying_or_a_name():
    traits = world.traits().values()
    for lines in ([line for t in traits for line in t.says], [name for t in traits for name in (t.name, *t.synonyms)]):
        assert len(lines) == len(set(lines))


def test_every_trait_is_read_from_its_name_and_from_its_synonyms():
    for trait in world.traits().values():
        for word in (trait.name, *trait.synonyms):
            assert world.trait_of(f"{word.capitalize()}, doing this and that") == trait.name


def test_adjectives_that_are_never_written_are_read_all_the_same():
    for name, row in world.read_yaml("readings.yaml").items():
        for word in row:
            assert read(f"She is {word}.") == [name], word


@pytest.mark.parametrize(
    "text, names",
    [
        ("Impatient, wanting the point before the story.", ["impatient"]),
        ("She is always in a hurry.", ["impatient"]),
        ("He is stubborn and sceptical, doubting every promise.", ["stubborn", "sceptical"]),
        ("He tends to be shy but kind.", ["reserved", "compassionate"]),
        ("She can be pigheaded. He seems nosy.", ["stubborn", "curious"]),
        ("nothing yet", []),
        ("", []),
    ],
)
def test_a_personality_is_read_in_the_style_of_others(text, names):
    assert read(text) == names


@pytest.mark.parametrize(
    "phrase, name",
    [
        ("keeps her wallet shut and counts every coin", "stingy"),
        ("worries about everything", "anxious"),
        ("bursts into tears easily", "melodramatic"),
    ],
)
def test_a_description_without_a_known_adjective_is_read_by_its_meaning(phrase, name):
    assert world.trait_of(phrase) == name


@pytest.mark.parametrize("phrase", ["Zorbly", "left-handed", "tall", "is a Libra", "has brown hair", "likes pizza"])
def test_what_is_not_understood_is_no_trait_and_has_no_effect(phrase):
    assert read(f"She is {phrase}.") == [None]
    assert world.desires([name for name in read(f"She is {phrase}.") if name]) == {}
    for reply in ("Sure!", "Perhaps you could first rest, because it is late. Would you like that, my dear?"):
        assert judge.manner_fit(f"She is {phrase}.", reply) == 0


def test_desires_add_up_within_their_bounds_and_cancel_out():
    traits = world.traits()
    terse = [name for name, trait in traits.items() if trait.wants.get("length") == -1][:4]
    wordy = [name for name, trait in traits.items() if trait.wants.get("length") == 1][:4]
    assert world.desires(terse)["length"] == -2
    assert "length" not in world.desires([terse[0], wordy[0]])


@pytest.mark.parametrize(
    "sentence, focus, topic",
    [
        ("She keeps a grey parrot called Pablo.", "grey parrot", "pets"),
        ("She bakes rye bread.", "rye bread", "food"),
        ("She plays the cello.", "cello", "music"),
        ("She is a nurse.", "work as a nurse", "work"),
        ("She lives in Ghent.", "place in Ghent", "home"),
        ("She minds a tarantula.", "tarantula", "pets"),
        ("Something happened.", None, None),
    ],
)
def test_a_fact_belongs_to_a_field_of_life(sentence, focus, topic):
    assert world.topic_of(sentence, focus) == topic


def test_habits_are_told_from_what_happened_once():
    assert world.is_habit("I keep bees")
    assert not world.is_habit("I have lost the thread")
    assert not world.is_habit("I waited for a parcel")


def test_a_vector_depends_on_its_text_alone():
    alone = meaning.vector("an unheard-of serval").copy()
    meaning._vector.cache_clear()
    rows = meaning.matrix(["parrot", "an unheard-of serval"])
    assert (rows[1] == alone).all()
    assert (rows**2).sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    assert meaning.matrix([]).shape == (0, 384)
