"""Presets: the shipped ones load, and a wrong key is named."""

import dataclasses

import pytest
import yaml

from aloe import asking_plan, training_plan
from aloe.base_models import context_of
from aloe.errors import UserError
from aloe.families import families, self_judging
from aloe.params import PRESETS, Endpoint, Params, load_params, presets
from aloe.recipes import Recipe
from aloe.runs import open_run
from aloe.stages import STAGES, recipe

SMOKE = (PRESETS / "smoke.yaml").read_text(encoding="utf-8")


@pytest.fixture
def refusal(tmp_path):
    """The sentence with which a changed copy of the smoke preset is refused."""

    def load(old="", new="", text=None):
        path = tmp_path / "mine.yaml"
        assert text is not None or old in SMOKE
        path.write_text(SMOKE.replace(old, new, 1) if text is None else text, encoding="utf-8")
        with pytest.raises(UserError) as error:
            load_params(str(path))
        assert str(error.value).startswith(str(path))
        assert "\n" not in str(error.value)
        return str(error.value)

    return load


def changed(*keys_and_value):
    """The smoke preset with the value at a nested key replaced (deleted if the value is KeyError)."""
    *keys, value = keys_and_value
    data = yaml.safe_load(SMOKE)
    place = data
    for key in keys[:-1]:
        place = place[key]
    if value is KeyError:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return yaml.safe_dump(data)


@pytest.fixture
def extending(tmp_path):
    """The path of a preset with this text."""

    def write(text, name="mine"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_preset_that_extends_another_changes_only_what_it_names(extending):
    path = extending("extends: smoke\ndescription: Mine\ntrees: {n_trees: 5}\nbenchmark: {policies: [base, dpo]}\n")
    mine, smoke = load_params(path), load_params("smoke")
    assert mine.name == "mine"
    assert mine.benchmark.policies == ("base", "dpo")
    assert mine.trees == dataclasses.replace(smoke.trees, n_trees=5)
    assert mine.roles == smoke.roles


def test_extending_goes_over_several_files_and_never_in_a_circle(extending, refusal):
    middle = extending("extends: smoke\nseed: 7\n", "middle")
    assert load_params(extending(f"extends: {middle}\ndescription: Mine\n", "last")).seed == 7
    circle = extending("seed: 1\n", "circle")
    extending(f"extends: {circle}\n", "circle")
    with pytest.raises(UserError, match="leads back"):
        load_params(circle)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: smoke\ntrees: {n_tree: 5}\n", "n_tree"),
        ("extends: smoke\ntrees: 5\n", "trees"),
        ("extends: [smoke]\n", "`extends` should be"),
        ("extends: smoke\ntraining: {sft: {learning_rate: 1e-4x}}\n", "learning_rate"),
    ],
)
def test_a_wrong_key_of_an_extending_preset_is_named(refusal, text, said):
    assert said in refusal(text=text)


REAL = """
extends: paper-llama3-8b
description: Real models
allow_self_judging: false
endpoints:
  openai: {requests_per_minute: 500, tokens_per_minute: 30000}
  mine: {base_url: "http://10.0.0.5/v1", api_key_env: null, max_in_flight: 4, timeout_s: 9.0, max_retries: 2, ALLOWED}
roles:
  preference_judge: {endpoint: mine, model: my-judge, FAMILY}
  alignment_judge: [{endpoint: mine, model: my-judge, temperature: 0.0, max_tokens: 16, FAMILY}]
"""


def real(allowed="allow_http: true", family="family: llama"):
    """A preset whose judges are an unlisted model on another machine."""
    return REAL.replace("ALLOWED", allowed).replace("FAMILY", family)


def policy(name, endpoint="mine", family="mistral"):
    """A section that puts a model behind an endpoint on the benchmark."""
    role = f"{{endpoint: {endpoint}, model: m, temperature: 0.0, max_tokens: 99, family: {family}}}"
    return f"benchmark: {{policies: [base, {name}], endpoint_policies: {{{name}: {role}}}}}\n"


def test_a_model_behind_an_endpoint_may_be_a_policy(extending):
    params = load_params(extending(real() + policy("rival")))
    assert params.benchmark.policies == ("base", "rival")
    assert families(params)["policies.rival"] == "mistral"


def test_a_model_of_another_family_may_judge_and_a_machine_nearby_be_asked_in_plain_http(extending):
    params = load_params(extending(real()))
    assert params.endpoints["openai"].tokens_per_minute == 30_000
    assert params.endpoints["mine"].requests_per_minute is None
    assert set(families(params).values()) == {"gpt", "llama"}
    assert families(params)["alignment_judge[0]"] == "llama"
    assert self_judging(params) == []


@pytest.mark.parametrize(
    "text, said",
    [
        (real(allowed="allow_http: false"), "say `allow_http: true`"),
        (real(family="seed: 1"), "`roles.preference_judge.family` is missing: the price list does not know 'my-judge'"),
        (real(family="family: GPT"), "`roles.preference_judge` is of the family 'gpt', as is one whose"),
        ("extends: paper-llama3-8b\nallow_self_judging: false\n", "say `allow_self_judging: true`, and why"),
        (
            real() + "benchmark: {policies: [base, other]}\n",
            "`benchmark.policies[1]` should be one of base, told, sft_rejected, sft_preferred, dpo, or a model",
        ),
        (real() + policy("base"), "`benchmark.endpoint_policies.base`: take another name"),
        (real() + policy("rival", endpoint="nowhere"), "`benchmark.endpoint_policies.rival.endpoint` is 'nowhere'"),
        (real() + policy("rival", family="llama"), "`roles.alignment_judge[0]` is of the family 'llama', as is one"),
        (real() + "budget_usd: 10\n", "the price of 'my-judge' (`roles.preference_judge`) is not known"),
    ],
)
def test_families_and_budgets_that_cannot_hold_are_refused(refusal, text, said):
    assert said in refusal(text=text)


def test_the_sandbox_is_marked_simulated_and_judges_itself():
    params = load_params("sandbox")
    assert set(families(params).values()) == {"simulated"}
    assert (self_judging(params), params.allow_self_judging) == ([], False)
    assert self_judging(load_params("paper-llama3-8b")) == ["preference_judge", "alignment_judge[0]"]


def test_a_simulated_preset_may_ask_the_served_sandbox_without_naming_a_family(extending):
    path = extending('extends: smoke\nendpoints: {simulated: {base_url: "http://127.0.0.1:8000/v1"}}\n')
    assert set(families(load_params(path)).values()) == {"simulated"}


@pytest.mark.parametrize("preset", presets())
def test_every_shipped_preset_says_every_key_but_those_of_a_single_model(preset):
    def missing(kind, data):
        keys = [field.name for field in dataclasses.fields(kind) if field.name not in data]
        return [key for key in keys if key not in ("name", "seed", "family", "planted")]

    data = yaml.safe_load((PRESETS / f"{preset}.yaml").read_text(encoding="utf-8"))
    if "extends" in data:
        pytest.skip("what it leaves out is in the file that it extends")
    assert missing(Params, data) == []
    assert all(missing(Endpoint, endpoint) == [] for endpoint in data["endpoints"].values())


def test_a_seed_or_family_of_its_own_changes_what_decides_about_a_role_only_if_it_changes_replies():
    role = load_params("smoke").roles.user
    before = {"endpoint": "simulated", "model": "simulated", "temperature": 0.8, "max_tokens": 256}
    assert role.decides() == dataclasses.replace(role, family="simulated").decides() == before
    assert dataclasses.replace(role, seed=3).decides() == before | {"seed": 3}


@pytest.mark.parametrize("preset", presets())
def test_every_shipped_preset_loads_under_its_own_name(preset):
    assert load_params(preset).name == preset


def test_the_three_first_presets_are_shipped():
    assert {"smoke", "sandbox", "paper-llama3-8b"} <= set(presets())


def test_the_sandbox_draws_the_papers_persona_count():
    personas = load_params("sandbox").personas
    assert personas.n_profiles * personas.personalities_per_profile == 3310
    assert personas.n_personalities == 71


PAPER = [preset for preset in presets() if preset.startswith("paper-")]


def test_the_papers_four_base_models_are_there_each_in_full_and_for_a_small_card():
    models = {load_params(preset).training.base_model for preset in PAPER}
    assert sorted(model.split("/")[1] for model in models) == [
        "Meta-Llama-3-8B-Instruct", "Mistral-7B-Instruct-v0.3", "OLMo-7B-0724-Instruct-hf", "Qwen2-7B-Instruct"
    ]  # fmt: skip
    assert sorted(f"{preset}-qlora" for preset in PAPER if not preset.endswith("-qlora")) == sorted(
        preset for preset in PAPER if preset.endswith("-qlora")
    )


@pytest.mark.parametrize("preset", PAPER)
def test_the_paper_presets_take_as_many_steps_as_the_released_code(preset):
    params = load_params(preset)
    sft, dpo = params.training.sft, params.training.dpo
    assert dpo.batch_size * dpo.gradient_accumulation == 48  # pairs are not packed
    # The released code packs every prefix into the 48 rows of a step; ours hold whole dialogues.
    released = dataclasses.replace(
        params.training, recipe=Recipe(prefixes=True), max_length=8192,
        sft=dataclasses.replace(sft, batch_size=4, gradient_accumulation=12),
    )  # fmt: skip
    ours = training_plan.steps(params)
    theirs = training_plan.steps(dataclasses.replace(params, training=released))
    assert ours.dpo == theirs.dpo > 500
    assert 1.0 <= ours.sft / theirs.sft <= 1.2


@pytest.mark.parametrize("preset", PAPER)
def test_the_paper_presets_keep_the_whole_history(preset):
    params = load_params(preset)
    # A dialogue as `make plan` takes it, four times over: the longest of thousands is not that far above the mean.
    dialogue = params.trees.n_turns * (asking_plan.USER_MESSAGE + asking_plan.REPLY) / asking_plan.CHARACTERS_PER_TOKEN
    assert 4 * dialogue < params.training.max_length <= context_of(params.training.base_model)


@pytest.mark.parametrize("preset", PAPER)
def test_the_paper_presets_differ_in_their_training_only_and_ask_the_same(preset, tmp_path):
    run, first = open_run(preset, outputs=tmp_path), open_run("paper-llama3-8b", outputs=tmp_path)
    own = {"name", "description", "journal", "training", "benchmark"}
    for field in dataclasses.fields(Params):
        if field.name not in own:
            assert getattr(run.params, field.name) == getattr(first.params, field.name), field.name
    assert dataclasses.replace(run.params.benchmark, batch_size=25) == first.params.benchmark
    assert run.journal == first.journal == tmp_path / "paper-llama3-8b" / "journal" / "replies.sqlite"
    for stage in STAGES[:3]:
        assert recipe(stage, run) == recipe(stage, first)


@pytest.mark.parametrize("preset", [preset for preset in PAPER if preset.endswith("-qlora")])
def test_a_preset_for_a_small_card_is_the_full_one_with_an_adapter_on_four_bits(preset):
    small, full = load_params(preset).training, load_params(preset.removesuffix("-qlora")).training
    assert (small.method, small.load_in_4bit, small.sft.batch_size, small.dpo.batch_size) == ("lora", True, 1, 1)
    assert small.sft.learning_rate == pytest.approx(10 * full.sft.learning_rate)
    assert small.dpo.learning_rate == pytest.approx(10 * full.dpo.learning_rate)
    same = {"sft": full.sft, "dpo": full.dpo, "method": "full", "load_in_4bit": False, "backend": full.backend}
    assert dataclasses.replace(small, **same) == full
    for part in ("sft", "dpo"):
        changed = {"learning_rate", "batch_size", "gradient_accumulation"}
        ours, theirs = vars(getattr(small, part)), vars(getattr(full, part))
        assert {key for key in ours if ours[key] != theirs[key]} == changed


def test_a_seed_given_replaces_the_seed_of_the_file():
    assert load_params("smoke").seed == 0
    assert load_params("smoke", seed=7).seed == 7


def test_a_seed_out_of_range_is_refused():
    with pytest.raises(UserError, match="`seed` should be at least 0"):
        load_params("smoke", seed=-1)


def test_params_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_params("smoke").trees.n_turns = 3


def test_a_file_of_ones_own_is_named_after_its_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(SMOKE, encoding="utf-8")
    assert load_params(str(path)).name == "mine"


def test_a_file_of_ones_own_cannot_take_a_shipped_name(tmp_path):
    path = tmp_path / "sandbox.yaml"
    path.write_text(SMOKE, encoding="utf-8")
    with pytest.raises(UserError, match="rename yours"):
        load_params(str(path))


def test_an_unknown_preset_is_answered_with_those_there_are():
    with pytest.raises(UserError, match=r"'sandbax'.*paper-llama3-8b, .*sandbox, .*smoke"):
        load_params("sandbax")


def test_a_preset_file_that_is_not_there_is_said_so():
    with pytest.raises(UserError, match="does not exist"):
        load_params("nowhere/mine.yaml")


def test_a_number_that_yaml_takes_for_text_is_explained(refusal):
    said = refusal("learning_rate: 1.0e-3", "learning_rate: 1e-4")
    assert "`training.sft.learning_rate` should be a number, got the text '1e-4'" in said
    assert "write 1.0e-4" in said


def test_a_misspelt_key_is_named_with_what_was_meant(refusal):
    said = refusal("    weight_decay", "    weigth_decay")
    assert "unknown key `training.sft.weigth_decay`; did you mean `training.sft.weight_decay`?" in said


def test_an_unknown_key_is_answered_with_the_known_ones(refusal):
    said = refusal("trees:\n", "trees:\n  colour: 3\n")
    assert "unknown key `trees.colour`" in said
    assert "n_trees" in said


@pytest.mark.parametrize(
    "path, value, said",
    [
        (("trees", "n_turns"), KeyError, "key `trees.n_turns` is missing"),
        (("seed",), KeyError, "key `seed` is missing"),
        (("roles", "user", "model"), KeyError, "key `roles.user.model` is missing"),
        (("roles", "alignment_judge"), [{"endpoint": "simulated"}], "key `roles.alignment_judge[0].model` is missing"),
        (("roles", "alignment_judge"), [], "`roles.alignment_judge` should be a non-empty list"),
        (("endpoints",), {}, "`endpoints` should be a non-empty mapping"),
        (("endpoints", "simulated", "timeout_s"), 0, "`endpoints.simulated.timeout_s` should be above 0, got 0"),
        (("trees", "n_turns"), "ten", "`trees.n_turns` should be a whole number, got the text 'ten'"),
        (("trees", "n_turns"), 4.0, "`trees.n_turns` should be a whole number, got 4.0"),
        (("trees", "n_turns"), True, "`trees.n_turns` should be a whole number, got True"),
        (("trees", "n_turns"), None, "`trees.n_turns` should be a whole number, got nothing"),
        (("trees", "n_turns"), 0, "`trees.n_turns` should be at least 1, got 0"),
        (("trees", "branch"), "both", "`trees.branch` should be one of random, preferred, rejected"),
        (("trees",), 3, "`trees` should hold `key: value` lines"),
        (("sandbox", "leak"), 1.5, "`sandbox.leak` should be at least 0 and at most 1, got 1.5"),
        (("sandbox", "leak"), float("nan"), "`sandbox.leak` should be finite"),
        (("simulated",), "yes please", "`simulated` should be true or false"),
        (("description",), " ", "`description` is empty"),
        (("training", "dpo", "beta"), 0, "`training.dpo.beta` should be above 0"),
        (("benchmark", "policies"), ["base", "ppo"], "`benchmark.policies[1]` should be one of base, told"),
        (("name",), "mine", "a run is named after its file"),
    ],
)
def test_a_wrong_value_is_named_by_its_nested_key(refusal, path, value, said):
    assert said in refusal(text=changed(*path, value))


@pytest.mark.parametrize(
    "path, value, said",
    [
        (("roles", "user", "endpoint"), "openai", "`endpoints` holds only simulated"),
        (("simulated",), False, "answered by the sandbox"),
        (("endpoints", "simulated", "base_url"), "ftp://x", "should be `sandbox:` or start with https://"),
        (("endpoints", "simulated", "base_url"), "http://example.org/v1", "plain http to another machine"),
        (("budget_usd",), 0, "`budget_usd` should be above 0"),
        (("budget_calls",), 0.5, "`budget_calls` should be a whole number"),
        (("endpoints", "simulated", "requests_per_minute"), 0, "`endpoints.simulated.requests_per_minute` should be"),
        (("endpoints", "simulated", "allow_http"), "yes", "should be true or false"),
        (("endpoints", "simulated", "base_url"), "https://me:pw@example.org/v1", "keys come from the environment"),
        (("personas", "dev_profiles"), 24, "`personas.dev_profiles` leaves no profiles"),
        (("personas", "personalities_per_profile"), 5, "one split has only 4 personalities"),
        (("trees", "n_trees"), 61, "its split has 60 personas"),  # (24 - 4) profiles x 3
        (("trees", "n_dev_trees"), 13, "its split has 12 personas"),  # 4 profiles x 3
        (("training", "load_in_4bit"), True, "needs `training.method: lora`"),
        (("training", "dpo", "n_pairs"), 10_000, "give at most"),
        (("training", "max_length"), 1537, "is 1537, but aloe/sandbox/base_model has a context of 1536 tokens"),
        (
            ("training",),
            {**yaml.safe_load(SMOKE)["training"], "base_model": "allenai/OLMo-7B-0724-Instruct-hf", "max_length": 8192},
            "has a context of 4096 tokens",
        ),
        (("journal",), "../other", "`journal` should be the name of a run"),
        (("benchmark", "policies"), ["base", "base"], "names a policy twice"),
    ],
)
def test_values_that_contradict_each_other_are_refused(refusal, path, value, said):
    assert said in refusal(text=changed(*path, value))


def test_a_key_typed_in_place_of_its_variable_is_refused_and_not_repeated(refusal):
    said = refusal("api_key_env: null", "api_key_env: sk-secret-123")
    assert "should name an environment variable" in said
    assert "secret" not in said


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:8000/v1", "http://localhost:1/v1", "http://[::1]:80/v1"])
def test_plain_http_to_this_machine_is_allowed(tmp_path, base_url):
    path = tmp_path / "mine.yaml"
    path.write_text(changed("endpoints", "simulated", "base_url", base_url), encoding="utf-8")
    assert load_params(str(path)).endpoints["simulated"].loopback


def test_a_key_given_twice_is_refused_with_its_line(refusal):
    said = refusal(text="description: a\nseed: 0\nseed: 1\n")
    assert "line 3" in said
    assert "key 'seed' is given twice" in said


@pytest.mark.parametrize(
    "text, said",
    [
        ("seed: [1, 2\n", "not valid YAML"),
        ("seed: 1\n  trees: 2\n", "line 2: not valid YAML"),
        ("- a\n- b\n", "expected `key: value` lines"),
        ("", "expected `key: value` lines, got nothing"),
        ("a: \x00", "not valid YAML"),
        ("day: 2024-13-40\n", "cannot be read"),
        ("? [1, 2]\n: 3\n", "not valid YAML"),
        ("a: !!python/object:os.system x\n", "not valid YAML"),
    ],
)
def test_what_is_not_a_yaml_mapping_is_refused(refusal, text, said):
    assert said in refusal(text=text)


def test_a_file_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"description: caf\xe9\n")
    with pytest.raises(UserError, match="not valid YAML"):
        load_params(str(path))
