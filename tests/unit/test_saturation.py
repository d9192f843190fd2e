"""How long the persona writer is asked: what was counted, and the limits."""

import dataclasses

import pytest

from aloe import personas, saturation
from aloe.params import load_params
from aloe.saturation import writer_calls

BASE = load_params("sandbox").personas  # 20 texts a call, windows of 200, until fewer than 3 in 10 are kept


def calls(**values):
    return writer_calls(dataclasses.replace(BASE, **values))


@pytest.mark.parametrize(
    ("values", "counted"),
    [
        ({}, (88 + 48 + 80 + 80 + 72 + 64) / 3),  # of three seeds
        ({"min_accept_share": 0.5}, 24 + 24),
        ({"min_accept_share": 0.6, "window": 100}, 16 + 16),
        ({"min_accept_share": 0.4, "window": 400}, 40 + 40),
        ({"min_accept_share": 0.4, "window": 100}, 48 + 32),
        ({"min_accept_share": 0.5, "batch": 5}, 96 + 72),
        ({"min_accept_share": 0.5, "threshold_profiles": 0.82, "threshold_personalities": 0.76}, 48 + 40),
        ({"threshold_profiles": 0.7, "threshold_personalities": 0.65}, 16 + 16),
    ],
)
def test_the_calls_to_expect_are_near_those_that_were_counted_in_the_sandbox(values, counted):
    assert calls(**values) == pytest.approx(counted, rel=0.15)


def test_a_pool_is_looked_at_after_a_round_of_a_full_window_and_not_asked_beyond_the_most():
    # A window of 200 texts is full in the second round of 8 calls; that none of it was refused is not to be expected.
    assert calls(min_accept_share=1.0) == 16 + 16
    assert calls(min_accept_share=0.0) == 400 + 400
    assert calls(max_calls=10) == 10 + 10


def test_rounds_are_those_in_which_the_writer_is_asked():
    assert saturation.CALLS_PER_ROUND == personas.CALLS_PER_ROUND
