"""The sandbox's small English: the first person, what there is to talk about, words and stems."""

import pytest

from aloe.sandbox.facts import read_profile
from aloe.sandbox.language import (
    article,
    capitalise,
    content_words,
    first_person_verb,
    gerund,
    noun_phrase,
    sentences,
    stem,
)

SHE, HE = "Oksana is a 29-year-old midwife from Lviv.", "His name is Ethan."
THEY = "Alex is an 18-year-old waiter. They keep two rats. They own a kayak."


def fact_of(opening, sentence):
    """The fact of a sentence in the profile of somebody who is introduced by an opening."""
    return read_profile(f"{opening} {sentence}")[1][-1]


@pytest.mark.parametrize(
    "opening, sentence, clause",
    [
        (SHE, "She keeps a grey parrot.", "I keep a grey parrot"),
        (SHE, "She is allergic to peanuts.", "I am allergic to peanuts"),
        (SHE, "She has never seen the sea.", "I have never seen the sea"),
        (SHE, "She cannot eat peanuts.", "I cannot eat peanuts"),
        (SHE, "Oksana teaches the harp.", "I teach the harp"),
        (SHE, "She lives with her aunt and has her own key.", "I live with my aunt and have my own key"),
        (SHE, "Her brother teaches her Punjabi.", "my brother teaches me Punjabi"),
        (SHE, "Her father mends trams for the city.", "my father mends trams for the city"),
        (HE, "He is a 35-year-old engineer living in Seattle.", "I am an engineer living in Seattle"),
        (HE, "He writes letters to himself.", "I write letters to myself"),
        (HE, "His sister writes him letters.", "my sister writes me letters"),
        (HE, "He studies his grandfather's maps.", "I study my grandfather's maps"),
        (THEY, "They are learning to play the harp.", "I am learning to play the harp"),
        (THEY, "They keep two rats.", "I keep two rats"),
        (THEY, "Their mother visits them on Sundays.", "my mother visits me on Sundays"),
    ],
)
def test_a_fact_becomes_what_its_owner_says(opening, sentence, clause):
    assert fact_of(opening, sentence).clause == clause


@pytest.mark.parametrize(
    "sentence, topic",
    [
        ("She keeps a grey parrot called Pablo.", "grey parrot"),
        ("She rents an attic with a sloping ceiling.", "attic"),
        ("She is a nurse from Porto.", "work as a nurse"),
        ("She is a retired teacher.", "years as a teacher"),
        ("She is a student of law.", "studies"),
        ("She works at the harbour.", "job at the harbour"),
        ("She works as an usher.", "work as an usher"),
        ("She lives in Cork.", "place in Cork"),
        ("She grew up in Dakar.", "years in Dakar"),
        ("She speaks Welsh at home.", "Welsh"),
        ("She spends every August in the Black Forest.", "time in the Black Forest"),
        ("She sings in a gospel choir on Tuesdays.", "gospel choir"),
        ("She swims before work.", "swimming"),
        ("She enjoys bouldering at a gym.", "bouldering"),
        ("She is allergic to peanuts.", "peanut allergy"),
        ("She is learning to play the harp.", "harp"),
        ("She carries a box of matches.", "matches"),
        ("She often plays chess in the park.", "chess"),
        ("Her younger sister races go-karts.", "younger sister"),
    ],
)
def test_a_fact_has_something_to_ask_after(sentence, topic):
    fact = fact_of(SHE, sentence)
    assert (fact.topic, fact.mine(), fact.yours()) == (topic, f"my {topic}", f"your {topic}")


def test_a_person_takes_no_possessive():
    fact = fact_of(SHE, "She is married to Pavel.")
    assert (fact.mine(), fact.yours()) == ("Pavel", "Pavel")


@pytest.mark.parametrize("sentence", ["She has never seen the sea.", "She lives alone.", "She sleeps badly."])
def test_what_cannot_be_taken_apart_gets_no_topic_rather_than_a_wrong_one(sentence):
    assert fact_of(SHE, sentence).topic is None


@pytest.mark.parametrize(
    "text, name",
    [
        (SHE, "Oksana"),
        (HE, "Ethan"),
        ("Mei-Ling works in Taipei.", "Mei-Ling"),
        ("Ana Silva is a cook.", "Ana"),
        ("She keeps bees.", None),
        ("", None),
    ],
)
def test_the_owner_has_the_name_that_the_profile_gives(text, name):
    assert read_profile(text)[0] == name


def test_a_sentence_about_nobody_is_no_fact():
    assert read_profile("The weather is fine. It rains.")[1] == ()


def test_age_is_no_part_of_the_clause():
    assert read_profile(SHE)[1][0].clause == "I am a midwife from Lviv"


@pytest.mark.parametrize(
    "text",
    ["", " \n", "?!", ". . .", "She", "She keeps , ; :", "My ; dog", "😀 " * 50, "Ő is ő.", "her " * 400, "I I I I"],
)
def test_odd_texts_are_read_without_an_error(text):
    name, facts = read_profile(text)
    assert name is None or name in text
    assert all(fact.clause for fact in facts)


def test_sentences_do_not_end_at_initials_and_titles():
    text = "Dr. Weber lives at St. Ives.  J. Smith\nasked why? Yes!"
    assert sentences(text) == ["Dr. Weber lives at St. Ives.", "J. Smith asked why?", "Yes!"]


def test_forms_of_a_word_share_a_stem_and_unlike_words_do_not():
    for family in (("garden", "gardens", "gardening"), ("bake", "bakes", "baking", "baked"), ("berry", "berries")):
        assert len({stem(word) for word in family}) == 1
    assert len({stem(word) for word in ("cat", "cart", "chess", "cheese", "glass")}) == 5


def test_content_words_leave_out_what_every_sentence_has():
    assert content_words("I have been to the gym every day with my grey-haired dogs.") == {"gym", "grey", "hair", "dog"}


def test_verbs_and_articles_take_the_right_form():
    verbs = ("is", "has", "goes", "watches", "studies", "misses", "can", "wrote")
    assert [*map(first_person_verb, verbs)] == ["am", "have", "go", "watch", "study", "miss", "can", "wrote"]
    assert [gerund(verb) for verb in ("runs", "makes", "reads", "sees")] == ["running", "making", "reading", "seeing"]
    phrases = ("owl", "union", "hour", "eel", "European")
    assert [article(phrase)[:2] for phrase in phrases] == ["an", "a ", "a ", "an", "a "]
    assert capitalise("my dog, Rex") == "My dog, Rex"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("two lively stepsons", "two lively stepsons"),
        ("tiny bowls sell at the market", "tiny bowls"),
        ("apple trees", "apple trees"),
        ("chamber concerts took up the whole of Saturday", "chamber concerts"),
        ("twin sister plays the harp", "twin sister"),
        ("dog barks at night", "dog"),
        ("colony of harvest mice", "harvest mice"),
        ("two", None),
        ("tiny", None),
    ],
)
def test_a_plural_is_no_verb_and_an_adjective_no_topic(text, expected):
    assert noun_phrase(text.split(), stop_at_verb=True) == expected
