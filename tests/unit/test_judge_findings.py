"""What is found of judges, by hand; the sentences, the figure and the report's part that come of it."""

import html
import io

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from aloe.figure_sentences import seen
from aloe.further_judges import COLUMNS
from aloe.judge_figure import judge_agreement, kappa_rows
from aloe.judge_findings import Families, findings, judges_section
from aloe.judge_words import judges_table, report_part, sentences
from aloe.params import load_params
from aloe.scales import FAVOUR, FAVOUR_AS_IS, TRUTH

NOBODY = Families({}, {})


def primary(levels, policy="p"):
    """One case a profile, one turn."""
    rows = [(policy, f"c{i}", f"bench-p{i}", "t", 1, "first", level) for i, level in enumerate(levels)]
    return pd.DataFrame(rows, columns=["policy", "case", "profile_id", "personality_id", "turn", "judge", "level"])


def verdicts(values, judge="strict", scale="strict", score="suits", run=1, policy="p"):
    rows = [(policy, f"c{i}", f"bench-p{i}", "t", 1, judge, scale, run, score, v) for i, v in enumerate(values)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": "Int64"})


def only(found, **where):
    for column, value in where.items():
        found = found[found[column] == value]
    [row] = found.to_dict("records")
    return row


def test_agreement_between_two_judges_by_hand():
    # pairs (1,1), (1,2), (3,3), as in the test of kappa: 1 - 1/5 = 0.8; two of three equal; first minus second -1/3
    found = findings(primary([1, 1, 3]), verdicts([1, 2, 3], "second", "levels", "level"), NOBODY, 0.95)
    between = found[found["question"] == "between"].set_index("measure")
    assert between["value"].to_dict() == {
        "alpha": pytest.approx(between.loc["alpha", "value"]), "exact": pytest.approx(2 / 3),
        "kappa": pytest.approx(0.8), "shift": pytest.approx(-1 / 3),
    }  # fmt: skip
    # alpha, ordinal: values 1, 2, 3 occur 3, 1, 2 times in 3 pairs. Places 1.5, 3.5, 5; observed: one pair (1,2)
    # apart 2^2, both ways 8. Expected: 2 x (3 x 1 x 4 + 3 x 2 x 12.25 + 1 x 2 x 2.25) = 180; alpha 1 - 5 x 8 / 180
    assert between.loc["alpha", "value"] == pytest.approx(1 - 40 / 180)
    assert between["n"].unique().tolist() == [3]
    assert (between.loc[["exact", "kappa", "shift"], ["one", "other"]] == ["first", "second"]).all().all()


def test_a_judge_asked_again_stands_beside_itself_and_its_first_answer_counts_elsewhere():
    twice = pd.concat([verdicts([1, 0, 1, 1]), verdicts([1, 1, 1, 1], run=2)])
    found = findings(primary([5, 1, 4, 4]), twice, NOBODY, 0.95)
    assert only(found, question="again", measure="exact")["value"] == 0.75
    assert only(found, question="again", measure="exact")["other"] == "times 1 and 2"
    assert only(found, question="mean", one="strict")["value"] == 0.75  # of the first time
    assert only(found, question="mean", one="first")["value"] == 3.5
    # levels 5 1 4 4 and answers 1 0 1 1: deviations 1.5 -2.5 .5 .5 and .25 -.75 .25 .25: 2.5 / sqrt(9 x 0.75)
    row = only(found, question="levels", measure="correlation")
    assert row["value"] == pytest.approx(2.5 / (9 * 0.75) ** 0.5)
    assert (row["one"], row["scale"], row["n"]) == ("strict", "strict", 4)


def test_a_double_of_a_primary_judge_counts_when_asked_again_and_nowhere_else():
    double = pd.concat([verdicts([1, 2, 3], "again", "levels", "level"),
                        verdicts([1, 2, 4], "again", "levels", "level", run=2)])  # fmt: skip
    found = findings(primary([1, 2, 3]), double, NOBODY, 0.95, ["again"])
    assert set(found["question"]) == {"again", "mean"}
    assert found.loc[found["question"] == "mean", "one"].tolist() == ["first"]
    assert only(found, question="again", measure="exact")["value"] == pytest.approx(2 / 3)


def test_errors_are_counted_beside_the_truth_and_answers_without_a_verdict_are_left_out():
    said = verdicts([1, 0, None, 1])
    truth = verdicts([1, 1, 1, 1], TRUTH)
    found = findings(primary([4, 4, 4, 4]), pd.concat([said, truth]), NOBODY, 0.95)
    row = only(found, question="truth", measure="error", one="strict")
    assert (row["value"], row["n"]) == (pytest.approx(1 / 3), 3)
    assert TRUTH not in set(found["one"])
    assert not (found["question"] == "between").any()


def test_a_favour_needs_two_judges_and_is_found_by_hand():
    # both give q 2; p, of second's own family, gets 2 from first and 3 from second: a favour of 1
    scores = pd.concat([primary([2, 2, 2]), primary([2, 2, 2], "q")])
    said = pd.concat([verdicts([3, 3, 3], "second", "levels", "level"),
                      verdicts([2, 2, 2], "second", "levels", "level", policy="q")])  # fmt: skip
    known = Families({"second": "kin"}, {"p": "kin"})
    found = findings(scores, said, known, 0.95)
    row = only(found, question="own family", one="second")
    assert (row["value"], row["low"], row["high"]) == pytest.approx((1, 1, 1))
    assert row["other"] == "kin"
    alone = findings(scores, verdicts([1, 1, 1]), known, 0.95)
    assert not (alone["question"] == "own family").any()


def four_turns(levels, policy, judge, scale="levels"):
    """Verdicts of one judge on four replies of each of six profiles."""
    rows = [(policy, f"c{i}", f"bench-p{i}", "t", turn, judge, scale, 1, "level", level)
            for i in range(6) for turn, level in enumerate(levels, 1)]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": "Int64"})


def test_a_favour_says_whether_judges_were_put_on_one_scale_and_the_truth_is_no_judge():
    # nobody favours; kin and third see all that replies are worth, first half of it
    worth = {"q": [1, 3, 1, 3], "p": [3, 5, 3, 5]}
    dull = {"q": [2, 3, 2, 3], "p": [3, 4, 3, 4]}  # half: 1.5 + worth / 2
    first = pd.concat([four_turns(dull[p], p, "first").rename(columns={"value": "level"}) for p in worth])
    scores = first.drop(columns=["scale", "run", "score"])
    others = [four_turns(worth[p], p, judge) for p in worth for judge in ("kin", "third")]
    known = Families({"kin": "own"}, {"p": "own"})
    found = findings(scores, pd.concat(others), known, 0.95)
    row = only(found, question="own family", one="kin")
    assert row["measure"] == FAVOUR
    assert row["value"] == pytest.approx(0, abs=1e-9)
    truth = [four_turns([3, 3, 3, 3], p, TRUTH) for p in worth]
    beside = findings(scores, pd.concat([*others, *truth]), known, 0.95)
    assert only(beside, question="own family", one="kin")["value"] == pytest.approx(0, abs=1e-9)
    # first and kin alone: 5 - 3 = 2 levels between p and q for kin, 1 for first; what is left looks like a favour of 1
    two = findings(scores, pd.concat(others[::2]), known, 0.95)
    row = only(two, question="own family", one="kin")
    assert (row["measure"], row["value"]) == (FAVOUR_AS_IS, pytest.approx(1))


def test_the_words_on_a_favour_say_which_estimate_it_is():
    row = {"question": "own family", "scale": "levels", "score": "level", "one": "kin", "other": "own", "n": 24,
           "value": 0.5, "ci": [0.25, 0.75]}  # fmt: skip
    favour, scaled = sentences({"judges": {}, "found": [row | {"measure": FAVOUR}]})
    assert favour.startswith("Beside the other judges, kin favours policies of its own family (own): +0.50")
    assert "judges of the level were put on one scale" in scaled
    same, plain = sentences({"judges": {}, "found": [row | {"measure": FAVOUR_AS_IS}]})
    assert same == favour
    assert "what judges say on the level was taken as it is" in plain
    two = [row | {"measure": FAVOUR, "score": score} for score in ("level", "human")]
    assert sum("these scores" in said for said in sentences({"judges": {}, "found": two})) == 1


@pytest.fixture
def section():
    twice = pd.concat([verdicts([1, 0, 1, None]), verdicts([1, 1, 1, 1], run=2), verdicts([1, 1, 1, 0], TRUTH)])
    found = findings(primary([5, 1, 4, 2]), twice, NOBODY, 0.95)
    return found, judges_section(found, twice, load_params("smoke"))


def test_metrics_keep_who_was_asked_and_everything_that_was_found(section):
    found, kept = section
    # 4 replies asked twice, one answer without a verdict
    assert kept["judges"]["strict"] == {
        "scale": "strict", "model": "simulated", "family": "simulated", "temperature": 0.0, "repeat": 1, "replies": 4,
        "answers": 8, "unreadable": 1,
    }  # fmt: skip
    assert len(kept["found"]) == len(found)
    assert set(kept["found"][0]) == {"question", "scale", "score", "one", "other", "n", "measure", "value", "ci"}


def test_the_report_says_what_was_found_and_nothing_without_judges(section):
    _, kept = section
    assert report_part(None) == ""
    said = " ".join(sentences(kept))
    assert "strict at temperature 0, asked the same once more, gives the same answer in a share of 0.67" in said
    assert "gives a wrong yes or no in a share of 0.33" in said  # of 1 0 1 beside 1 1 1
    [row] = judges_table(kept).splitlines()[2:]
    assert row.startswith("| `strict` | strict | 0 | simulated | 4 | 1 of 8 | – | ")
    assert report_part(kept).startswith("## Are the judges to be believed?")


def test_a_judges_name_that_would_be_more_than_a_name_is_shown_as_it_is(section):
    found, kept = section
    name = "`<img src=x onerror=alert(1)>` | $x^$"  # a primary judge is called as its model is
    between = [name, "strict", 3, "kappa", 0.5, 0.1, 0.9]
    row = dict(zip(("one", "other", "n", "measure", "value", "low", "high"), between, strict=True))
    row |= {"question": "between", "scale": "strict", "score": "suits"}
    kept = kept | {"found": [*kept["found"], row | {"ci": [0.1, 0.9]}]}
    page = MarkdownIt("gfm-like", {"linkify": False}).render(judges_table(kept))
    assert "<img" not in page
    assert html.unescape(page).count(name) == 1
    ax = judge_agreement(kappa_rows(pd.concat([found, pd.DataFrame([row])])))
    ax.figure.savefig(io.BytesIO(), format="svg")


def test_the_figure_has_a_line_for_every_kappa_and_a_sentence(section):
    found, _ = section
    two = findings(primary([1, 1, 3]), verdicts([1, 2, 3], "second", "levels", "level"), NOBODY, 0.95)
    rows = kappa_rows(pd.concat([found, two]))
    assert rows["audit"].tolist()[-1] == "first / second: level"
    ax = judge_agreement(rows, note="simulated")
    assert [label.get_text() for label in ax.get_yticklabels()] == rows["audit"].tolist()
    assert "first / second: level 0.80" in seen("judge_agreement", rows)
    with pytest.raises(ValueError, match="nothing to draw"):
        judge_agreement(rows.iloc[:0])
