"""`make plan`: counts that follow from the preset, prices that are known or said to be unknown."""

import dataclasses
import json

import pytest

from aloe import evidence_plan
from aloe import plan as plan_module
from aloe.branching import is_expanded
from aloe.dialogues import choose_personas
from aloe.params import ROOT, EndpointPolicy, Mix, load_params, presets
from aloe.personas import draw_personas, draw_texts
from aloe.plan import describe, make_plan
from aloe.prompts import prompt_file
from aloe.room import model_size
from aloe.strategies import STEPS
from aloe.world_sections import NullWorlds


def with_sizes(name="smoke", **changes):
    """A preset with some values of its sections replaced, given as section={key: value}."""
    params = load_params(name)
    sections = {key: dataclasses.replace(getattr(params, key), **values) for key, values in changes.items()}
    return dataclasses.replace(params, **sections)


def test_calls_per_role_follow_from_turns_trees_cases_and_policies():
    params = with_sizes(
        trees={"n_trees": 3, "n_dev_trees": 2, "n_turns": 4},
        benchmark={"n_profiles": 2, "n_personalities": 3, "n_turns": 5, "policies": ("base", "dpo")},
    )
    calls = {role.role: role.calls for role in make_plan(params).roles}
    # 5 dialogues x 4 turns = 20 of each dialogue role, the judge asked in both orders;
    # 2 policies x 6 cases x 5 turns = 60 benchmark turns, each with a score and a user's message, but the first message
    # to a case is asked for once: 6 fewer. Each score comes with that for a stranger and that of a blind judge.
    assert calls["inducer"] == calls["hinted_responder"] == calls["plain_responder"] == 20
    assert calls["preference_judge"] == 40
    assert calls["user"] == 20 + 54
    assert calls["alignment_judge"] == 3 * 60


def test_controls_are_planned_for_where_they_exist():
    def judged(**changes):
        roles = make_plan(with_sizes(benchmark={"n_profiles": 2, "n_turns": 5, "policies": ("base",), **changes})).roles
        return next((role.calls, role.prompt_tokens) for role in roles if role.role == "alignment_judge")

    none, shuffled, blind = (
        judged(n_personalities=3, controls=controls) for controls in (None, ("shuffled",), ("blind",))
    )
    assert (none[0], shuffled[0], blind[0]) == (30, 60, 60)
    assert shuffled[1] == pytest.approx(2 * none[1], abs=1)
    assert none[1] < blind[1] < 2 * none[1]  # a blind judge is shown no persona
    # With a single personality nobody differs in both.
    assert judged(n_personalities=1, controls=("shuffled",)) == judged(n_personalities=1, controls=None)


def test_the_plan_of_the_published_run_is_within_a_fifth_of_what_it_used():
    published = json.loads((ROOT / "outputs" / "sandbox" / "metrics.json").read_text())
    used, policy = published["cost"], published["benchmark"]["policies"]["base"]
    kept = {"shuffled": "dal", "blind": "al_blind"}
    controls = tuple(name for name, key in kept.items() if policy.get(key) is not None)  # those that it was made with
    roles = make_plan(with_sizes("sandbox", benchmark={"controls": controls})).roles
    for key in ("calls", "prompt_tokens", "completion_tokens"):
        assert sum(getattr(role, key) for role in roles) == pytest.approx(used[key], rel=0.2), key


def test_limits_per_minute_make_a_run_longer():
    params = load_params("paper-llama3-8b")
    slow = dataclasses.replace(params.endpoints["openai"], requests_per_minute=60)
    slowed = make_plan(dataclasses.replace(params, endpoints={"openai": slow}))
    assert slowed.asking_hours == pytest.approx(sum(role.calls for role in slowed.roles) / 3600)


def test_a_loss_without_a_reference_and_general_conversations_change_the_hours(tmp_path):
    params = load_params("sandbox")
    training = params.training

    def hours(**sections):
        new = dataclasses.replace(params, training=dataclasses.replace(training, **sections))
        return make_plan(new).training_hours

    # Pairs, one epoch: a step is three times as much work as its replies forwards, which a reference adds once.
    none, free, more = (hours(dpo=dataclasses.replace(training.dpo, epochs=epochs, loss=loss))
                        for epochs, loss in ((1.0, "sigmoid"), (1.0, "cpo"), (2.0, "sigmoid")))  # fmt: skip
    assert none - free == pytest.approx((more - none) / 3)
    double = hours(sft=dataclasses.replace(training.sft, epochs=2 * training.sft.epochs))
    # Half of a dialogue's replies are wanted and half of these in no history: more to read, but not as much again.
    trees = hours(sft=dataclasses.replace(training.sft, off_branch=True))
    assert none < trees < none + (double - none) / 2
    talk = {"messages": [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello to you."}]}
    general = tmp_path / "general.jsonl"
    general.write_text(f"{json.dumps(talk)}\n" * 1000, encoding="utf-8")
    assert hours(sft=dataclasses.replace(training.sft, mix=Mix(str(general), 0.5))) == pytest.approx(double)


def test_a_policy_behind_an_endpoint_is_asked_once_per_case_and_turn():
    params = with_sizes(benchmark={"n_profiles": 2, "n_personalities": 3, "n_turns": 5, "policies": ("base", "rival")})
    rival = EndpointPolicy(**dataclasses.asdict(params.roles.user))
    asked = {"rival": rival, "not entered": rival}
    bench = dataclasses.replace(params.benchmark, endpoint_policies=asked)
    roles = {role.role: role for role in make_plan(dataclasses.replace(params, benchmark=bench)).roles}
    assert roles["rival"].calls == 2 * 3 * 5
    assert roles["alignment_judge"].calls == 3 * 2 * 30  # with both controls
    assert "not entered" not in roles


def asked_by(strategy, n_turns=1):
    """The plan's line of an endpoint policy with this strategy: one profile x one personality."""
    params = with_sizes(benchmark={"n_profiles": 1, "n_personalities": 1, "n_turns": n_turns, "policies": ("rival",)})
    rival = EndpointPolicy(**dataclasses.asdict(params.roles.user), strategy=strategy)
    bench = dataclasses.replace(params.benchmark, endpoint_policies={"rival": rival})
    return next(r for r in make_plan(dataclasses.replace(params, benchmark=bench)).roles if r.role == "rival")


def test_a_strategy_is_planned_with_all_its_requests_and_what_they_write():
    """Requests per reply: drafts, critiques and revisions make three, notes and a reply on them two, all others one."""
    assert {name: asked_by(name, 3).calls / 3 for name in STEPS} == {
        "plain": 1, "concise": 1, "reminder": 1, "self_critic": 3, "chain_of_thought": 1, "retrieval": 1, "hinted": 2,
        "told": 1,
    }  # fmt: skip
    plain = asked_by("plain")
    assert asked_by("chain_of_thought").completion_tokens > plain.completion_tokens
    # A draft, a critique of 110 characters at 3.6 a token, and the reply.
    critic = asked_by("self_critic")
    assert critic.completion_tokens == pytest.approx(2 * plain.completion_tokens + 110 / 3.6, abs=1)
    assert asked_by("told").prompt_tokens > plain.prompt_tokens + 100  # the persona has more than 360 characters


def test_retrieved_messages_are_planned_from_the_second_turn_on():
    """At turn 1 nothing is earlier; at turns 2, 3, 4 one, two, three messages of 190 characters, six in all."""
    texts = {name: len(prompt_file(name).read_text(encoding="utf-8")) for name in ("retrieval", "plain_responder")}
    more = asked_by("retrieval", 4).prompt_tokens - asked_by("plain", 4).prompt_tokens
    assert more == pytest.approx((4 * (texts["retrieval"] - texts["plain_responder"]) + 6 * 190) / 3.6, abs=1)


def test_every_judge_is_planned_for_itself():
    params = load_params("smoke")
    judges = params.roles.alignment_judge * 2
    params = dataclasses.replace(params, roles=dataclasses.replace(params.roles, alignment_judge=judges))
    assert [role.role for role in make_plan(params).roles].count("alignment_judge") == 2


def test_tokens_grow_faster_than_turns_because_the_history_is_sent_again():
    short, long = (make_plan(with_sizes(trees={"n_turns": n})).roles for n in (2, 4))
    by_role = {role.role: role for role in long}
    plain = next(role for role in short if role.role == "plain_responder")
    assert by_role["plain_responder"].prompt_tokens > 2 * plain.prompt_tokens
    assert by_role["plain_responder"].completion_tokens == pytest.approx(2 * plain.completion_tokens, abs=1)


def test_replies_that_are_cut_short_make_the_benchmark_cheaper_to_judge_and_nothing_else_but_its_users():
    whole, cut = (
        {r.role: r for r in make_plan(with_sizes(benchmark={"max_new_tokens": n})).roles} for n in (64, 10)
    )  # 64 tokens hold a whole reply
    shorter = {role for role in whole if cut[role].prompt_tokens < whole[role].prompt_tokens}
    assert shorter == {"alignment_judge", "judges.strict", "user"}


def test_a_simulated_run_costs_nothing_and_says_so():
    plan = make_plan(load_params("sandbox"))
    assert plan.usd == 0
    assert "simulated: nothing is paid" in describe(load_params("sandbox"))


def test_the_price_of_a_listed_model_is_that_of_its_tokens():
    plan = make_plan(load_params("paper-llama3-8b"))
    user = next(role for role in plan.roles if role.role == "user")
    # gpt-4o: 2.50 USD per million prompt tokens, 10 USD per million reply tokens
    assert user.usd == pytest.approx(user.prompt_tokens * 2.5e-6 + user.completion_tokens * 10e-6)
    assert plan.usd == pytest.approx(sum(role.usd for role in plan.roles))


def test_an_unlisted_model_has_an_unknown_price_and_so_has_the_whole_run():
    params = load_params("paper-llama3-8b")
    user = dataclasses.replace(params.roles.user, model="a-model-of-tomorrow")
    params = dataclasses.replace(params, roles=dataclasses.replace(params.roles, user=user))
    assert make_plan(params).usd is None
    assert "unknown" in describe(params)


@pytest.mark.parametrize(
    ("name", "size"),
    [("meta-llama/Meta-Llama-3-8B-Instruct", 8e9), ("Qwen/Qwen2.5-0.5B", 0.5e9), ("a/SmolLM-135M", 135e6)],
)
def test_the_size_of_a_hub_model_is_read_from_its_name(name, size):
    assert model_size(name) == size


def test_a_model_of_unknown_size_leaves_memory_and_disk_unknown():
    plan = make_plan(with_sizes(training={"base_model": "someone/a-model"}))
    assert (plan.parameters, plan.gpu_gb, plan.disk_gb, plan.training_hours) == (None, None, None, None)


def test_lora_in_four_bits_needs_much_less_gpu_memory_than_full_training():
    full, lora = (
        make_plan(with_sizes("paper-llama3-8b", training={"method": method, "load_in_4bit": bits})).gpu_gb
        for method, bits in (("full", False), ("lora", True))
    )
    # full: weights, gradients and two moments, each 8e9 times 4 bytes, and a fifth more
    assert full == pytest.approx(153.6)
    assert lora == pytest.approx(19.2)  # the merged policy talks in 16 bits; training it takes less
    half = make_plan(with_sizes("paper-llama3-8b", training={"dtype": "bfloat16_weights"})).gpu_gb
    assert half == pytest.approx(76.8)


def test_a_journal_that_is_named_and_not_there_saves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(plan_module, "OUTPUTS", tmp_path)
    params = with_sizes("paper-mistral-7b")
    assert describe(params).endswith("that of paper-llama3-8b: not there yet, so it begins empty")
    journal = tmp_path / "paper-llama3-8b" / "journal" / "replies.sqlite"
    journal.parent.mkdir(parents=True)
    journal.touch()
    assert describe(params).endswith("not asked and paid again")


def test_what_no_single_gpu_holds_is_said_to_need_several():
    def said(preset, **training):
        return next(
            line for line in describe(with_sizes(preset, training=training)).splitlines() if "GPU memory" in line
        )

    assert said("paper-llama3-8b").endswith("page on more than one")
    shared = said("paper-llama3-8b", launcher="params/accelerate/eight-gpus-fsdp.yaml")
    assert shared.endswith("of `training.launcher`; each holds 32 GB before its first step")
    assert said("paper-llama3-8b-qlora").endswith("GB at least")


@pytest.mark.parametrize("preset", [name for name in presets() if name != "released-benchmark"])  # needs a user's files
def test_every_shipped_preset_can_be_planned(preset):
    assert f"Preset {preset}" in describe(load_params(preset))


def test_a_tree_that_branches_is_planned_turn_by_turn():
    trees = {"n_trees": 3, "n_dev_trees": 1, "n_turns": 4, "expand": "both", "expand_depth": 4}
    params = with_sizes(trees=trees, benchmark={"policies": ()})
    calls = {role.role: role.calls for role in make_plan(params).roles}
    # 4 trees of 1 + 2 + 4 + 8 = 15 turns
    assert calls["inducer"] == calls["hinted_responder"] == calls["plain_responder"] == 4 * 15
    assert calls["preference_judge"] == 2 * 4 * 15
    one, two = (make_plan(with_sizes(trees={**trees, "expand_depth": depth})) for depth in (1, 2))
    assert two.training_hours > one.training_hours

    def beside(depth):
        params = with_sizes(trees={**trees, "expand_depth": depth}, benchmark={"policies": ()})
        sft = dataclasses.replace(params.training.sft, off_branch=True)
        new = dataclasses.replace(params, training=dataclasses.replace(params.training, sft=sft))
        return make_plan(new).training_hours - make_plan(params).training_hours

    # A tree: 15 turns and 8 ways, so 15 + 1 - 8 replies stand in no history; or 1 + 2 + 2 + 2 turns and 2 ways.
    assert beside(4) / beside(1) == pytest.approx((15 + 1 - 8) / (7 + 1 - 2))


def test_of_a_sample_of_trees_exactly_those_are_planned_that_will_branch():
    trees = {"n_trees": 40, "n_dev_trees": 10, "n_turns": 3, "expand": "both", "expand_depth": 2, "expand_share": 0.3}
    params = with_sizes(trees=trees)
    personas = params.personas
    drawn = [draw_texts([f"text {i}" for i in range(n)], n, dev, kind, params.seed) for kind, n, dev in (
        ("profile", personas.n_profiles, personas.dev_profiles),
        ("personality", personas.n_personalities, personas.dev_personalities))]  # fmt: skip
    everybody = draw_personas(*drawn, personas.personalities_per_profile, params.seed)
    chosen = [p for split, n in (("train", 40), ("dev", 10)) for p in choose_personas(everybody, n, split, params.seed)]
    expanded = sum(is_expanded(f"tree-{persona.id}", 0.3, params.seed) for persona in chosen)
    calls = {role.role: role.calls for role in make_plan(params).roles}
    assert 0 < expanded < 50
    assert calls["inducer"] == 50 * 3 + expanded * 4  # 1 + 2 + 4 turns instead of 3


def test_repeated_worlds_are_planned_for_with_their_time(monkeypatch):
    monkeypatch.setattr(evidence_plan, "cores", lambda: 2)
    params = with_sizes(benchmark={"n_profiles": 10, "n_personalities": 2, "n_turns": 5})
    section = NullWorlds(n_seeds=3, effects=(0.0, 1.0), tree_turns=2)
    found = evidence_plan.null_worlds(params, section)
    # 50 turns with 3 roles and a judge for two people, 20 with 4 roles and a judge in both orders: 50 x 5 + 20 x 6 =
    # 370 calls; with the effect, 50 + 20 replies more whose meaning is compared.
    without = 370 * evidence_plan.CALL
    assert found.n == 6
    assert found.seconds == pytest.approx(3 * (2 * without + 70 * evidence_plan.JUDGED))
    lines = "\n".join(evidence_plan.evidence_lines(load_params("evidence"), 0.0))
    assert "null worlds   400 without a training" in lines
    assert "trainings     6 worlds" in lines
    assert evidence_plan.evidence_lines(params, 1.0) == []


def test_the_evidence_is_planned_within_its_90_minutes_on_two_cores(monkeypatch):
    monkeypatch.setattr(evidence_plan, "cores", lambda: 2)
    last = next(line for line in describe(load_params("evidence")).splitlines() if line.startswith("in all"))
    assert 0 < int(last.split("about ")[1].split()[0]) <= 90
