"""Further settings of the benchmark: what a preset may say, what is refused, and what is planned."""

import dataclasses

import pytest

from aloe.benchmark_contradictions import LEAST_TURN
from aloe.contradictions import contradiction
from aloe.errors import UserError
from aloe.params import load_params
from aloe.plan import describe, make_plan
from aloe.preset_files import check_files
from aloe.runs import open_run

SETTINGS = {"shift": "shift", "hello": "opening", "slots": "slots", "released-benchmark": "from_released"}
PRESETS = (*SETTINGS, "long", "long-70")


def write(tmp_path, text: str, name="mine") -> str:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", PRESETS)
def test_a_setting_trains_nothing_and_differs_from_the_sandbox_in_the_benchmark_alone(name):
    params, sandbox = load_params(name), load_params("sandbox")
    assert params.models_from == "sandbox"
    for key in ("seed", "roles", "sandbox", "personas", "trees", "training", "arms", "endpoints", "prompts"):
        assert getattr(params, key) == getattr(sandbox, key), key
    assert open_run(name).journal == open_run("sandbox").journal
    own = {SETTINGS[name]} if name in SETTINGS else {"n_turns", "policies", "endpoint_policies"}
    own |= {"n_profiles"} if name == "long-70" else set()
    changed = {f.name for f in dataclasses.fields(params.benchmark)
               if getattr(params.benchmark, f.name) != getattr(sandbox.benchmark, f.name)}  # fmt: skip
    assert changed == own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("benchmark: {n_turns: 6, shift: {turn: 6}}", "take a turn from 2 to 5"),
        ("benchmark: {n_turns: 2, shift: {turn: 2}}", "take three turns or more"),
        ("benchmark: {shift: {turn: 1}}", r"benchmark\.shift\.turn"),
        ("benchmark: {opening: '  '}", "`benchmark.opening` is empty"),
        ("benchmark: {slots: a, from_released: {profiles: a, personalities: b}}", "both name the profiles"),
        ("models_from: ../other", "`models_from` should be the name of another run"),
        ("models_from: mine", "`models_from` should be the name of another run"),
    ],
    ids=["last turn", "too few turns", "first turn", "opening", "two sources", "a path", "itself"],
)
def test_what_cannot_work_is_a_sentence(tmp_path, text, said):
    with pytest.raises(UserError, match=said):
        load_params(write(tmp_path, f"extends: smoke\n{text}\n"))


@pytest.mark.parametrize("n_turns", [30, 70])
def test_long_dialogues_of_the_small_model_are_refused_in_a_sentence(tmp_path, n_turns):
    with pytest.raises(UserError, match=rf"`benchmark.n_turns` is {n_turns}: .* has a context of 1,536"):
        load_params(write(tmp_path, f"extends: sandbox\nbenchmark: {{n_turns: {n_turns}}}\n"))


def test_the_longest_dialogues_that_may_fit_are_not_refused():
    params = load_params("sandbox")

    def problem(n_turns):
        return contradiction(
            dataclasses.replace(params, benchmark=dataclasses.replace(params.benchmark, n_turns=n_turns))
        )

    # 18 turns of 80 tokens and a reply of 80 are 1,520 of 1,536; one turn more is 1,600.
    assert (LEAST_TURN, params.benchmark.max_new_tokens) == (80, 80)
    assert problem(18) is None
    assert "n_turns` is 19" in problem(19)


def test_large_models_hold_long_dialogues_as_far_as_their_context_goes(tmp_path):
    text = "extends: paper-{}\nbenchmark: {{n_turns: 70}}\n"
    assert load_params(write(tmp_path, text.format("llama3-8b"))).benchmark.n_turns == 70  # context 8,192
    with pytest.raises(UserError, match="has a context of 4,096"):
        load_params(write(tmp_path, text.format("olmo-7b")))


def calls(params):
    found = {}
    for role in make_plan(params).roles:
        found[role.role] = found.get(role.role, 0) + role.calls
    return found


def test_the_plan_of_a_setting_holds_the_benchmark_alone():
    asked = calls(load_params("shift"))
    assert {name: n for name, n in asked.items() if n} == {
        # 5 policies x 100 cases x 10 turns, the first message of a case asked for once: 400 fewer
        "user": 4600,
        "alignment_judge": 15000,  # each reply for its persona, for a stranger, and blind
    }
    plan = make_plan(load_params("shift"))
    sandbox = make_plan(load_params("sandbox"))
    assert 0 < plan.training_hours < sandbox.training_hours / 2  # replies alone
    assert plan.disk_gb < sandbox.disk_gb
    assert "the personas, dialogues and models of sandbox: nothing is trained" in describe(load_params("shift"))
    assert "of sandbox: trained are dpo_from_base alone" in describe(load_params("evidence"))


def test_nobody_is_asked_for_a_first_message_that_the_preset_gives():
    assert calls(load_params("hello"))["user"] == 4500  # 5 policies x 100 cases x 9 turns


def test_long_dialogues_are_planned_turn_by_turn():
    # 1 policy x 100 cases x 30 turns; 10 profiles x 5 personalities x 70 turns
    for name, n in (("long", 3000), ("long-70", 3500)):
        asked = calls(load_params(name))
        assert (asked["user"], asked["responder"], asked["alignment_judge"]) == (n, n, 3 * n)


def test_slots_ask_as_often_as_sentences():
    assert calls(load_params("slots")) == calls(load_params("shift"))


def test_the_published_benchmark_needs_the_users_copy_and_says_so(tmp_path):
    with pytest.raises(UserError, match=r"released/profile_eval\.jsonl does not exist; give the path of your copy"):
        check_files(load_params("released-benchmark"))
    (tmp_path / "p.jsonl").write_text("\n".join(f'"Ana is nurse {i}."' for i in range(20)), encoding="utf-8")
    (tmp_path / "t.jsonl").write_text("\n".join(f'"Blunt {i}."' for i in range(7)), encoding="utf-8")
    paths = f"{{profiles: {tmp_path}/p.jsonl, personalities: {tmp_path}/t.jsonl}}"
    mine = write(tmp_path, f"extends: released-benchmark\nbenchmark: {{from_released: {paths}}}\n")
    check_files(load_params(mine))
    assert calls(load_params(mine)) == calls(load_params("shift"))
