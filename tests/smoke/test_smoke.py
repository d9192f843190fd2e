"""The whole chain on the smallest preset, as `make all PRESET=smoke` runs it: from nothing, and again."""

import json
import math
import time

import pytest

pytestmark = pytest.mark.smoke

LEFT = """
personas/profiles.jsonl personas/personalities.jsonl personas/personas.jsonl trees/trees.jsonl
models/base models/sft_preferred models/sft_rejected models/dpo benchmark/transcripts.jsonl benchmark/scores.parquet
figures/al_curves.svg figures/al_curves.png report/index.html journal/replies.sqlite manifest.json metrics.json
""".split()


@pytest.fixture(scope="module")
def metrics(checkout):
    return json.loads((checkout.run / "metrics.json").read_text())


@pytest.fixture(scope="module")
def trees(checkout):
    return [json.loads(line) for line in (checkout.run / "trees" / "trees.jsonl").read_text().splitlines()]


def test_it_leaves_everything_and_prints_the_table_and_where_the_report_is(checkout):
    assert [name for name in LEFT if not (checkout.run / name).exists()] == []
    assert len(list((checkout.run / "notebooks").glob("0*.ipynb"))) == 7
    assert f"Report: {checkout.run / 'report' / 'index.html'}" in checkout.printed
    assert "Simulated" in checkout.printed
    assert "sft_preferred" in checkout.printed


def test_metrics_have_the_public_keys_and_possible_values(metrics):
    assert (metrics["preset"], metrics["simulated"], metrics["seed"]) == ("smoke", True, 0)
    assert {"n_profiles", "n_personalities", "n_personas"} <= set(metrics["personas"])
    assert {"n_trees", "n_turns", "hinted_preferred_rate"} <= set(metrics["trees"])
    assert {"sft_preferred", "dpo"} <= set(metrics["training"])
    assert {"calls", "cached_calls", "prompt_tokens", "completion_tokens", "usd", "seconds"} <= set(metrics["cost"])
    benchmark = metrics["benchmark"]
    assert {"base", "told", "sft_preferred", "dpo"} <= set(benchmark["policies"])
    for policy in benchmark["policies"].values():
        assert len(policy["al"]) == len(policy["al_ci"]) == benchmark["n_turns"]
        assert all(1 <= level <= 5 for level in policy["al"])
        assert policy["al_mean"] == pytest.approx(sum(policy["al"]) / len(policy["al"]), abs=1e-9)
        assert {"al_mean_ci", "ir", "ir_ci", "r2", "n_ir", "n_ir_ci", "n_r2", "dal", "dal_ci"} <= set(policy)
        assert math.isfinite(policy["ir"])
    assert metrics["cost"]["usd"] == 0
    assert metrics["cost"]["calls"] > 0


def test_every_reply_was_judged_for_a_stranger_and_without_a_persona_as_well(metrics):
    for policy in metrics["benchmark"]["policies"].values():
        turns = [len(policy[key]) for key in ("al", "dal_by_turn", "dal_by_turn_ci", "al_shuffled", "al_blind")]
        assert set(turns) == {metrics["benchmark"]["n_turns"]}
        assert policy["dal_n_cases"] == policy["n_cases"]
        assert policy["dal"] == pytest.approx(policy["al_mean"] - sum(policy["al_shuffled"]) / turns[0], abs=1e-9)


def test_training_development_and_benchmark_share_no_profile_and_no_personality(checkout, trees):
    lines = (checkout.run / "personas" / "personas.jsonl").read_text().splitlines()
    personas = [json.loads(line) for line in lines]
    transcripts = (checkout.run / "benchmark" / "transcripts.jsonl").read_text().splitlines()
    benchmark = [json.loads(line)["persona"] for line in transcripts]
    for part in ("profile", "personality"):
        texts = {split: {p[part] for p in personas if p["id"].startswith(split)} for split in ("train-", "dev-")}
        held_out = {p[part] for p in benchmark}
        assert all(texts.values())
        assert held_out
        assert not texts["train-"] & texts["dev-"]
        assert not held_out & (texts["train-"] | texts["dev-"])
    assert {tree["persona"]["id"] for tree in trees} <= {p["id"] for p in personas}


def test_every_preference_was_judged_in_both_orders_and_ties_have_no_label(trees):
    turns = [turn for tree in trees for turn in tree["turns"]]
    first, second = "Preferred: 1", "Preferred: 2"  # the hinted reply is shown first, then second
    labels = {(first, second): "hinted", (second, first): "plain", (first, first): "tie", (second, second): "tie"}
    assert all(turn["label"] == labels.get(tuple(turn["verdicts"]), "tie") for turn in turns)
    assert {"hinted", "plain"} <= {turn["label"] for turn in turns}
    assert {turn["branch"] for turn in turns} == {"hinted", "plain"}


def test_a_second_run_does_nothing_within_ten_seconds(checkout):
    started = time.monotonic()
    done = checkout.aloe("run", "--preset", "smoke")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started < 10
    assert done.stdout.count("up to date") == 7


def test_a_deleted_output_is_rebuilt_with_the_same_content_and_forces_nothing_else(checkout):
    path = checkout.run / "personas" / "personas.jsonl"
    before = path.read_bytes()
    path.unlink()
    done = checkout.aloe("run", "--preset", "smoke")
    assert done.returncode == 0, done.stderr[-3000:]
    assert path.read_bytes() == before
    assert done.stdout.count("up to date") == 6


def test_a_damaged_output_is_refused_in_a_sentence(checkout):
    path = checkout.run / "trees" / "trees.jsonl"
    before = path.read_bytes()
    path.write_bytes(before[:-40])
    done = checkout.aloe("run", "--preset", "smoke")
    after = path.read_bytes()
    path.write_bytes(before)
    assert done.returncode != 0
    assert "trees.jsonl is not what stage 03_dialogue_trees wrote" in done.stderr
    assert "Traceback" not in done.stderr
    assert after == before[:-40]


def test_finished_runs_can_be_compared_and_their_figures_drawn_again(checkout):
    figure, page = checkout.run / "figures" / "al_curves.svg", checkout.run / "report" / "index.html"
    before, written = figure.read_bytes(), [path.stat().st_mtime_ns for path in (figure, page)]
    for command in ("figures", "report"):
        assert checkout.aloe(command, "--preset", "smoke").returncode == 0
    assert figure.read_bytes() == before
    assert all(path.stat().st_mtime_ns > then for path, then in zip((figure, page), written, strict=True))
    done = checkout.aloe("compare", "outputs/smoke", "outputs/smoke")
    assert done.returncode == 0
    assert "+0.00" in done.stdout


def test_order_and_intervals_come_from_the_scores_alone_with_no_model_and_no_reply(checkout, tmp_path):
    before = json.loads((checkout.run / "metrics.json").read_text())
    hidden = [checkout.run / name for name in ("models", "journal")]
    for folder in hidden:
        folder.rename(tmp_path / folder.name)
    (checkout.run / "metrics.json").write_text(json.dumps({k: v for k, v in before.items() if k != "benchmark"}))
    try:
        done = checkout.aloe("figures", "--preset", "smoke")
        after = json.loads((checkout.run / "metrics.json").read_text())
    finally:
        for folder in hidden:
            (tmp_path / folder.name).rename(folder)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(after["benchmark"]["policies"]) == list(before["benchmark"]["policies"])
    assert after["benchmark"] == before["benchmark"]
