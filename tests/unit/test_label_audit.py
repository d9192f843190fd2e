"""The label audit: expected values derived by hand, limits, trees that branch."""

import numpy as np
import pandas as pd
import pytest

from aloe.audit_model import (
    RuleErrors,
    as_table,
    early_disclosure,
    judge_error,
    leak,
    length_bias,
    missed,
    position_bias,
    with_ends,
)
from aloe.dialogues import SAME
from aloe.intervals import Estimate
from aloe.label_audit import (
    Known,
    fact_table,
    inducer_by_turn,
    judge_by_turn,
    label_estimates,
    reply_table,
    verdict_table,
)
from aloe.records import DialogueTree, Persona, Turn
from aloe.telling import disclosed, facts_of, paths, told_in, words_of

NO_ERRORS = RuleErrors(1.0, 1.0, 1.0)
PROFILE = "Ann is a 40-year-old baker. She keeps a grey parrot. She sails a wooden dinghy."


def turn(name, parent=None, user="Hello.", notes="nothing yet", hinted="Aye, yes.", plain="No.", verdicts=(1, 2)):
    said = tuple(f"Preferred: {v}" if isinstance(v, int) else v for v in verdicts)
    return Turn(name, parent, user, notes, "nothing yet", hinted, plain, said, "hinted", "hinted")


def tree(*turns, profile_id="p"):
    return DialogueTree(f"tree-{profile_id}", Persona(f"train-{profile_id}", profile_id, "t", PROFILE, "Shy."), turns)


def verdicts(rows):
    """A table of (profile, turn, first, second, hinted words, plain words, better)."""
    names = {(1, 2): "hinted", (2, 1): "plain"}
    full = [
        ("tree", profile, "id", k, first, second, names.get((first, second), "tie"), long, short, better)
        for profile, k, first, second, long, short, better in rows
    ]
    columns = ["tree", "profile", "id", "turn", "first", "second", "outcome", "hinted_words", "plain_words", "better"]
    return pd.DataFrame(full, columns=columns)


def test_verdicts_that_name_a_place_or_cannot_be_read_are_kept_apart():
    found = verdict_table([tree(
        turn("a"), turn("b", "a", verdicts=(2, 1)), turn("c", "b", verdicts=(1, 1)), turn("d", "c", verdicts=(2, 2)),
        turn("e", "d", verdicts=(1, "The first.")), turn("f", "e", verdicts=(SAME, SAME)),
    )])  # fmt: skip
    assert found["outcome"].tolist() == ["hinted", "plain", "tie", "tie", "unparseable", "same"]
    assert found["hinted_words"].tolist() == [2] * 6


def test_the_depth_of_a_turn_is_that_of_its_path_also_where_a_tree_branches():
    branching = tree(turn("a"), turn("b", "a"), turn("c", "a"), turn("d", "c"))
    assert verdict_table([branching])["turn"].tolist() == [1, 2, 2, 3]
    assert [t.id for t in paths(branching)["d"]] == ["a", "c", "d"]
    with pytest.raises(ValueError, match="does not come before"):
        paths(tree(turn("b", "a")))


def test_what_one_branch_tells_the_other_does_not_know():
    found = disclosed(tree(
        turn("a", user="I sail a wooden dinghy."), turn("b", "a", user="My parrot is grey."), turn("c", "a"),
    ))  # fmt: skip
    assert found["b"].told == {1, 2}
    assert found["b"].new == {1}
    assert found["c"].told == {2}


def test_a_fact_is_told_by_two_of_three_of_its_words_in_one_message_or_in_all():
    facts = facts_of(PROFILE)
    assert [sorted(fact.words) for fact in facts][2] == ["dinghy", "sail", "wooden"]
    assert told_in(facts, words_of("A wooden dinghy!")) == {2}
    assert told_in(facts, words_of("A dinghy!")) == set()
    pieces = disclosed(tree(turn("a", user="A dinghy!"), turn("b", "a", user="It is wooden.")))["b"]
    assert (pieces.new, pieces.pieced) == (frozenset(), frozenset({2}))


def test_position_bias_is_first_named_twice_minus_second_named_twice():
    # ten pairs: three name the first in both orders, one the second, six agree: (3 - 1) / 10
    rows = [("p", 1, 1, 1, 2, 1, None)] * 3 + [("p", 1, 2, 2, 2, 1, None)] + [("q", 1, 1, 2, 2, 1, None)] * 6
    assert position_bias(verdicts(rows), 0.95).value == pytest.approx(0.2)


def judged(n_worse, worse_wrong, n_better, better_wrong, turn=1):
    """Pairs whose longer (hinted) reply is the worse one, or the better one, some of them judged wrongly."""
    rows = [(f"p{i}", turn, *((1, 2) if i < worse_wrong else (2, 1)), 9, 5, "plain") for i in range(n_worse)]
    rows += [(f"p{i}", turn, *((2, 1) if i < better_wrong else (1, 2)), 9, 5, "hinted") for i in range(n_better)]
    return rows


def test_length_bias_and_judge_error_are_told_apart():
    # l = 0.2, e = 0.1: wrong towards the longer one 0.2 + 0.8 * 0.1 = 0.28, away from it 0.8 * 0.1 = 0.08
    table = verdicts(judged(100, 28, 100, 8))
    assert length_bias(table, 0.95).value == pytest.approx(0.2)
    assert judge_error(table, 0.95).value == pytest.approx(0.1)


def test_an_error_that_differs_by_turn_does_not_pass_for_a_liking_for_length():
    # no length bias; e is 0.1 at turn 1, where the longer is mostly the worse, and 0.5 at turn 2, where mostly not
    table = verdicts(judged(80, 8, 20, 2) + judged(20, 10, 80, 40, turn=2))
    assert length_bias(table, 0.95).value == pytest.approx(0)
    assert judge_error(table, 0.95, range(1, 2)).value == pytest.approx(0.1)
    assert judge_error(table, 0.95, range(2, 3)).value == pytest.approx(0.5)


def test_without_a_reference_errors_are_not_guessed():
    table = verdicts([("p", 1, 1, 2, 9, 5, None), ("q", 1, 2, 1, 9, 5, None)])
    assert length_bias(table, 0.95) is None
    assert judge_error(table, 0.95) is None


def test_leak_and_missed_are_the_shares_of_a_rule_that_never_errs():
    # told and noted 9 of 10; untold and noted 1 of 5
    rows = [("p", True, i < 9) for i in range(10)] + [("q", False, i < 1) for i in range(5)]
    facts = pd.DataFrame(rows, columns=["profile", "told", "noted"])
    assert leak(facts, NO_ERRORS, 0.95).value == pytest.approx(0.2)
    assert missed(facts, NO_ERRORS, 0.95).value == pytest.approx(0.1)


def test_what_the_rule_misses_is_taken_out_of_the_leak():
    # 100 facts out, 100 not; the rule sees 80 of the first; 0.9 of what is out is noted and nothing else.
    # Seems untold: 20 + 100, of which 18 noted: a raw leak of 0.15, and none in truth.
    rows = [("p", True, i < 72) for i in range(80)] + [("q", False, i < 18) for i in range(120)]
    facts = pd.DataFrame(rows, columns=["profile", "told", "noted"])
    assert leak(facts, NO_ERRORS, 0.95).value == pytest.approx(0.15)
    assert leak(facts, RuleErrors(0.8, 1.0, 1.0), 0.95).value == pytest.approx(0)
    assert missed(facts, RuleErrors(0.8, 1.0, 1.0), 0.95).value == pytest.approx(0.1)


def test_early_disclosure_is_told_from_messages_that_tell_nothing():
    # a fact in 0.8 of messages and one more in 0.1: none 0.2 * 0.9 = 0.18, two 0.8 * 0.1 = 0.08
    counts = [0] * 18 + [2] * 8 + [1] * 74
    rows = pd.DataFrame({"profile": [f"p{i % 10}" for i in range(100)], "new": counts, "untold_before": 5})
    assert early_disclosure(rows, NO_ERRORS, 0.95).value == pytest.approx(0.1)
    assert early_disclosure(rows.assign(untold_before=1), NO_ERRORS, 0.95) is None


def test_a_reply_that_uses_an_untold_fact_counts_beyond_chance():
    found = reply_table([tree(
        turn("a", hinted="Ask your parrot."), turn("b", "a", user="My parrot is grey.", hinted="A parrot!"),
        turn("c", "b", hinted="A dinghy.", plain="Your dinghy."),
    )])  # fmt: skip
    assert found["untold"].tolist() == [3, 2, 2]
    assert found["excess"].tolist() == [1, 0, 0]


def test_notes_are_held_against_what_is_told_turn_by_turn():
    found = fact_table([tree(turn("a", user="I am a baker.", notes="She keeps a grey parrot. She sails."))])
    assert found["told"].tolist() == [True, False, False]
    assert found["noted"].tolist() == [False, True, False]


def test_judge_and_inducer_are_right_as_often_as_the_reference_says():
    notes = "She sails a wooden dinghy. She keeps a grey parrot."
    trees = [tree(turn("a", notes=notes)), tree(turn("b", verdicts=(2, 1)), profile_id="q")]
    reference = {
        "a": Known("hinted", "She sails a wooden dinghy.", "Shy."),
        "b": Known("hinted", "nothing yet", "nothing yet"),
    }
    assert judge_by_turn(verdict_table(trees, reference), 0.95)["accuracy"].tolist() == [0.5]
    found = inducer_by_turn(trees, reference, 0.95).set_index(["kind", "measure"])["value"]
    assert found["facts", "precision"] == 0.5
    assert found["facts", "recall"] == 1
    assert found["traits", "recall"] == 0


def test_without_a_reference_the_audit_leaves_three_numbers_open():
    told = {"user": "I sail a wooden dinghy.", "notes": "She sails a wooden dinghy."}
    trees = [tree(turn("a", **told), turn("b", "a")), tree(turn("c", **told), turn("d", "c"), profile_id="q")]
    found = label_estimates(trees, NO_ERRORS, 0.95)
    open_ = {name for name, value in found.items() if value is None}
    assert open_ == {"length_bias", "judge_error_first_half", "judge_error_second_half"}
    assert found["hinted_preferred"].value == 1


def test_estimates_become_plain_data():
    table = as_table({"leak": Estimate(0.1, None, None), "length_bias": None}, {"leak": 0.02})
    assert with_ends(table) == {"leak": {"value": 0.1, "ci": None, "planted": 0.02}}


@pytest.mark.parametrize("rates", [(0.0, 0.0, 0.0), (0.1, 0.05, 0.02), (0.3, 0.2, 0.15)])
def test_rates_drawn_from_the_model_come_back(rates):
    position, length, error = rates
    rng = np.random.default_rng(1)
    rows = []
    for i in range(20_000):
        better, longer = rng.random() < 0.8, rng.random() < 0.6  # is the hinted one
        named = longer if rng.random() < length else better != (rng.random() < error)
        first = 1 if rng.random() < position or named else 2
        second = 1 if rng.random() < position or not named else 2
        rows.append((f"p{i % 50}", 1 + i % 10, first, second, 6 + 3 * longer, 7, "hinted" if better else "plain"))
    table = verdicts(rows)
    for value, found in (
        (position, position_bias(table, 0.999)),
        (length, length_bias(table, 0.999)),
        (error, judge_error(table, 0.999)),
    ):
        assert found.low <= value <= found.high
        assert found.high - found.low < 0.06
