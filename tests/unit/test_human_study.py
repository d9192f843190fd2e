"""Tests of the human study kit: the sheet is blind and harmless, faults are refused, known rates come back."""

import csv
import html
import json
import re

import numpy as np
import pandas as pd
import pytest

from aloe import human_study, metrics
from aloe.errors import UserError
from aloe.human_answers import Answer, read_all, read_answers
from aloe.human_sheet import COLUMNS, KeyLine, guarded, make_sheet, write_csv, write_html
from aloe.human_study import agreement, alpha, coincidences, decode, planned_items, results, scripted_answers
from aloe.params import ROOT
from aloe.records import Message, Persona, Transcript, read_jsonl, write_jsonl
from aloe.runs import open_run

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> {{ 7 * 7 }} &amp;"
NAN = np.nan
# Krippendorff (2011), section C: 4 observers, 12 units.
PUBLISHED = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
    [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
]).T  # fmt: skip


def talks(n_profiles=20, n_turns=3, policies=("dpo", "base", "told"), text="It rains."):
    personas = [
        Persona(f"bench-p{p:02}-t{t}", f"bench-p{p:02}", f"bench-t{t}", f"Ana {p} keeps bees. {text}", "Blunt.")
        for p in range(n_profiles)
        for t in range(2)
    ]
    return [
        Transcript(f"{policy}-{who.id}", policy, who, tuple(
            Message(role, f"{text}\r\n{turn}{'abcde'[policies.index(policy)]}")
            for turn in range(n_turns) for role in ("user", "assistant")
        ))
        for policy in policies for who in personas
    ]  # fmt: skip


def drawn(n_items=6, seed=0, **kinds):
    return make_sheet(talks(**kinds), ("dpo", "base"), n_items, seed)


def filled_in(path, draw, answers):
    """The sheet as a spreadsheet, and in it what was answered."""
    write_csv(draw.items, path)
    rows = read_rows(path)
    given = {answer.item: answer for answer in answers}
    for row in rows[1:]:
        row[-4:] = [str(getattr(given[row[0]], name)) for name in COLUMNS[-4:]]
    write_rows(path, rows)
    return path


def read_rows(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def write_rows(path, rows, **kinds):
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **kinds).writerows(rows)


@pytest.fixture
def sheet(tmp_path):
    """A draw, and its sheet filled in by one rater."""
    draw = drawn()
    return draw, filled_in(tmp_path / "ana.csv", draw, scripted_answers(draw.key, "dpo", 0.6, 1, 0))


def test_a_sheet_goes_round_the_profiles_and_has_each_policy_on_either_side_equally_often():
    items, key = drawn(n_items=40)
    assert sorted(line.profile_id for line in key) == sorted([f"bench-p{p:02}" for p in range(20)] * 2)
    assert sum(line.a == "dpo" for line in key) == 20
    assert len({(line.case, line.turn) for line in key}) == len({item.id for item in items}) == 40
    assert {frozenset((line.a, line.b)) for line in key} == {frozenset(("dpo", "base"))}


def test_a_side_shows_what_its_policy_said_at_that_turn():
    (item, *_), (line, *_) = drawn()
    letter = {"dpo": "a", "base": "b"}
    assert item.reply_a == f"It rains.\n{line.turn - 1}{letter[line.a]}"
    assert item.reply_b == f"It rains.\n{line.turn - 1}{letter[line.b]}"
    assert item.conversation_a.count("Person: ") == line.turn
    assert item.conversation_a.count("Assistant: ") == line.turn - 1


def test_the_same_seed_draws_the_same_sheet_and_another_one_another():
    assert drawn(seed=1) == drawn(seed=1)
    assert {item.id for item in drawn(seed=1).items}.isdisjoint(item.id for item in drawn(seed=2).items)


@pytest.mark.parametrize(
    "policies, n_items, said",
    [(("dpo", "dpo"), 2, "two different"), (("dpo", "x"), 2, "'x' cannot"), (("dpo", "base"), 121, "from 1 to 120"),
     (("dpo", "base"), 0, "from 1 to 120")],
)  # fmt: skip
def test_a_sheet_that_cannot_be_drawn_says_why(policies, n_items, said):
    with pytest.raises(UserError, match=said):
        make_sheet(talks(), policies, n_items, 0)


def test_neither_form_names_a_policy_a_case_or_a_turn(tmp_path):
    names = ("first-secret", "second-secret")
    draw = make_sheet(talks(policies=(*names, "x")), names, 10, 0)
    write_html(draw.items, tmp_path / "sheet.html")
    write_csv(draw.items, tmp_path / "sheet.csv")
    for file in tmp_path.iterdir():
        assert not re.search("secret|bench-", file.read_text(encoding="utf-8"))


def test_a_hostile_text_stays_a_text_in_the_page(tmp_path):
    draw = drawn(text=HOSTILE)
    write_html(draw.items, tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert page.count("<script") == page.count("</script>") == 1
    assert "<img" not in page
    assert "{{ 7 * 7 }}" in page
    shown = re.findall(r'<div class="text box" data-column="persona">(.*?)</div>', page, re.DOTALL)
    assert [html.unescape(text) for text in shown] == [item.persona for item in draw.items]


def test_the_page_asks_nothing_of_a_network_and_labels_every_field(tmp_path):
    draw = drawn()
    write_html(draw.items, tmp_path / "sheet.html")
    page = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|//[a-z]|<link|@import|url\(|\ssrc=", page)
    assert '<html lang="en">' in page
    assert page.count('type="radio"') == len(draw.items) * (5 + 5 + 3) == len(re.findall(r"<label><input", page))
    assert page.count("<fieldset>") == page.count("<legend>") == len(draw.items) * 3
    assert re.search(r'data-columns="([^"]*)"', page)[1].split() == list(COLUMNS)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n =cmd|' /C calc'!A0", "＝1"])
def test_no_text_becomes_a_formula_and_a_guarded_one_is_taken_back(tmp_path, text):
    assert guarded(text).startswith("'")
    draw = drawn(text=text)
    path = filled_in(tmp_path / "ana.csv", draw, scripted_answers(draw.key, "dpo", 0.6, 1, 0))
    assert not [cell for row in read_rows(path) for cell in row if cell.lstrip()[:1] in (*"=+-@＝",)]
    assert len(read_answers(path, draw.items)) == 6


def test_a_sheet_is_read_as_it_was_filled_in(sheet):
    draw, path = sheet
    assert read_answers(path, draw.items) == scripted_answers(draw.key, "dpo", 0.6, 1, 0)


def test_what_spreadsheets_change_by_themselves_does_not_matter(sheet):
    draw, path = sheet
    head, *rows = read_rows(path)
    rows = [[cell.replace("\n", "\r\n") + " " for cell in row] for row in reversed(rows)]
    write_rows(path, [head, *rows, [""] * len(head)], delimiter=";")
    assert len(read_answers(path, draw.items)) == 6


FAULTS = {
    "tampered reply": (3, "reply_b", "Another text.", r"row 3, column 'reply_b'"),
    "tampered persona": (2, "persona", "", r"row 2, column 'persona'"),
    "another digest": (4, "check", "h0", r"row 4, column 'check'"),
    "unknown item": (5, "item", "q-nobody", r"row 5: this sheet has no item 'q-nobody'"),
    "rating 6": (6, "rating_a", "6", r"row 6, column 'rating_a': expected a whole number from 1 to 5, got '6'"),
    "half a rating": (2, "rating_b", "3.5", r"row 2, column 'rating_b'"),
    "no rating": (7, "rating_b", "", r"row 7, column 'rating_b'.* got ''"),
    "no preference": (3, "preference", " ", r"row 3, column 'preference'.* got ''"),
    "another preference": (3, "preference", "C", r"row 3, column 'preference': expected A, B or tie"),
    "no name": (4, "rater", " ", r"row 4, column 'rater'"),
    "two names": (4, "rater", "Ben", r"row 4: the rater is 'Ben'"),
}


@pytest.mark.parametrize("row, column, text, said", FAULTS.values(), ids=FAULTS)
def test_a_fault_is_refused_with_its_file_and_row(sheet, row, column, text, said):
    draw, path = sheet
    rows = read_rows(path)
    rows[row - 1][COLUMNS.index(column)] = text
    write_rows(path, rows)
    with pytest.raises(UserError, match=rf"ana\.csv, {said}"):
        read_answers(path, draw.items)


def test_every_change_of_a_text_is_found(sheet):
    draw, path = sheet
    rows = read_rows(path)
    for row in range(1, len(rows)):
        for column in range(COLUMNS.index("check") + 1):
            changed = [list(cells) for cells in rows]
            changed[row][column] += "x"
            write_rows(path, changed)
            with pytest.raises(UserError, match=f"row {row + 1}"):
                read_answers(path, draw.items)


def test_rows_that_are_missing_or_twice_and_short_ones_are_refused(sheet):
    draw, path = sheet
    rows = read_rows(path)
    for changed, said in (
        (rows[:4] + rows[5:], f"item {rows[4][0]} is missing \\(row 5"),
        ([*rows, rows[2]], f"row 8: item {rows[2][0]} stands in row 3 already"),
        ([*rows[:3], rows[3][:-1], *rows[4:]], "row 4: 11 cells expected, got 10"),
        (rows[:1], "is missing \\(row 2"),
        ([], "row 1: column 'item' is missing"),
    ):
        write_rows(path, changed)
        with pytest.raises(UserError, match=said):
            read_answers(path, draw.items)


@pytest.mark.parametrize("rows", [1, 3, 6])
def test_a_file_that_ends_within_a_cell_is_refused_with_its_row(sheet, rows):
    draw, path = sheet
    text = path.read_text(encoding="utf-8")
    starts = [text.index(item.id) for item in draw.items]
    path.write_text(text[: starts[rows - 1]] + text[starts[rows - 1] :].partition("rains")[0] + '"', encoding="utf-8")
    with pytest.raises(UserError, match=rf"ana\.csv, row {rows + 1}"):
        read_answers(path, draw.items)


@pytest.mark.parametrize(
    "header, said", [("note", "'note' is unknown"), ("rating_a", "'rating_b' is missing"), ("", "'' is unknown")]
)
def test_other_columns_are_refused(sheet, header, said):
    draw, path = sheet
    rows = read_rows(path)
    rows[0][-1] = header
    write_rows(path, rows)
    with pytest.raises(UserError, match=f"row 1: column {said}"):
        read_answers(path, draw.items)


def test_a_file_that_is_no_csv_or_not_there_is_refused_in_a_sentence(tmp_path):
    draw = drawn()
    for name, data in (("binary", b"\xff\xfe\x00"), ("quotes", b'"item"x,"b\n'), ("none", None)):
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=name):
            read_answers(tmp_path / name, draw.items)


def test_one_person_counts_once(sheet, tmp_path):
    draw, path = sheet
    again = tmp_path / "again.csv"
    again.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"again\.csv, row 2: 'script 1' is the rater of .*ana\.csv"):
        read_all([path, again], draw.items)
    with pytest.raises(UserError, match="no answers"):
        read_all([], draw.items)


@pytest.mark.parametrize("rate", [0.5, 0.7])
def test_a_known_win_rate_lies_in_the_interval_of_nine_studies_in_ten_and_more(tmp_path, rate):
    transcripts, covered = talks(), 0
    for seed in range(100):
        draw = make_sheet(transcripts, ("dpo", "base"), 40, seed)
        answers = scripted_answers(draw.key, "dpo", rate, 2, seed)
        paths = [
            filled_in(tmp_path / f"{rater}.csv", draw, [a for a in answers if a.rater == rater])
            for rater in ("script 1", "script 2")
        ]
        found = results(decode(read_all(paths, draw.items), draw.key, "dpo"), 0.95)
        covered += found.win_rate.low <= rate <= found.win_rate.high
        # Ratings differ by one level where there is no tie: the mean difference is wins minus losses.
        assert found.difference.value == pytest.approx(2 * found.win_rate.value - 1)
    assert 90 <= covered <= 99


def test_the_interval_also_covers_where_profiles_differ_in_what_they_like():
    key = [KeyLine(f"q{i}", "dpo", "base", f"c{i}", f"p{i % 20}", 1) for i in range(100)]
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rates = rng.beta(3, 2, 20)  # mean 0.6, standard deviation 0.2
        won = rng.random(100) < rates[np.arange(100) % 20]
        answers = [Answer("x", line.item, "A" if win else "B", 3, 3) for line, win in zip(key, won, strict=True)]
        found = results(decode(answers, key, "dpo"), 0.95).win_rate
        covered += found.low <= 0.6 <= found.high
    assert 90 <= covered <= 99


def test_a_win_rate_near_one_lies_within_its_interval_as_often_as_it_says():
    key = drawn(n_items=40).key
    rates = [results(decode(scripted_answers(key, "dpo", 0.9, 1, k), key, "dpo"), 0.95).win_rate for k in range(400)]
    # the plain t interval holds 0.9 in 88% of these; where 95% is true, 92.5% of 400 or less have a chance of 2%
    assert np.mean([rate.low <= 0.9 <= rate.high for rate in rates]) > 0.925
    assert all(0 <= rate.low < rate.value < rate.high or rate.value == rate.high == 1 for rate in rates)
    assert max(rate.high for rate in rates) <= 1


def test_items_of_one_profile_that_go_together_make_the_interval_wider():
    key = [KeyLine(f"q{i}", "dpo", "base", f"c{i}", f"p{i % 4}", 1) for i in range(40)]
    together = [Answer("x", line.item, "A" if line.profile_id in ("p0", "p1") else "B", 3, 3) for line in key]
    apart = [Answer("x", line.item, "A" if i % 8 < 4 else "B", 3, 3) for i, line in enumerate(key)]
    wide, narrow = (results(decode(given, key, "dpo"), 0.95).win_rate for given in (together, apart))
    assert wide.value == narrow.value == 0.5
    # profile means 0, 0, 1, 1: variance 1/12, so 3 effective draws; t = 3.182, and Wilson's half-width
    # 3.182 sqrt(0.25 / 3 + 3.182^2 / 36) / (1 + 3.182^2 / 3) = 0.439
    assert wide.high - wide.low == pytest.approx(2 * 0.439, abs=0.001)
    assert narrow.high - narrow.low < 0.5  # every profile has exactly half: 40 draws


def test_ties_count_half_raters_are_averaged_first_and_sides_are_resolved():
    key = [KeyLine("q1", "dpo", "base", "c1", "p1", 1), KeyLine("q2", "base", "dpo", "c2", "p2", 1)]
    answers = [Answer("x", "q1", "A", 5, 1), Answer("y", "q1", "B", 3, 3), Answer("x", "q2", "tie", 2, 4)]
    found = results(decode(answers, key, "dpo"), 0.95)
    # dpo: q1 (1 + 0) / 2, q2 0.5. Ratings of dpo: q1 (5 + 3) / 2, q2 4; of base: q1 (1 + 3) / 2, q2 2.
    assert (found.win_rate.value, found.rating_one.value, found.rating_other.value) == (0.5, 4.0, 2.0)
    assert found.side_a.value == 0.5
    other = results(decode(answers, key, "base"), 0.95)
    assert other.difference.value == -found.difference.value == -2.0


def test_a_policy_that_always_wins_is_not_taken_for_certain():
    key = [KeyLine(f"q{i}", "dpo", "base", f"c{i}", f"p{i}", 1) for i in range(10)]
    won = results(decode([Answer("x", line.item, "A", 5, 1) for line in key], key, "dpo"), 0.95).win_rate
    # Wilson, 10 of 10: 10 / (10 + 1.96²) = 0.722.
    assert won == pytest.approx((1.0, 0.722, 1.0), abs=0.001)


def test_answers_without_their_key_are_an_error():
    key = [KeyLine("q1", "dpo", "base", "c1", "p1", 1)]
    for answers, one in (([], "dpo"), ([Answer("x", "q2", "A", 1, 1)], "dpo"), ([Answer("x", "q1", "A", 1, 1)], "x")):
        with pytest.raises(ValueError, match="key"):
            decode(answers, key, one)


@pytest.mark.parametrize("level, expected", [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_the_published_example(level, expected):
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    sums = coincidences(PUBLISHED, values)
    assert sums.sum() == pytest.approx(40)  # of 41 values, that of unit 12 has no partner
    assert round(alpha(sums, values, level), 3) == expected


def test_agreement_is_one_where_all_agree_about_zero_by_chance_and_none_for_one_rater():
    _, key = drawn(n_items=120)
    first = scripted_answers(key, "dpo", 0.6, 1, 0)
    rng = np.random.default_rng(0)
    copied = [Answer("copy", a.item, a.preference, a.rating_a, a.rating_b) for a in first]
    chance = [Answer("dice", a.item, "AB"[rng.integers(2)], *map(int, rng.integers(1, 6, 2))) for a in first]
    assert agreement(decode(first, key, "dpo"), 0.95) == {"preference": None, "ratings": None}
    full = agreement(decode(first + copied, key, "dpo"), 0.95)
    assert [estimate.value for estimate in full.values()] == pytest.approx([1, 1])
    none = agreement(decode(first + chance, key, "dpo"), 0.95)
    assert all(estimate.low < 0 < estimate.high and abs(estimate.value) < 0.3 for estimate in none.values())


def test_planned_items_give_about_the_half_width_that_was_asked_for():
    n = planned_items(0.15, 20, intraclass=0.0)
    transcripts, halves = talks(), []
    for seed in range(50):
        key = make_sheet(transcripts, ("dpo", "base"), n, seed).key
        found = results(decode(scripted_answers(key, "dpo", 0.5, 1, seed, ties=0.0), key, "dpo"), 0.95).win_rate
        halves.append((found.high - found.low) / 2)
    assert np.mean(halves) == pytest.approx(0.15, rel=0.1)
    assert planned_items(0.01, 20) is None
    assert planned_items(0.4, 50) == 50
    with pytest.raises(ValueError):
        planned_items(0.1, 1)


def test_a_script_keeps_to_what_is_possible():
    with pytest.raises(ValueError, match=r"from 0.05 to 0.95"):
        scripted_answers([], "dpo", 1.0, 1, 0)


def test_the_notebook_makes_a_sheet_rehearses_and_then_reads_what_people_sent(tmp_path, monkeypatch, capsys):
    notebook = ROOT / "notebooks" / "extra" / "human_study.ipynb"
    cells = [c for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
    run = open_run("smoke", None, tmp_path)
    write_jsonl(run.transcripts, talks(policies=run.params.benchmark.policies, n_profiles=4))
    monkeypatch.setattr("aloe.runs.open_run", lambda preset, seed: open_run("smoke", seed, tmp_path))

    def execute():
        names = {"display": print}
        for cell in cells:
            exec("".join(cell["source"]), names)
        return names

    first = execute()
    said = capsys.readouterr().out
    assert "No answers yet" in said
    assert int(re.search(r"inside the interval in (\d+) of 100", said)[1]) >= 90
    folder = tmp_path / "smoke-human-study"
    assert sorted(path.name for path in (folder / "for_raters").iterdir()) == ["sheet.csv", "sheet.html"]
    draw, one = first["draw"], first["one"]
    (folder / "answers").mkdir(exist_ok=True)
    filled_in(folder / "answers" / "ana.csv", draw, scripted_answers(draw.key, one, 0.9, 1, 0))
    held = read_jsonl(Transcript, run.transcripts)
    judged = [(t.policy, t.persona.id, t.persona.profile_id, t.persona.personality_id, k, "j", 5 - k % 2)
              for t in held for k in range(1, len(t.messages) // 2 + 1)]  # fmt: skip
    pd.DataFrame(judged, columns=list(metrics.COLUMNS)).to_parquet(run.scores)
    second = execute()
    # the script's ratings are 2 to 4, the judge's levels 4 and 5: corrected, both means lie on the people's scale
    assert (second["means"]["judge"] > 4).all()
    assert (second["means"]["corrected"] < 4).all()
    assert second["means"]["policy"].tolist() == [one, second["other"]]
    assert second["draw"] == draw
    assert "ana.csv" in capsys.readouterr().out
    assert second["found"] == results(decode(second["answers"], draw.key, one), run.params.benchmark.confidence)
    assert human_study.decode is second["decode"]
