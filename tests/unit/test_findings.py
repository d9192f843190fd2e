"""Findings: tables and sentences say what the intervals of a run show, and no more."""

import doctest

import pytest

from aloe import findings
from aloe.findings import (
    NBSP,
    dal_sentence,
    differences_table,
    growth,
    halves_sentence,
    manner_sentence,
    novelty_sentence,
    policies_table,
    verdict,
)


def dimension(low, high, beyond_low=None, beyond_high=None):
    return {"difference": (low + high) / 2, "low": low, "high": high, "beyond_low": beyond_low,
            "beyond_high": beyond_high}  # fmt: skip


BENCHMARK = {
    "policies": {"base": {}, "dpo": {}, "mine": {}},
    "recalled": {"base": {"above": 0.01, "low": -0.02, "high": 0.04}, "dpo": {"above": 0.3, "low": 0.2, "high": 0.4}},
    "manner": {
        "base": {"length": dimension(-1, 3), "play": dimension(0.1, 0.3)},
        "dpo": {"length": dimension(-3, -1, -4, -2), "play": dimension(0.3, 0.5, 0.1, 0.3)},
    },
    "differences": {"dpo - base": {"al_mean": 0.875, "al_mean_ci": [0.5, 1.25], "ir": 0.01, "ir_ci": [-0.01, 0.03]}},
}  # fmt: skip


def test_docstring_examples_are_true():
    assert doctest.testmod(findings).failed == 0


def test_a_line_says_what_a_policy_is_and_what_is_shown_of_it():
    base, dpo, mine = policies_table(BENCHMARK).replace(NBSP, " ").splitlines()[2:]
    assert base == "| `base` | the model before training | 0.01 [-0.02, 0.04] | 1 of 2: play | – |"
    assert dpo.endswith("| 0.30 [0.20, 0.40] | 1 of 2: play; against in length | 1 of 2: play; against in length |")
    assert mine == "| `mine` | a policy of this preset | – | – | – |"
    arm = policies_table({**BENCHMARK, "arms": {"mine": {"reference": "dpo"}}}).splitlines()[-1]
    assert arm == "| `mine` | an arm: trained as `dpo`, but for a choice of its own | – | – | – |"


def test_facts_and_manner_are_shown_only_where_the_interval_says_so():
    text = manner_sentence(BENCHMARK)
    assert "again more often than by chance by `dpo`." in text
    assert "is shown for `dpo` (play); in no dimension for `mine`." in text
    assert manner_sentence({"policies": {"base": {}}}) == ""


def test_dal_is_said_by_its_interval_or_that_there_is_none():
    policies = {
        "base": {"dal": 0.1, "dal_ci": [-0.1, 0.3]},
        "dpo": {"dal": 1.0, "dal_ci": [0.5, 1.5]},
        "odd": {"dal": -1.0, "dal_ci": [-1.5, -0.5]},
        "mine": {"dal": None, "dal_ci": None},
    }
    assert dal_sentence({"policies": policies}) == (
        "By dAL, replies are not told apart from replies to anybody with `base`; rated higher for their own user than "
        "for a stranger with `dpo`; rated lower for their own user than for a stranger with `odd`."
    )
    gaps = {"dpo - base": {"dal": 0.9, "dal_ci": [0.4, 1.4]}, "odd - base": {"dal": 0.1, "dal_ci": [-0.4, 0.6]},
            "dpo - odd": {"dal": 2.0, "dal_ci": [1.0, 3.0]}}  # fmt: skip
    said = dal_sentence({"policies": policies, "differences": gaps})
    assert said.endswith(" On the same people, dAL is above that of `base` with `dpo`.")
    assert "were not judged for strangers" in dal_sentence({"policies": {"base": {}}})


def test_paired_differences_have_their_sign_and_a_word():
    known = BENCHMARK["differences"]["dpo - base"]
    assert differences_table(BENCHMARK).replace(NBSP, " ").splitlines()[2] == (
        "| `dpo` − `base` | +0.88 [+0.50, +1.25] | – | +0.010 [-0.010, +0.030] | higher | – |"
    )
    both = {"differences": {"dpo - base": {**known, "dal": -0.25, "dal_ci": [-0.75, 0.25]}}}
    assert differences_table(both).replace(NBSP, " ").splitlines()[2] == (
        "| `dpo` − `base` | +0.88 [+0.50, +1.25] | -0.25 [-0.75, +0.25] | +0.010 [-0.010, +0.030] | higher | "
        "not told apart |"
    )
    assert differences_table({"policies": {}}) == ""


@pytest.mark.parametrize("value, limits, word", [
    (1.0, [0.5, 1.5], "higher"), (-1.0, [-2, -0.5], "lower"), (1.0, [0, 2], "not told apart"),
    (1.0, None, "not told apart"), (1.0, [None, None], "not told apart"),
])  # fmt: skip
def test_a_verdict_needs_an_interval_on_one_side_of_zero(value, limits, word):
    assert verdict(value, limits) == word


@pytest.mark.parametrize("ir_ci, n_ir, said", [
    ([0.05, 0.1], 0.078, "growing; N-IR 0.078 lies inside its band -0.080 to 0.080: a rise, but one whose shape"),
    ([0.05, 0.1], 0.1, "growing; N-IR 0.100 lies outside its band -0.080 to 0.080: the two agree."),
    ([-0.05, 0.1], 0.01, "not shown to change; N-IR 0.010 lies inside its band -0.080 to 0.080: the two agree."),
    ([-0.05, 0.1], 0.1, "not shown to change; N-IR 0.100 lies outside its band -0.080 to 0.080: a shape that noise"),
    ([0.05, 0.1], None, "its curve has no N-IR with a band; by IR its alignment is growing."),
])  # fmt: skip
def test_growth_by_ir_and_by_n_ir_are_set_beside_each_other(ir_ci, n_ir, said):
    policy = {"ir": 0.075, "ir_ci": ir_ci, "n_ir": n_ir, "n_ir_null_band": [-0.08, 0.08]}
    assert said in growth("dpo", policy)


def test_new_facts_against_known_ones_in_a_sentence():
    gaps = {
        "base": {"difference": -0.1, "low": -0.3, "high": 0.1},
        "dpo": {"difference": -0.2, "low": -0.3, "high": -0.1},
        "mine": {"difference": -0.2, "low": None, "high": None},
    }
    assert novelty_sentence("Recalled", gaps) == (
        "Recalled: not told apart with `base` and `mine`; lower for new facts with `dpo`."
    )
    assert novelty_sentence("Recalled", {}) == "Recalled: no profile has both new facts and known ones."


def test_a_lead_that_does_not_last_is_said_and_one_that_does_is_not():
    lasts = {"early": 1.0, "early_ci": [0.5, 1.5], "late": 2.0, "late_ci": [1.0, 3.0]}
    ends = {"early": 0.25, "early_ci": [0.125, 0.375], "late": -0.5, "late_ci": [-1.25, 0.25]}
    said = halves_sentence({"differences": {"dpo - base": lasts, "dpo - sft_preferred": ends}}).replace(NBSP, " ")
    assert said == ("Early and late in the conversation: `dpo` − `sft_preferred` is higher over the first half of the "
                    "turns (+0.25 [+0.12, +0.38]) and not told apart over the second "
                    "(-0.50 [-1.25, +0.25]).")  # fmt: skip
    assert "no verdict is another" in halves_sentence({"differences": {"dpo - base": lasts}})
    assert halves_sentence(BENCHMARK) == ""  # of a run before halves were compared
