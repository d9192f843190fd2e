"""Recipes: switches and their words, the data that each one makes of a dialogue worked out by hand, presets, arms."""

import dataclasses
import doctest

import pytest
from test_preferences import HISTORY, PERSONA, TREE
from test_preferences import turn as hand_turn
from test_training import TREES
from tiny_model import save_tiny_model

from aloe import checkpoints, examples, plan, recipes, training
from aloe.departures import recipe_conversations, recipe_pairs
from aloe.errors import UserError
from aloe.params import Arms, DpoArm, SftArm, load_params, presets
from aloe.preferences import dpo_pairs, sft_conversations
from aloe.provenance import fingerprint
from aloe.recipes import CORRECTED, Recipe
from aloe.records import DialogueTree, Message, PreferencePair, write_jsonl
from aloe.runs import Run, open_run
from aloe.stages import STAGES, inputs, recipe
from aloe.strategies import STEPS

# TREE of test_preferences by turn: preferred h1 p2 - h4 - p6, rejected p1 h2 - p4 - h6, continued h1 h2 p3 p4 h5 p6
ARMS = """
extends: smoke
training: {recipe: RECIPE}
arms:
  sft: {sft_prefixes: {recipe: {prefixes: true}, sft: {batch_size: 7}}}
  dpo: {dpo_published: {recipe: published}, dpo_ipo: {dpo: {loss: ipo}}}
benchmark: {policies: [base, sft_prefixes, dpo_published]}
"""


@pytest.fixture
def preset(tmp_path):
    """The path of a preset with this text."""

    def write(text):
        (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
        return str(tmp_path / "mine.yaml")

    return write


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(save_tiny_model(tmp_path_factory.mktemp("base")))


def contents(row):
    return [message["content"] for message in row["messages"]]


def learned(row):
    return [m["content"] for m, train in zip(row["messages"], row["train"], strict=True) if train]


def test_the_docstring_example_is_true():
    assert doctest.testmod(recipes).failed == 0


@pytest.mark.parametrize("reply", ["preferred", "rejected"])
def test_the_corrected_recipe_leaves_the_data_as_it_is(reply):
    assert recipe_conversations([TREE], reply, CORRECTED) == sft_conversations([TREE], reply)
    assert recipe_pairs([TREE], CORRECTED) == dpo_pairs([TREE])


def test_prefixes_grow_turn_by_turn():
    rows = recipe_conversations([TREE], "preferred", Recipe(prefixes=True))
    assert [contents(row) for row in rows] == [HISTORY[:end] for end in (2, 4, 6, 8, 10, 12)]
    assert [learned(row) for row in rows] == [["h1"]] * 5 + [["h1", "p6"]]  # the early reply six times, the late once
    rows = recipe_conversations([TREE], "rejected", Recipe(prefixes=True))
    assert [learned(row) for row in rows] == [
        ["h2"],
        ["h2"],
        ["h2", "p4"],
        ["h2", "p4"],
        ["h2", "p4"],
    ]  # none in turn 1


def test_the_first_message_stands_at_every_turn():
    [row] = recipe_conversations([TREE], "preferred", Recipe(first_message=True))
    assert contents(row) == ["u1", "h1", "u1", "h2", "u1", "p3", "u1", "p4", "u1", "h5", "u1", "p6"]
    assert learned(row) == ["h1", "p6"]


def test_a_history_of_wanted_replies_learns_all_of_them_and_keeps_what_has_no_label():
    [row] = recipe_conversations([TREE], "preferred", Recipe(preferred_history=True))
    assert contents(row) == ["u1", "h1", "u2", "p2", "u3", "p3", "u4", "h4", "u5", "h5", "u6", "p6"]
    assert learned(row) == ["h1", "p2", "h4", "p6"]
    [row] = recipe_conversations([TREE], "rejected", Recipe(preferred_history=True))
    assert learned(row) == ["p1", "h2", "p4", "h6"]
    tied = DialogueTree("e", PERSONA, (hand_turn(1, "tie", "plain"),))
    assert recipe_conversations([tied], "preferred", Recipe(preferred_history=True)) == []


def test_all_tokens_are_learned_template_marks_included(tokenizer):
    [row] = recipe_conversations([TREE], "preferred", Recipe(all_tokens=True))
    [tokens] = examples.sft_tokens(tokenizer, [row], 400)
    assert tokens.labels == tokens.input_ids
    assert tokenizer.decode(tokens.labels).startswith("<|user|>u1<|end|><|assistant|>h1<|end|>")


def test_as_published_all_of_it_together():
    rows = recipe_conversations([TREE], "preferred", Recipe(**recipes.named("published")))
    assert [contents(row) for row in rows][1] == ["u1", "h1", "u1", "p2"]
    assert len(rows) == 6
    assert all(all(row["train"]) for row in rows)


def test_one_character_replaces_the_rejected_reply_and_nothing_else():
    pairs = recipe_pairs([TREE], Recipe(one_character=True))
    for found, whole in zip(pairs, dpo_pairs([TREE]), strict=True):
        assert len(found.rejected) == 1
        assert found.rejected in whole.rejected
        assert dataclasses.replace(found, rejected=whole.rejected) == whole
    assert pairs == recipe_pairs([TREE], Recipe(one_character=True))
    assert not recipes.named("published")["one_character"]  # a fault, no choice


def test_a_long_pair_keeps_the_end_of_its_prompt_and_a_short_one_all_of_it(tokenizer):
    words = ("Hi there!", "Hello.", "Tea?", "Yes, thanks.", "Here you are.")
    roles = ("user", "assistant") * 2 + ("user",)
    pair = PreferencePair("d-3", "train-p001-t001", 3, tuple(map(Message, roles, words)), "Lovely.", "Yes.")
    [length] = examples.pair_lengths(tokenizer, [pair], 400)

    def prompt(above, keep):
        [found] = examples.cut_history(tokenizer, [pair], above, keep)
        assert (found.chosen, found.rejected) == (pair.chosen, pair.rejected)
        return [message.content for message in found.prompt]

    end = len(tokenizer("<|user|>Tea?<|end|><|assistant|>Yes, thanks.<|end|><|user|>Here you are.<|end|><|assistant|>")[
        "input_ids"])  # fmt: skip
    assert prompt(length, 1) == list(words)  # not above the limit
    assert prompt(length - 1, end) == list(words[2:])
    assert prompt(length - 1, end - 1) == list(words[4:])
    assert prompt(length - 1, 1) == list(words[4:])  # the message to reply to stays


def test_every_shipped_preset_is_corrected_and_only_ablation_and_evidence_have_arms():
    for name in presets():
        params = load_params(name)
        assert params.training.recipe == CORRECTED, name
        assert bool(params.arms.reference()) == (name in ("ablation", "evidence")), name


def test_the_ablation_has_an_arm_for_each_choice_and_is_the_sandbox_otherwise():
    ablation, sandbox = load_params("ablation"), load_params("sandbox")
    arms = {**ablation.arms.sft, **ablation.arms.dpo}
    single = [recipes.turned_on(arm.recipe) for name, arm in arms.items() if not name.endswith("_published")]
    choices = [name for name, field in recipes.switches().items() if not field.metadata["fault"]]
    assert sorted(single) == sorted([name] for name in choices)
    assert set(ablation.arms.reference()) < set(ablation.benchmark.policies)
    assert (ablation.personas, ablation.trees, ablation.roles) == (sandbox.personas, sandbox.trees, sandbox.roles)
    assert ablation.training.sft == sandbox.training.sft
    assert open_run("ablation").journal == open_run("sandbox").journal


def test_the_evidence_is_the_sandbox_with_more_policies_and_asks_nothing_twice():
    evidence, sandbox = load_params("evidence"), load_params("sandbox")
    assert (evidence.personas, evidence.trees, evidence.roles) == (sandbox.personas, sandbox.trees, sandbox.roles)
    assert (evidence.training, evidence.sandbox, evidence.seed) == (sandbox.training, sandbox.sandbox, sandbox.seed)
    assert set(evidence.benchmark.policies) > set(sandbox.benchmark.policies)
    assert recipes.turned_on(evidence.arms.dpo["dpo_from_base"].recipe) == ["from_base"]
    assert open_run("evidence").journal == open_run("sandbox").journal
    # Every strategy takes part, but the plain instruction, which `concise` stands for.
    asked = evidence.benchmark.endpoint_policies
    assert {policy.strategy for policy in asked.values()} == set(STEPS) - {"plain"}
    assert set(asked) < set(evidence.benchmark.policies)


def test_a_recipe_is_a_name_or_switches_and_puts_its_values_into_place(preset):
    assert load_params(preset("extends: smoke\n")).training.recipe == CORRECTED
    published = load_params(preset("extends: smoke\ntraining: {recipe: published}\n")).training
    assert recipes.turned_on(published.recipe) == [name for name in recipes.switches() if name != "one_character"]
    assert (published.dpo.beta, published.dpo.sft_weight) == (0.9, 0.0)
    single = load_params(preset("extends: smoke\ntraining: {recipe: {from_base: true}}\n")).training
    assert recipes.turned_on(single.recipe) == ["from_base"]
    assert single.dpo == load_params("smoke").training.dpo


def test_an_arm_is_the_training_with_what_it_names(preset):
    params = load_params(preset(ARMS.replace("RECIPE", "corrected")))
    arm = params.arms.sft["sft_prefixes"]
    assert arm.sft == dataclasses.replace(params.training.sft, batch_size=7)
    assert recipes.turned_on(arm.recipe) == ["prefixes"]
    assert params.arms.dpo["dpo_published"].dpo.beta == 0.9
    assert params.arms.dpo["dpo_ipo"].dpo == dataclasses.replace(params.training.dpo, loss="ipo")
    assert params.arms.reference() == {"sft_prefixes": "sft_preferred", "dpo_published": "dpo", "dpo_ipo": "dpo"}
    inherited = load_params(preset(ARMS.replace("RECIPE", "{all_tokens: true}"))).arms.sft["sft_prefixes"]
    assert recipes.turned_on(inherited.recipe) == ["prefixes", "all_tokens"]


def test_only_the_stages_that_train_or_show_an_arm_depend_on_it(preset):
    run, other = (open_run(preset(ARMS.replace("RECIPE", "corrected").replace("7", size))) for size in "78")
    parts = {stage.name: (recipe(stage, run), recipe(stage, other)) for stage in STAGES}
    assert [name for name, (one, two) in parts.items() if one != two] == ["04_sft", "07_aloe_analysis"]
    benchmark = next(stage for stage in STAGES if stage.name == "06_aloe_benchmark")
    assert {run.model(name) for name in ("sft_prefixes", "dpo_published", "dpo_ipo")} < set(inputs(benchmark, run))


def test_arms_are_planned_for(preset):
    bare = load_params(preset(ARMS.replace("RECIPE", "corrected").split("arms:")[0]))
    params = dataclasses.replace(load_params(preset(ARMS.replace("RECIPE", "corrected"))), benchmark=bare.benchmark)
    more, less = plan.make_plan(params), plan.make_plan(bare)
    assert more.training_hours > less.training_hours
    assert more.disk_gb > less.disk_gb


@pytest.mark.parametrize("text, said", [
    ("training: {recipe: {prefix: true}}", "unknown key `training.recipe.prefix`; did you mean"),
    ("training: {recipe: paper}", "`training.recipe` should be corrected, published, or switches"),
    ("arms: {sft: {x: {recipe: paper}}}", "`arms.sft.x.recipe` should be corrected"),
    ("arms: {sft: {x: {dpo: {beta: 1.0}}}}", "unknown key `arms.sft.x.dpo`"),
    ("arms: {sft: {dpo: {sft: {epochs: 1.0}}}}", "`arms`: 'dpo' is taken"),
    ("arms: {sft: {x: {recipe: published}}, dpo: {x: {recipe: published}}}", "`arms`: 'x' is taken"),
    ("arms: {dpo: {x: {dpo: {n_pairs: 9999}}}}", "`arms.dpo.x.dpo.n_pairs` is 9999"),
    ("arms: [x]", "`arms`"),
    ("benchmark: {policies: [base, sft_prefixes]}", "`benchmark.policies[1]` should be one of"),
    ("training: {dpo: {loss: grpo}}", "`training.dpo.loss` should be one of sigmoid, ipo, kto, cpo, simpo, orpo"),
    ("training: {dpo: {loss: kto}}", "`training.dpo.sft_weight` is 0.2, but the loss kto learns from single replies"),
    ("training: {dpo: {loss: orpo}}", "the loss orpo always holds an SFT term of weight 1; set it to 1"),
    ("training: {recipe: published, dpo: {loss: ipo}}", "but `training.dpo.loss` is ipo"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(preset, text, said):
    with pytest.raises(UserError) as error:
        load_params(preset(f"extends: smoke\n{text}\n"))
    assert said in str(error.value)


def test_arms_are_trained_each_with_its_own_choice_and_measured_alike(tmp_path):
    params = load_params("smoke")
    sft = dataclasses.replace(params.training.sft, learning_rate=1e-2)
    base = dataclasses.replace(
        params.training, base_model=str(save_tiny_model(tmp_path / "base")), max_length=400, dtype="float32", sft=sft
    )
    arms = Arms(
        sft={"sft_prefixes": SftArm(Recipe(prefixes=True), base.sft), "sft_same": SftArm(CORRECTED, base.sft)},
        dpo={"dpo_from_base": DpoArm(Recipe(from_base=True), base.dpo), "dpo_same": DpoArm(CORRECTED, base.dpo)},
    )
    run = Run("arms", dataclasses.replace(params, training=base, arms=arms), tmp_path / "arms")
    write_jsonl(run.trees, TREES)
    checkpoints.save_base(base, run.model("base"))
    sft, tuned = training.train_sft(run, "preferred"), training.train_arms(run, "sft")
    rows = recipe_conversations(TREES[:8], "preferred", Recipe(prefixes=True))
    assert (sft["sequences"], tuned["sft_prefixes"]["sequences"]) == (8, len(rows))
    assert tuned["sft_prefixes"]["loss_before"] == sft["loss_before"]  # the same development dialogues
    assert tuned["sft_prefixes"]["settings"]["departures"] == ["prefixes"]
    assert fingerprint(run.model("sft_same")) == fingerprint(run.model("sft_preferred"))
    dpo, compared = training.train_dpo(run), training.train_arms(run, "dpo")
    assert compared["dpo_from_base"]["chosen_before"] < dpo["chosen_before"]  # the base model has not learned them
    assert fingerprint(run.model("dpo_same")) == fingerprint(run.model("dpo"))
    assert training.train_arms(dataclasses.replace(run, params=params), "sft") == {}


def test_the_development_pairs_keep_their_history_when_it_is_cut_for_training(tmp_path, monkeypatch):
    params = load_params("smoke")
    section = dataclasses.replace(params.training, base_model=str(save_tiny_model(tmp_path / "base")), max_length=400,
                                  recipe=Recipe(cut_history=True))  # fmt: skip
    run = Run("cut", dataclasses.replace(params, training=section), tmp_path / "cut")
    write_jsonl(run.trees, TREES)
    monkeypatch.setattr(training, "CUT_ABOVE", 40)
    monkeypatch.setattr(training, "CUT_TO", 1)
    policy = checkpoints.load_policy(section.base_model, section, 0)
    train, dev, _ = training._pairs(run, policy.tokenizer)
    assert {pair.turn: len(pair.prompt) for pair in dev} == {1: 1, 2: 3, 3: 5}
    assert {len(pair.prompt) for pair in train if pair.turn == 3} == {1}
    assert len(train) == 8  # as many as were drawn
