"""The simulated judges: what they read in a reply, what they score, and the errors that are planted in them."""

import functools
import json
import random
from pathlib import Path

import pytest
from sandbox_talk import CLEAN, preferred, scored

from aloe.sandbox import judge
from aloe.sandbox.model import Knobs

DATA = Path(__file__).parents[1] / "data"
PERSONA = ("Ana is a nurse from Porto. She plays the cello.", "She is impatient. She is blunt.")
MESSAGE = "I keep a grey parrot and it has stopped talking."
SHORT = "Call the vet about your parrot."
LONG = (
    "Oh, maybe you could perhaps wait a little, dear, and possibly see how it all feels after the winter, "
    "and then think of it once more."
)


@functools.cache
def by_hand(name):
    """Cases with replies written by hand: tailored, generic, mismatched."""
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


@functools.cache
def fits(name):
    kinds = ("tailored", "generic", "mismatched")
    return [[judge.fit(c["profile"], c["personality"], c["user"], c[kind]) for kind in kinds] for c in by_hand(name)]


def knobs(**rates):
    return Knobs(**{**vars(CLEAN), **rates})


def share(truths):
    truths = list(truths)
    return sum(truths) / len(truths)


def test_levels_run_from_no_better_than_any_answer_to_right_in_every_respect():
    assert [judge.level(fit) for fit in (-1, 0, 0.2, 0.4, 0.6, 0.8, 1)] == [1, 1, 2, 3, 4, 5, 5]
    assert sum(judge.WEIGHTS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    "dimension, high, low",
    [
        ("length", LONG * 3, SHORT),
        ("exclamation", "Call the vet!", SHORT),
        ("questions", "What does the vet say?", SHORT),
        ("hedging", "Perhaps you could call the vet.", SHORT),
        ("warmth", "I am so happy for you, what a lovely bird.", "It is a bird. It eats at noon."),
        ("play", "Ha, it must be laughing at us.", SHORT),
        ("structure", "First call the vet, then wait.", SHORT),
    ],
)
def test_the_judge_reads_manner_as_features_of_the_text(dimension, high, low):
    assert judge.features(high)[dimension] == 1
    assert judge.features(low)[dimension] == -1


def test_a_reply_in_the_manner_that_is_wanted_fits_better_than_its_opposite():
    assert judge.manner_fit(PERSONA[1], SHORT) > 0 > judge.manner_fit(PERSONA[1], LONG)


def test_content_counts_the_own_life_and_takes_off_for_a_strangers():
    profile = f"{PERSONA[0]} She keeps a grey parrot."
    content = functools.partial(judge.content_fit, profile, MESSAGE)
    assert content("Call the vet.") == 0
    assert content("Your parrot may be moulting.") == 0.35  # what was said
    assert content("Play the cello.") == 0.65  # another fact
    assert content("Your parrot and the cello can wait.") == pytest.approx(1.0)  # both
    assert content("Ask your accountant.") == -0.5  # somebody else's
    assert content("Go sailing.") == -0.2  # nobody's


def test_a_reply_near_in_meaning_to_the_facts_and_the_message_is_more_relevant():
    anybody, own = "That sounds about right.", "A parrot that stops talking may be missing the cello."
    assert judge.relevance(PERSONA[0], MESSAGE, own) > judge.relevance(PERSONA[0], MESSAGE, anybody) + 0.1
    assert judge.relevance("", MESSAGE, own) == 0


def test_a_list_or_a_lecture_is_not_human():
    assert judge.human_fit("I would call the vet, if it were my bird.") == 1
    assert judge.human_fit("- vet\n- food\n- rest") < 0.5
    assert judge.human_fit("As an AI, I cannot say what you should do.") < 1


@pytest.mark.parametrize("name", ["judge_dev", "judge_test", "judge_test_2"])
def test_replies_written_by_hand_are_ranked_tailored_over_generic_over_mismatched(name):
    """All three in order by chance: one in six. The last set was written after the judge was done."""
    ranked = fits(name)
    assert share(tailored > generic > mismatched for tailored, generic, mismatched in ranked) >= 0.8
    assert share(tailored > mismatched for tailored, _, mismatched in ranked) >= 0.95


@pytest.mark.parametrize("name", ["judge_dev", "judge_test"])
def test_the_score_goes_with_the_fit_when_no_error_is_planted(name):
    for case, values in zip(by_hand(name)[:8], fits(name)[:8], strict=True):
        persona = (case["profile"], case["personality"])
        assert scored(persona, case["user"], case["tailored"]) == judge.level(values[0])


def test_a_judge_error_moves_a_score_by_one_step_and_never_off_the_scale():
    rng = random.Random(0)
    assert {judge.rate(0.4, 1.0, rng) for _ in range(50)} == {2, 4}
    assert {judge.rate(-1.0, 1.0, rng) for _ in range(50)} == {2}
    assert {judge.rate(1.0, 1.0, rng) for _ in range(50)} == {4}
    wrong = share(judge.rate(0.4, 0.1, rng) != 3 for _ in range(2000))
    assert abs(wrong - 0.1) <= 0.02  # three standard errors


def test_without_errors_the_better_reply_is_preferred_in_either_order():
    for case, values in zip(by_hand("judge_dev"), fits("judge_dev"), strict=True):
        persona, replies = (case["profile"], case["personality"]), (case["tailored"], case["mismatched"])
        best = 1 if values[0] > values[2] else 2
        assert preferred(persona, case["user"], replies) == best
        assert preferred(persona, case["user"], replies[::-1]) == 3 - best


def test_a_judge_error_turns_the_verdict_around_in_either_order():
    assert preferred(PERSONA, MESSAGE, (SHORT, LONG)) == 1
    assert preferred(PERSONA, MESSAGE, (SHORT, LONG), knobs=knobs(judge_error=1.0)) == 2
    assert preferred(PERSONA, MESSAGE, (LONG, SHORT), knobs=knobs(judge_error=1.0)) == 1


def test_a_judge_may_err_at_one_turn_and_not_at_another():
    by_turn = knobs(judge_error_by_turn=[0.0, 1.0])
    assert preferred(PERSONA, MESSAGE, (SHORT, LONG), knobs=by_turn) == 1
    assert [by_turn.error_at(turn) for turn in (1, 2, 3, 9)] == [0.0, 1.0, 1.0, 1.0]
    assert preferred(PERSONA, MESSAGE, (SHORT, LONG), knobs=knobs(judge_error_by_turn=[1.0])) == 2
    assert knobs(judge_error=0.3).error_at(7) == 0.3


def test_a_position_bias_takes_the_first_reply_whatever_it_says():
    for replies in ((SHORT, LONG), (LONG, SHORT), (SHORT, SHORT)):
        assert preferred(PERSONA, MESSAGE, replies, knobs=knobs(position_bias=1.0)) == 1


def test_a_length_bias_takes_the_longer_reply_in_either_order():
    assert preferred(PERSONA, MESSAGE, (SHORT, LONG), knobs=knobs(length_bias=1.0)) == 2
    assert preferred(PERSONA, MESSAGE, (LONG, SHORT), knobs=knobs(length_bias=1.0)) == 1


def test_verdicts_err_at_the_planted_rates():
    """400 verdicts each: three standard errors of a rate of 0.2 are 0.06."""
    seeds = range(400)
    wrong = share(preferred(PERSONA, MESSAGE, (SHORT, LONG), seed=s, knobs=knobs(judge_error=0.2)) == 2 for s in seeds)
    first = share(
        preferred(PERSONA, MESSAGE, (LONG, SHORT), seed=s, knobs=knobs(position_bias=0.2)) == 1 for s in seeds
    )
    assert abs(wrong - 0.2) <= 0.06
    assert abs(first - 0.2) <= 0.06


def test_equal_replies_are_a_toss_of_a_coin():
    firsts = share(preferred(PERSONA, MESSAGE, (SHORT, SHORT), seed=seed) == 1 for seed in range(400))
    assert abs(firsts - 0.5) <= 0.075


def test_with_no_effect_the_judges_ignore_the_persona():
    """70 cases: three standard errors of a share of a half are 0.18, of a mean of scores about 0.5."""
    null = knobs(effect=0.0)
    wins, gaps = [], []
    for seed, case in enumerate([*by_hand("judge_dev"), *by_hand("judge_test")]):
        persona, replies = (case["profile"], case["personality"]), (case["tailored"], case["mismatched"])
        verdict = preferred(persona, case["user"], replies, seed=seed, knobs=null)
        assert preferred(persona, case["user"], replies[::-1], seed=seed, knobs=null) == 3 - verdict
        wins.append(verdict == 1)
        scores = [scored(persona, case["user"], reply, seed=seed, knobs=null) for reply in replies]
        gaps.append(scores[0] - scores[1])
    assert abs(share(wins) - 0.5) <= 0.18
    assert abs(sum(gaps) / len(gaps)) <= 0.5
