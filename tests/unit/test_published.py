"""Published rows scored again: agreement, intervals by hand, and what a dependence between turns does."""

from string import Template

import numpy as np
import pytest

from aloe import published
from aloe.params import ROOT
from aloe.published import Row

TOY = Row("toy", "nowhere", 4, (0.0, 50.0, 100.0), 50.0, 0.5, 1.0)  # a straight ramp: IR 50, N-IR 50 / 100, R2 1


def test_every_published_number_follows_from_its_curve():
    rows = published.read_rows()
    assert [row.n_cases for row in rows] == [74] * 4
    assert not [row.name for row in rows if published.wrong_slope(row) or published.wrong_average(row)]
    assert published.verdict(rows).count("in all 4 rows") == 2


def test_a_number_that_does_not_follow_is_named():
    wrong = TOY._replace(average=51.0, n_r2=0.9)
    assert not published.wrong_slope(TOY)
    assert not published.wrong_average(TOY)
    assert "in all rows but toy. AVG" in published.verdict([wrong])
    assert "in all rows but toy (51.00, not 50.00)." in published.verdict([wrong])


def test_a_curve_that_is_constant_at_first_or_later_has_no_n_ir_and_breaks_no_table():
    flat, late = TOY._replace(levels=(50.0,) * 3), TOY._replace(levels=(0.0, 50.0, 50.0))
    assert "| toy | 50.00 | 50.00 | 0.500 | none | 1.000 | none |" in published.printed_table([flat])
    assert published.later_table([flat]).endswith("| +0.0 | +0.00 | +0.00 | none | none |")
    assert published.later_table([late]).endswith("| +50.0 | +25.00 | +0.00 | +0.500 | none |")
    assert published.wrong_slope(flat)
    never = TOY._replace(levels=(0.0,) * 3)
    assert "| none | none |" in published.spreads_table([never])
    assert published.band_sentences([never]) == "- toy: there is no band."


def test_percentages_are_whole_numbers_of_cases_or_refused(tmp_path):
    assert published.counts(TOY) == [0, 2, 4]
    assert published.counts(published.read_rows()[0])[:2] == [6, 30]  # 6 / 74 = 8.11%, 30 / 74 = 40.54%
    bad = tmp_path / "rows.csv"
    bad.write_text(published.ROWS.read_text().replace("8.11", "8.5"))
    with pytest.raises(ValueError, match=r"Self-Critic: no number of 74 cases gives 8\.5%"):
        published.read_rows(bad)


def test_the_interval_of_no_case_in_74_goes_up_to_z_squared_over_n_plus_z_squared():
    # Wilson at 0 of n: high = z^2 / (n + z^2) = 3.8415 / 77.8415 = 4.9%
    assert "| 1 | 0.0 [0.0, 4.9] |" in published.turns_table(published.read_rows()[1:2])


@pytest.mark.parametrize("autocorrelation, shared", [(0.0, 0.25), (0.6, None), (1.0, 0.5)])
def test_repetitions_have_the_true_shares_and_the_dependence_that_was_asked_for(autocorrelation, shared):
    # cases with a score of 1 at both of two turns of share 1/2: 1/4 if independent, 1/2 if nested
    scores = published._uniform(20, 3, autocorrelation) < np.array([0.5, 0.5, 0.25])
    assert scores.mean(axis=(0, 1)) == pytest.approx([0.5, 0.5, 0.25], abs=0.01)
    both = (scores[:, :, 0] & scores[:, :, 1]).mean()
    if shared is None:  # bivariate normal: 1/4 + arcsin(0.6) / (2 pi) = 0.3524
        shared = 0.25 + np.arcsin(0.6) / (2 * np.pi)
    assert both == pytest.approx(shared, abs=0.01)


def test_the_spread_of_a_slope_is_the_one_worked_out_by_hand():
    # three independent turns of share 1/2, 100 cases: IR = (AL(3) - AL(1)) / 2, variance of AL(k) 0.25 / 100, so the
    # standard deviation of IR is sqrt(2 x 25) / 2 = 3.536 points, and 95% lie within 1.96 of them: 6.93
    assert published.spread([0.5] * 3, 100, 0.0).ir == pytest.approx((-6.93, 6.93), abs=0.35)


def test_nested_turns_without_a_trend_have_no_band_and_a_certain_ramp_no_spread():
    assert published.null_band(TOY, 1.0) is None
    assert published.spread([0.0, 0.0, 1.0], 4, 0.0) == published.Spread((50.0, 50.0), (0.5, 0.5))
    assert "perfectly nested | 50.00 [" in published.spreads_table([TOY])


def test_neighbouring_turns_that_are_alike_widen_the_null_band():
    row = published.read_rows()[0]
    independent, alike = (published.null_band(row, correlation) for correlation in (0.0, 0.6))
    assert independent == pytest.approx((-0.067, 0.067), abs=0.004)  # as of any flat curve of ten turns
    assert alike[1] > independent[1] + 0.01
    assert "inside its band under some only: AR(1), 0.6" in published.band_sentences([row])


def test_the_first_turn_is_taken_out_of_the_slope():
    # 0, 60, 70, 80: IR (-1.5 x 0 - 0.5 x 60 + 0.5 x 70 + 1.5 x 80) / 5 = 25; from turn 2 on 10, N-IR 10 / 20
    row = TOY._replace(levels=(0.0, 60.0, 70.0, 80.0))
    assert "| toy | +60.0 | +25.00 | +10.00 | +0.312 | +0.500 |" in published.later_table([row])


def test_the_page_types_no_number_of_its_own_and_leaves_no_field():
    page = (ROOT / "aloe" / "report" / "pages" / "published-numbers.md").read_text(encoding="utf-8")
    fields = published.page_fields(100, 10)
    assert "$" not in Template(page).substitute(fields)
    assert set(Template(page).get_identifiers()) == set(fields)
    assert fields["ramp_n_irs"] == "0.111 and 0.111"  # any ramp of ten turns: 1 / 9
    assert fields["ramp_irs"] == "0.010 and 0.444"  # 4 levels in 9 steps
    assert (fields["own_n"], fields["narrower"]) == ("100", "1.16")  # sqrt(100 / 74)
