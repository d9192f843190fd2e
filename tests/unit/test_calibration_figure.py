"""The calibration figure shows the pairs of every kind, both thresholds, and a ROC curve through the marked cut."""

import matplotlib as mpl
import pandas as pd
import pytest

from aloe.calibration_figure import calibration

mpl.use("Agg")
import matplotlib.pyplot as plt

CUTS, THRESHOLDS = {"profile": 0.6, "personality": 0.75}, {"profile": 0.5, "personality": 0.7}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def pairs():
    rows = [("profile", "distinct", 0.1), ("profile", "distinct", 0.7), ("profile", "duplicate", 0.9),
            ("personality", "distinct", 0.4), ("personality", "duplicate", 0.8)]  # fmt: skip
    return pd.DataFrame(rows, columns=["kind", "label", "similarity"])


def test_there_is_a_panel_per_kind_and_one_for_the_curves():
    axes = calibration(pairs(), CUTS, THRESHOLDS, note="simulated")
    assert [ax.get_title(loc="left") for ax in axes] == [
        "Labelled pairs: profile", "Labelled pairs: personality", "ROC: all cuts",
    ]  # fmt: skip
    assert "simulated" in [text.get_text() for text in axes[0].figure.texts]
    named = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert named == ["distinct", "duplicate", "calibrated cut 0.60", "this run's threshold 0.5"]


def test_the_marked_cut_is_where_the_rates_above_it_say():
    roc = calibration(pairs(), CUTS, THRESHOLDS)[-1]
    marked = {line.get_label(): line.get_xydata().tolist() for line in roc.lines}
    # profile, cut 0.6: of two distinct pairs one (0.7) is above, of one duplicate one; personality, cut 0.75: 0 and 1
    assert marked["profile, calibrated cut"] == [[0.5, 1.0]]
    assert marked["personality, calibrated cut"] == [[0.0, 1.0]]


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match="at least one labelled pair"):
        calibration(pairs().head(0), CUTS, THRESHOLDS)
