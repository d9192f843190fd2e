"""Figures are drawn from frames, on any Axes, with what they promise on them."""

import doctest
import io
import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from aloe import figure_style, figures, metrics, tidy, tree_figure
from aloe.params import load_params
from aloe.records import DialogueTree, Persona, Turn

mpl.use("Agg")
import matplotlib.pyplot as plt

POLICIES = ("base", "told", "sft_rejected", "sft_preferred", "dpo")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def judgements(policies=("base", "dpo")):
    rng = np.random.default_rng(0)
    rows = [(policy, f"p{p}-t{t}", f"p{p}", f"t{t}", k, "j", float(rng.integers(1, 6)))
            for policy, p, t, k in itertools.product(policies, range(3), range(2), range(1, 4))]  # fmt: skip
    return pd.DataFrame(rows, columns=list(metrics.COLUMNS))


def growth():
    return pd.DataFrame({"kind": ["profile"] * 3 + ["personality"] * 2, "seen": [1, 2, 3, 1, 2],
                         "pool": [1, 2, 2, 1, 2], "similarity": [0.1, 0.5, None, 0.2, 0.7]})  # fmt: skip


def table():
    frame = judgements()
    entries = {policy: metrics.summarise(own, 0.95, 50, 0) for policy, own in frame.groupby("policy")}
    entries["flat"] = metrics.summarise(judgements(["flat"]).assign(level=2.0), 0.95, 50, 0)
    return metrics.policy_table(entries)


def tree(n_turns=5):
    text = "I paid $5 for tea, then $3 more."
    labels = ("hinted", "plain", "tie", "plain", "unparseable")
    branches = ("hinted", "hinted", "plain", "plain", "plain")
    turns = [
        Turn(f"k{k}", f"k{k - 1}" if k else None, text, "She has a cat. She sings." if k else "Nothing yet", "Blunt.",
             text * 9, text, ("1", "2"), labels[k], branches[k])
        for k in range(n_turns)
    ]  # fmt: skip
    return DialogueTree("tree-a", Persona("a-b", "a", "b", "Ann.", "Blunt."), tuple(turns))


def log():
    return pd.DataFrame({"step": [1, 2, 3, 3], "split": [*["train"] * 3, "dev"], "loss": [0.7, 0.6, 0.5, 0.6],
                         "rewards/margins": [0.0, 0.1, 0.2, None],
                         "rewards/accuracies": [None, None, None, 0.6]})  # fmt: skip


POINTS = pd.DataFrame({"x": [0.0, 1.0], "y": [1.0, 0.0], "split": ["training", "benchmark"]})
DRAWN = {
    "al_curves": lambda **how: figures.al_curves(metrics.al_curve(judgements()), **how),
    "case_heatmap": lambda **how: figures.case_heatmap(judgements(["dpo"]), **how),
    "pool_growth": lambda **how: figures.pool_growth(growth(), **how),
    "similarity_histogram": lambda **how: figures.similarity_histogram(growth(), {"profile": 0.6}, **how),
    "persona_map": lambda **how: figures.persona_map(POINTS, **how),
    "length_by_turn": lambda **how: figures.length_by_turn(tidy.turn_table([tree()]), **how),
    "reveal_curve": lambda **how: figures.reveal_curve(tidy.turn_table([tree()]), **how),
    "n_ir": lambda **how: figures.estimates(table(), "n_ir", "N-IR", "share of the range a turn", **how),
    "dialogue_tree": lambda **how: tree_figure.dialogue_tree(tree(), n_turns=5, **how),
}


def words(ax):
    figure = ax.get_figure(root=True)
    return "|".join(text.get_text() for text in figure.findobj(mpl.text.Text))


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_has_a_title_its_note_and_renders_without_a_warning(name, recwarn):
    ax = DRAWN[name](note="simulated")
    assert ax.get_title(loc="left")
    assert "simulated" in words(ax)
    ax.figure.savefig(io.BytesIO(), format="svg")
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_drawn_on_the_axes_it_is_given_and_without_a_note_unless_asked(name):
    given = plt.subplots()[1]
    assert DRAWN[name](ax=given) is given
    assert "simulated" not in words(given)


@pytest.mark.parametrize("draw", [
    lambda: figures.al_curves(metrics.al_curve(judgements()).iloc[:0]),
    lambda: figures.case_heatmap(judgements(["dpo"]).iloc[:0]),
    lambda: figures.pool_growth(growth().iloc[:0]),
    lambda: figures.similarity_histogram(growth().iloc[2:3], {}),
    lambda: figures.persona_map(POINTS.iloc[:0]),
    lambda: figures.length_by_turn(tidy.turn_table([tree()]).iloc[:0]),
    lambda: figures.estimates(table().iloc[:0], "n_ir", "N-IR", "share of the range a turn"),
    lambda: figures.training_curves(log().iloc[:0]),
    lambda: tree_figure.dialogue_tree(tree(0)),
])  # fmt: skip
def test_no_data_is_refused(draw):
    with pytest.raises(ValueError, match=r"nothing to draw|expected"):
        draw()


def test_every_policy_has_its_own_colour_and_marker_and_keeps_them_in_any_company():
    styles = figure_style.policy_styles([*POLICIES, "concise", "gpt"])
    assert len({colour for colour, _ in styles.values()}) == len({marker for _, marker in styles.values()}) == 7
    assert figure_style.policy_styles(["dpo"])["dpo"] == styles["dpo"]
    evidence = figure_style.policy_styles([*load_params("evidence").benchmark.policies, "gpt"])
    assert len(set(evidence.values())) == len({marker for _, marker in evidence.values()}) == len(evidence)
    curves = figures.al_curves(metrics.al_curve(judgements(["told", "dpo"])))
    assert {line.get_label(): line.get_color() for line in curves.get_lines()} == {
        policy: styles[policy][0] for policy in ("told", "dpo")}  # fmt: skip


def test_curves_are_the_numbers_of_the_frame():
    curves = metrics.al_curve(judgements(["dpo"]))
    ax = figures.al_curves(curves)
    [line] = ax.get_lines()
    assert line.get_ydata().tolist() == curves["al"].tolist()
    [band] = ax.collections[0].get_paths()
    assert set(band.vertices[:, 1]) == {*curves["low"], *curves["high"]}


def test_a_single_profile_has_a_curve_without_a_band(recwarn):
    ax = figures.al_curves(metrics.al_curve(judgements(["dpo"]).query("profile_id == 'p0'")))
    ax.figure.savefig(io.BytesIO())
    assert len(ax.get_lines()) == 1
    assert not [path for area in ax.collections for path in area.get_paths()]
    assert not recwarn.list


def test_a_heat_map_takes_one_policy_and_says_where_a_level_is_missing():
    frame = judgements(["dpo"])
    with pytest.raises(ValueError, match="one policy expected, got those of base, dpo"):
        figures.case_heatmap(judgements())
    assert "hatched" not in figures.case_heatmap(frame).get_xlabel()
    frame.loc[0, "level"] = None
    ax = figures.case_heatmap(frame)
    assert "hatched: no level" in ax.get_xlabel()
    assert ax.get_images()[0].get_array().shape == (6, 3)


def test_a_policy_without_n_ir_says_so():
    assert words(figures.estimates(table(), "n_ir", "N-IR", "a turn")).count("not defined") == 1


def test_differences_look_alike_and_the_level_of_intervals_is_said():
    compared = pd.DataFrame({"policy": ["dpo - base", "told - dpo"], "ir": [0.1, 0.2], "ir_low": [0.0, 0.1],
                             "ir_high": [0.2, 0.3]})  # fmt: skip
    ax = figures.estimates(compared, "ir", "IR", "levels a turn", confidence=0.9)
    assert ax.get_xlabel() == "levels a turn, 90% interval"
    assert {line.get_color() for line in ax.get_lines()} == {figure_style.INK}


def test_training_curves_have_a_panel_for_each_measure_in_the_log():
    axes = figures.training_curves(log(), note="simulated")
    assert [ax.get_title(loc="left") for ax in axes] == ["Loss", "Reward margin", "Reward accuracy"]
    assert [line.get_ydata().tolist() for line in axes[0].get_lines()] == [[0.7, 0.6, 0.5], [0.6]]
    assert len(figures.training_curves(log()[["step", "split", "loss"]])) == 1
    with pytest.raises(ValueError, match="reward"):
        figures.training_curves(log()[["step", "split"]])


def test_a_dialogue_tree_shows_the_text_as_it_is_and_marks_the_branch_taken():
    drawn = words(tree_figure.dialogue_tree(tree(), n_turns=5))
    assert "$5 for tea, then $3" in drawn
    assert drawn.count("CONTINUED") == 5
    assert drawn.count("TIE") == drawn.count("UNPARSEABLE") == 2
    assert "HINTED REPLY, REJECTED, CONTINUED" in drawn  # turn 2: plain preferred, hinted continued
    assert drawn.count("…") == 5  # long hinted replies are shortened


def test_docstring_examples_are_true():
    assert doctest.testmod(tidy) == (0, 2)


def test_turns_are_tabulated_with_words_and_items():
    found = tidy.turn_table([tree()])
    # "I paid $5 for tea, then $3 more." has 8 words; nine of them without a space between run together: 8 * 9 - 8
    assert found["user_words"].tolist() == [8] * 5
    assert found["hinted_words"].tolist() == [64] * 5
    assert found["preferred_words"].tolist()[:2] == [64, 8]
    assert found["preferred_words"].isna().tolist() == [False, False, True, False, True]
    assert found["facts"].tolist() == [0, 2, 2, 2, 2]
    assert found["traits"].tolist() == [1] * 5
    with pytest.raises(ValueError, match="no turn"):
        tidy.turn_table([])


@pytest.mark.parametrize("text, items", [
    ("nothing yet", 0), ("Nothing yet.", 0), ("", 0), ("She is 40. She sings", 2), ("a cat; two dogs", 2),
    ("Up at 4.30 a day.", 1)])  # fmt: skip
def test_items_of_an_induced_persona_are_counted(text, items):
    assert tidy.count_items(text) == items
