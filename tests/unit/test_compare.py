"""`make compare`: two finished runs side by side, and nothing that looks like a comparison otherwise."""

import json

import pytest

from aloe.compare import compare
from aloe.errors import UserError


def leave_run(folder, policies, **sections):
    folder.mkdir()
    metrics = {"preset": "toy", "simulated": True, "seed": 0, **sections}
    if policies is not None:
        metrics["benchmark"] = {"n_cases": 4, "n_turns": 2, "policies": policies}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def row_of(text, name):
    return next(line for line in text.splitlines() if line.startswith(name))


def test_differences_are_second_minus_first_with_each_runs_own_interval(tmp_path):
    a = leave_run(tmp_path / "a", {"dpo": {"al_mean": 2.5, "al_mean_ci": [2.0, 3.0], "ir": 0.1, "n_ir": None}})
    b = leave_run(tmp_path / "b", {"dpo": {"al_mean": 2.25, "al_mean_ci": [2.0, 2.5], "ir": 0.125, "n_ir": None}})
    text = compare(a, b)
    assert row_of(text, "dpo AVG").split() == [
        "dpo",
        "AVG",
        "2.50",
        "[2.00,",
        "3.00]",
        "2.25",
        "[2.00,",
        "2.50]",
        "-0.25",
    ]
    assert row_of(text, "dpo IR").endswith("+0.025")
    assert "N-IR" not in text


def test_a_policy_or_number_that_only_one_run_has_is_shown_without_a_difference(tmp_path):
    a = leave_run(tmp_path / "a", {"base": {"al_mean": 1.5}}, trees={"n_trees": 6})
    b = leave_run(tmp_path / "b", {"dpo": {"al_mean": 2.5}})
    text = compare(a, b)
    assert row_of(text, "base AVG").split() == ["base", "AVG", "1.50", "none"]
    assert row_of(text, "dpo AVG").split() == ["dpo", "AVG", "none", "2.50"]
    assert row_of(text, "trees.n_trees").split() == ["trees.n_trees", "6", "none"]


def test_an_unfinished_run_a_folder_that_is_none_and_a_damaged_file_are_refused(tmp_path):
    good = leave_run(tmp_path / "good", {"base": {"al_mean": 1.5}})
    with pytest.raises(UserError, match="unfinished is not finished"):
        compare(good, leave_run(tmp_path / "unfinished", None))
    with pytest.raises(UserError, match="nowhere is not a run"):
        compare(tmp_path / "nowhere", good)
    (tmp_path / "good" / "metrics.json").write_text("{")
    with pytest.raises(UserError, match="is damaged"):
        compare(good, good)
