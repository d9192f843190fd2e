"""Worlds without a training: made alike again, kept as they come, and never made twice."""

import dataclasses
from concurrent.futures import Future
from pathlib import Path

import pytest

from aloe import worlds
from aloe.errors import UserError
from aloe.params import load_params
from aloe.runs import Run
from aloe.world_sections import Evidence, NullWorlds
from aloe.worlds import World


def small(**sections):
    """The smallest preset with two turns and two people, and sections replaced."""
    params = load_params("smoke")
    bench = dataclasses.replace(params.benchmark, n_profiles=2, n_personalities=2, n_turns=2)
    return dataclasses.replace(params, benchmark=bench, **sections)


class InThisProcess:
    """An executor without processes; what is submitted after a failure is not begun."""

    def __init__(self, *_):
        self.failed = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def submit(self, work, *arguments):
        job = Future()
        try:
            if not self.failed:
                job.set_result(work(*arguments))
        except RuntimeError as error:
            self.failed = True
            job.set_exception(error)
        return job

    def shutdown(self, **_):
        pass


@pytest.fixture
def made(monkeypatch):
    """The worlds that were made, in order; seed 7 fails."""
    found = []

    def fake(params, tree_turns, effect, seed):
        if seed == 7:
            raise RuntimeError("the machine stops")
        found.append((effect, seed))
        return World(effect, seed, 0.5, 0.25, 0.125, 0.04, None, 0.5, 3.0)

    monkeypatch.setattr(worlds, "world", fake)
    monkeypatch.setattr(worlds, "ProcessPoolExecutor", InThisProcess)
    monkeypatch.setattr(worlds, "as_completed", list)
    return found


def test_a_world_is_the_same_when_it_is_made_again_and_another_with_another_seed():
    first = worlds.world(small(), 1, 0.0, 3)
    assert worlds.world(small(), 1, 0.0, 3) == first
    assert worlds.world(small(), 1, 0.0, 4)[2:] != first[2:]
    assert (first.effect, first.seed) == (0.0, 3)
    assert 1 <= first.al <= 5
    assert abs(first.dal) <= 4
    assert -1 <= first.hinted_preferred <= 1
    assert not Path(":memory:").exists()  # replies are kept in memory, which is no file


def test_every_profile_is_there_with_as_many_personalities_as_asked_and_they_move_on():
    ids = [case.id for case in worlds.some_cases(small(), 0, 2)]
    assert ids == ["bench-p01-t1", "bench-p01-t2", "bench-p02-t2", "bench-p02-t1"]
    assert [case.id for case in worlds.some_cases(small(), 1)] == ["bench-p01-t2", "bench-p02-t1"]
    assert len(worlds.some_cases(small(), 0, 9)) == 4  # there are no more


def test_worlds_are_kept_as_they_come_and_only_those_that_are_missing_are_made(made, tmp_path):
    path = tmp_path / "worlds.csv"
    with pytest.raises(RuntimeError, match="the machine stops"):
        worlds.measure(small(), 1, [(0.0, 1), (0.0, 7), (1.0, 1)], path)
    assert made == [(0.0, 1)]
    found = worlds.measure(small(), 1, [(0.0, 1), (1.0, 1)], path)
    assert made == [(0.0, 1), (1.0, 1)]
    assert found[["effect", "seed"]].to_numpy().tolist() == [[0.0, 1], [1.0, 1]]
    assert found["p_dal_slope"].isna().all()
    assert found["p_dal"].tolist() == [0.04, 0.04]


def test_more_seeds_add_worlds_and_another_simulator_makes_all_of_them_anew(made, tmp_path):
    def rows(n_seeds, **planted):
        params = small(evidence=Evidence(null_worlds=NullWorlds(n_seeds, (0.0,), 1)))
        params = dataclasses.replace(params, sandbox=dataclasses.replace(params.sandbox, **planted))
        run = Run("smoke", params, tmp_path)
        found = worlds.run_worlds(run)
        assert run.null_worlds.is_file()
        return len(found)

    assert (rows(2), len(made)) == (2, 2)
    assert (rows(3), len(made)) == (3, 3)
    assert (rows(1), len(made)) == (1, 3)
    assert (rows(2, judge_error=0.3), len(made)) == (2, 5)


def test_a_preset_that_repeats_nothing_makes_nothing(made, tmp_path):
    run = Run("smoke", small(), tmp_path)
    assert worlds.run_worlds(run).empty
    assert not run.null_worlds.exists()
    assert made == []


@pytest.mark.parametrize("keys, sentence", [
    ("evidence: {trainings: {n_seeds: 1, effects: [0.0], n_trees: 99, n_dev_trees: 1, n_pairs: 1, n_dev_pairs: 1,"
     " cases_per_profile: 1, n_simulators: 1, n_judges: 1}}", r"wants 99 and 1 dialogues, but `trees` has 6 and 2"),
    ("evidence: {null_worlds: {n_seeds: 1, effects: [0.0], tree_turns: 1}}\nbenchmark: {n_personalities: 1}",
     r"needs two profiles and two personalities"),
    ("evidence: {null_worlds: {n_seeds: 1, effects: [2.0], tree_turns: 1}}", r"effects\[0\]` should be at least 0"),
    ("evidence: {null_worlds: {n_seeds: 1, effects: [0.0], tree_turns: 1}}\nsimulated: true\nendpoints:\n  simulated:"
     " {base_url: 'http://127.0.0.1:1/v1'}", r"every endpoint must be `sandbox:`"),
])  # fmt: skip
def test_worlds_that_cannot_be_made_are_refused(keys, sentence, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(f"extends: smoke\n{keys}\n")
    with pytest.raises(UserError, match=sentence):
        load_params(str(path))
