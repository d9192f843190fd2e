import random
from collections import Counter

import pytest
from scripted_chat import ScriptedChat

from aloe.chat import AskError
from aloe.dialogues import (
    SAME,
    Induced,
    choose_branch,
    choose_personas,
    grow_trees,
    label_of,
    parse_induced,
    parse_verdict,
)
from aloe.errors import NotEnough, UserError
from aloe.params import Trees
from aloe.records import Persona

ANA = Persona("train-p000-t000", "train-p000", "train-t000", "Ana keeps bees.", "Blunt, saying it.")


def trees(branch: str, n_turns: int) -> Trees:
    return Trees(branch=branch, tie="drop", n_trees=1, n_dev_trees=1, n_turns=n_turns)


def persona(profile: int, personality: int, split: str = "train") -> Persona:
    p, t = f"{split}-p{profile:03d}", f"{split}-t{personality:03d}"
    return Persona(f"{p}-t{personality:03d}", p, t, f"Facts {profile}.", f"Traits {personality}.")


def favour_hinted(messages) -> str:
    return "Preferred: 1" if "<reply_1>\nHinted" in messages[0].content else "Preferred: 2"


def favour_plain(messages) -> str:
    return "Preferred: 2" if "<reply_1>\nHinted" in messages[0].content else "Preferred: 1"


def scripts(**other):
    return {
        "user": lambda messages: f"Message after {messages[0].content.count('<user>')}. ",
        "inducer": "Profile: Ana keeps bees.\nPersonality: nothing yet",
        "hinted_responder": lambda messages: f"Hinted to {messages[-1].content}",
        "plain_responder": lambda messages: f"Plain to {messages[-1].content}",
        "preference_judge": favour_hinted,
    } | other


def grow(params=trees("preferred", 3), personas=(ANA,), seed=0, backwards=False, **other):  # noqa: B008
    chat = ScriptedChat(scripts(**other), backwards)
    return grow_trees(chat, personas, params, seed), chat


def test_a_turn_holds_both_replies_and_goes_on_with_the_branch():
    (tree,), chat = grow()
    assert (tree.id, tree.persona, len(tree.turns)) == ("tree-train-p000-t000", ANA, 3)
    first, second, _ = tree.turns
    assert (first.user, first.hinted, first.plain) == (
        "Message after 0.", "Hinted to Message after 0.", "Plain to Message after 0.",
    )  # fmt: skip
    assert (first.inferred_profile, first.inferred_personality) == ("Ana keeps bees.", "nothing yet")
    assert (first.label, first.verdicts, first.branch) == ("hinted", ("Preferred: 1", "Preferred: 2"), "hinted")
    assert (first.parent, second.parent) == (None, first.id)
    user_prompts = [asked.messages[0].content for asked in chat.asked if asked.role == "user"]
    assert "<assistant>Hinted to Message after 0.</assistant>" in user_prompts[1]


def test_each_role_sees_what_it_may_see_and_no_more():
    _, chat = grow()
    seen = {asked.role: "\n".join(message.content for message in asked.messages) for asked in chat.asked}
    for role in ("user", "inducer", "preference_judge"):
        assert ANA.profile in seen[role]
        assert ANA.personality in seen[role]
    assert ANA.personality not in seen["hinted_responder"]
    assert "nothing yet" in seen["hinted_responder"]
    assert ANA.profile not in seen["plain_responder"]
    last = next(asked for asked in reversed(chat.asked) if asked.role == "plain_responder")
    assert [m.role for m in last.messages] == ["system", "user", "assistant", "user", "assistant", "user"]


def test_the_rejected_reply_goes_on_where_the_preset_says_so():
    (tree,), chat = grow(trees("rejected", 2))
    assert [turn.branch for turn in tree.turns] == ["plain", "plain"]
    assert "<assistant>Plain to" in [asked for asked in chat.asked if asked.role == "user"][1].messages[0].content


@pytest.mark.parametrize(
    "judge, label",
    [
        ("Preferred: 1", "tie"),  # always the first shown: position, not content
        (favour_plain, "plain"),
        ("The first one.", "unparseable"),
    ],
)
def test_the_label_needs_both_orders_to_agree(judge, label):
    (tree,), _ = grow(preference_judge=judge)
    assert [turn.label for turn in tree.turns] == [label] * 3
    assert all((turn.preferred is None) == (label != "plain") for turn in tree.turns)


def test_an_unreadable_verdict_is_asked_once_more_with_the_form():
    (tree,), chat = grow(trees("preferred", 1),
                         preference_judge=["Well...", "Preferred: 2", "Preferred: 1"])  # fmt: skip
    # hinted first: "Well...", hinted second: "Preferred: 2", then the first again: "Preferred: 1"
    assert (tree.turns[0].label, tree.turns[0].verdicts) == ("hinted", ("Preferred: 1", "Preferred: 2"))
    repair = [asked for asked in chat.asked if asked.role == "preference_judge"][2]
    assert [m.role for m in repair.messages] == ["system", "user", "assistant", "user"]
    assert '"Preferred: 1" or "Preferred: 2"' in repair.messages[-1].content


def test_equal_replies_tie_without_asking_the_judge():
    (tree,), chat = grow(hinted_responder="Nice.", plain_responder="Nice. ")
    assert {(turn.label, turn.verdicts) for turn in tree.turns} == {("tie", (SAME, SAME))}
    assert chat.count("preference_judge") == 0


def broken_after(turns: int, name: str):
    """A user who cannot be had after some turns, in one persona's dialogue only."""

    def user(messages):
        said = messages[0].content.count("<user>")
        if name in messages[0].content and said >= turns:
            raise AskError("no reply")
        return f"Message after {said}."

    return user


def test_a_dialogue_that_cannot_go_on_is_kept_up_to_its_last_good_turn_and_reported(caplog):
    personas = [persona(i, 0) for i in range(20)]
    grown, _ = grow(personas=personas, user=broken_after(2, "Facts 7."))
    assert [tree.persona for tree in grown] == personas
    assert [len(tree.turns) for tree in grown] == [3] * 7 + [2] + [3] * 12
    assert "tree-train-p007-t000 ends after turn 2 of 3: no reply" in caplog.text


def test_a_dialogue_without_a_good_turn_is_left_out():
    grown, _ = grow(personas=[persona(i, 0) for i in range(8)], user=broken_after(0, "Facts 7."))
    assert len(grown) == 7


def test_two_broken_dialogues_of_eight_end_the_stage():
    with pytest.raises(NotEnough, match="2 of 8 dialogues could not go on, first tree-train-p006"):
        grow(personas=[persona(i, i // 6) for i in range(8)], user=broken_after(1, "Traits 1."))


def test_an_inducer_that_cannot_be_read_ends_the_dialogue(caplog):
    with pytest.raises(NotEnough, match=r"1 of 1 dialogues could not go on, .* could not be read: inducer 1\)"):
        grow(inducer="I think that Ana is nice.")
    assert "the inducer's answer is not two lines" in caplog.text


def test_trees_are_the_same_at_any_order_of_work():
    personas = [persona(i, i % 3) for i in range(12)]
    random_branch = trees("random", 3)
    forwards, _ = grow(random_branch, personas)
    backwards, _ = grow(random_branch, personas, backwards=True)
    alone, _ = grow(random_branch, personas[5:6])
    other_seed, _ = grow(random_branch, personas, seed=1)
    assert forwards == backwards
    assert forwards[5] == alone[0]
    assert forwards != other_seed
    assert {turn.branch for tree in forwards for turn in tree.turns} == {"hinted", "plain"}


@pytest.mark.parametrize("text, verdict", [("Preferred: 1", 1), (" Preferred: 2\n", 2), ("Preferred: 3", None),
                                           ("preferred: 1", None), ("Preferred: 1 or 2", None), ("", None),
                                           ("I prefer 1.\nPreferred: 1", None)])  # fmt: skip
def test_a_verdict_is_read_only_if_it_is_exactly_of_the_form(text, verdict):
    assert parse_verdict(text) == verdict


@pytest.mark.parametrize(
    "text, induced",
    [
        ("Profile: She has a cat.\nPersonality: nothing yet", Induced("She has a cat.", "nothing yet")),
        ("Profile:  a \n\nPersonality: b\n", Induced("a", "b")),
        ("Profile: a", None),
        ("Profile:\nPersonality: b", None),
        ("Personality: b\nProfile: a", None),
        ("Profile: a\nPersonality: b\nNote: c", None),
        ("Profile: a\nmore\nPersonality: b", None),
    ],
)
def test_the_inducer_is_read_only_if_there_are_exactly_two_labelled_lines(text, induced):
    assert parse_induced(text) == induced


def test_two_verdicts_make_a_label():
    assert [label_of(a, b) for a in (1, 2, None) for b in (1, 2, None)] == [
        "tie", "hinted", "unparseable", "plain", "tie", "unparseable", "unparseable", "unparseable", "unparseable",
    ]  # fmt: skip


def test_the_branch_follows_the_preset_and_is_drawn_where_nothing_is_preferred():
    rng = random.Random(0)
    assert choose_branch("hinted", "preferred", rng) == ("hinted", "preferred")
    assert choose_branch("plain", "rejected", rng) == ("hinted", "rejected")
    assert choose_branch("plain", "preferred", rng) == ("plain", "preferred")
    assert choose_branch("hinted", "rejected", rng) == ("plain", "rejected")
    for label in ("hinted", "plain", "tie", "unparseable"):
        drawn = Counter(choose_branch(label, "random", rng) for _ in range(1000))
        assert {reason for _, reason in drawn} == {"random" if label in ("hinted", "plain") else "coin"}
        assert 440 < sum(n for (source, _), n in drawn.items() if source == "hinted") < 560  # 500 +- 3.8 deviations
    assert {choose_branch("tie", "preferred", rng) for _ in range(50)} == {("hinted", "coin"), ("plain", "coin")}


def test_epsilon_takes_the_other_reply_as_often_as_it_says():
    rng = random.Random(0)
    drawn = Counter(choose_branch("plain", "epsilon", rng, 0.2) for _ in range(1000))
    assert set(drawn) == {("plain", "preferred"), ("hinted", "explored")}
    assert 152 < drawn["hinted", "explored"] < 248  # 200 +- 3.8 standard deviations of 12.6
    assert choose_branch("hinted", "epsilon", rng, 0.0) == ("hinted", "preferred")
    assert choose_branch("hinted", "epsilon", rng, 1.0) == ("plain", "explored")
    assert choose_branch("tie", "epsilon", rng, 0.2).reason == "coin"


def test_chosen_personas_are_distinct_and_spread_over_profiles_and_personalities():
    pool = [persona(p, t) for p in range(6) for t in range(4)] + [persona(0, 0, "dev")]
    chosen = choose_personas(pool, 12, "train", seed=0)
    assert len(set(chosen)) == 12
    assert all(count == 2 for count in Counter(c.profile_id for c in chosen).values())  # 12 over 6
    assert all(count == 3 for count in Counter(c.personality_id for c in chosen).values())  # 12 over 4
    assert choose_personas(pool, 20, "train", seed=0)[:12] == chosen
    assert choose_personas(pool, 12, "train", seed=1) != chosen
    assert choose_personas(pool, 1, "dev", seed=0) == [pool[-1]]


def test_more_personas_than_a_split_has_are_refused():
    with pytest.raises(UserError, match="The dev split has 1 personas, but 2"):
        choose_personas([persona(0, 0), persona(0, 0, "dev")], 2, "dev", seed=0)
