"""The bench of the benchmark's speed: what a ratio and a share are."""

import argparse
import importlib.util
from pathlib import Path

import pytest

from aloe.params import ROOT

SPEC = importlib.util.spec_from_file_location("bench_benchmark", ROOT / "tests" / "bench" / "benchmark.py")
bench = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(bench)


def rounds(**rates):
    """Rounds from {arm: rates by round} at both turns, with the same rates by CPU halved."""
    return [
        bench.Timed(f"turn {turn}", arm, number, 10, rate, rate / 2)
        for turn in bench.TURNS for arm, row in rates.items() for number, rate in enumerate(row)
    ]  # fmt: skip


def test_a_ratio_is_the_median_of_ratios_within_a_round():
    rows = rounds(**{"one by one": [1, 10, 2], "batches of 5": [9, 20, 10]})
    # 9/1, 20/10, 10/2: the median of 9, 2 and 5; the medians of the rates alone would say 10/2 = 5 too, of the means 3
    assert bench.ratio(rows, "turn 1", "batches of 5", "one by one", "rate") == 5
    rows = rounds(**{"one by one": [1, 10, 10], "batches of 5": [8, 20, 60]})
    assert bench.ratio(rows, "turn 1", "batches of 5", "one by one", "rate") == 6  # of 8, 2 and 6; not 20/10


def test_the_fastest_arm_is_held_against_the_aim():
    rows = rounds(**{"one by one": [1, 1], "batches of 5": [4, 4], "batches of 50": [7, 7]})
    assert bench.best(rows) == {1: ("batches of 50", 7), 10: ("batches of 50", 7)}
    options = argparse.Namespace(model=Path("models/dpo"), cases=100, alone=20)
    text = bench.reply_table(rows, options)
    assert "Turn 1: batches of 50 is fastest, 7.0 times one by one (aim: 8, missed)." in text
    assert "Turn 10: batches of 50 is fastest, 7.0 times one by one (aim: 2.5, reached)." in text
    assert "| 1 | batches of 5 | 4.0 | 4.0 | 4.0 |" in text


def test_shares_of_a_profile_leave_waiting_out_and_count_nothing_twice():
    stats = {
        ("/x/aloe/sandbox/model.py", 1, "complete"): (1, 1, 1.0, 6.0, {}),
        ("/x/aloe/sandbox/judge.py", 1, "fit"): (1, 1, 5.0, 5.0, {}),  # within `complete`
        ("/x/aloe/journal.py", 1, "put"): (1, 1, 0.5, 1.0, {}),
        ("~", 0, "<method 'execute' of 'sqlite3.Connection' objects>"): (1, 1, 0.5, 0.5, {}),  # within `put`
        ("/v/site-packages/httpx2/client.py", 1, "send"): (1, 1, 1.0, 9.0, {}),
        ("/x/aloe/chat.py", 1, "ask"): (1, 1, 1.0, 9.5, {}),
        ("~", 0, "<built-in method json.dumps>"): (1, 1, 1.0, 1.0, {}),
        ("~", 0, "<method 'poll' of 'select.epoll' objects>"): (1, 1, 90.0, 90.0, {}),
    }
    # Own times without waiting: 1 + 5 + 0.5 + 0.5 + 1 + 1 + 1 = 10.
    found = {part.where: part.share for part in bench.shares(stats)}
    assert found[bench.SANDBOX] == pytest.approx(0.6)
    assert found[bench.JOURNAL] == found[bench.CLIENT] == found[bench.PROJECT] == pytest.approx(0.1)
    assert sum(found.values()) == pytest.approx(1)


def test_the_page_says_whether_the_simulated_model_is_the_bound():
    rows = [bench.Timed("scoring", arm, 0, 10, rate, rate) for arm, rate in
            (("the simulated model alone", 100.0), ("through the project", 80.0))]  # fmt: skip
    text = bench.score_table(rows, [bench.Part(bench.SANDBOX, 0.6), bench.Part(bench.PROJECT, 0.4)])
    assert "| through the project | 80 | 0.80 | 0.80 |" in text
    assert "Scoring is bounded by the simulated model: 60% of the time." in text
    assert "is NOT bounded" in bench.score_table(rows, [bench.Part(bench.SANDBOX, 0.4)])
