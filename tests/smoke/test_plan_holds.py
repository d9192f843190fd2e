"""What `make plan` says beside what was then asked: within a fifth, for presets that are not in the repository too."""

import dataclasses
import json

import pytest

from aloe import benchmark, further_judges, judging
from aloe.chat import open_chat
from aloe.dialogues import choose_personas, grow_trees
from aloe.generation import open_policy
from aloe.params import ROOT, load_params
from aloe.personas import draw_personas, draw_texts, expand
from aloe.plan import make_plan
from aloe.runs import open_run
from aloe.strategies import STEPS
from aloe.texts import load_texts

pytestmark = pytest.mark.smoke

COUNTS = ("calls", "prompt_tokens", "completion_tokens")
JUDGE = "{endpoint: simulated, model: simulated, temperature: 0.0, max_tokens: 16}"
WIDE = f"""
extends: smoke
roles: {{alignment_judge: [{JUDGE}, {JUDGE.replace("model: simulated", "model: second")}]}}
personas: {{batch: 12, shots: 3, max_calls: 5, n_profiles: 30, n_personalities: 30, dev_profiles: 8}}
trees: {{n_trees: 16, n_dev_trees: 4, n_turns: 3, branch: preferred}}
benchmark:
  n_profiles: 4
  n_personalities: 3
  n_turns: 2
  policies: [base, told]
  judges:
    again: {JUDGE.replace("}", ", repeat: 3}")}
    five: {JUDGE.replace("16}", "64, scale: criteria, share: 0.5}")}
"""
LONG = """
extends: smoke
personas: {batch: 8, max_calls: 3, shots: 4}
trees: {n_trees: 3, n_dev_trees: 1, n_turns: 9}
training: {dpo: {n_dev_pairs: 4}}
benchmark:
  n_profiles: 2
  n_personalities: 2
  n_turns: 8
  policies: [base, rival]
  endpoint_policies: {rival: {endpoint: simulated, model: simulated, temperature: 0.8, max_tokens: 256}}
"""
ROLE = "endpoint: simulated, model: simulated, temperature: 0.8, max_tokens: 256"
PROMPTED = f"""
extends: smoke
benchmark:
  n_profiles: 2
  n_personalities: 2
  n_turns: 5
  policies: [{", ".join(name for name in STEPS if name != "told")}]
  endpoint_policies: {{{", ".join(f"{name}: {{{ROLE}, strategy: {name}}}" for name in STEPS if name != "told")}}}
"""


def planned(params):
    roles = make_plan(params).roles
    return {key: sum(getattr(role, key) for role in roles) for key in COUNTS}


def all_asked(run):
    """Go through the stages that ask, with models that are not trained, and return what was used."""
    sizes, seed = run.params.personas, run.params.seed
    base = run.model("base")
    base.parent.mkdir(parents=True)
    base.symlink_to(ROOT / run.params.training.base_model)
    with open_chat(run) as chat:
        drawn = []
        for kind, n, n_dev in (
            ("profile", sizes.n_profiles, sizes.dev_profiles),
            ("personality", sizes.n_personalities, sizes.dev_personalities),
        ):
            plural = "profiles" if kind == "profile" else "personalities"
            seeds = load_texts(ROOT / getattr(sizes, f"seed_{plural}"), sizes.shots)
            held_out = load_texts(ROOT / getattr(sizes, f"benchmark_{plural}"), 1)
            grown = expand(chat, seeds, kind, sizes, seed, held_out)
            drawn.append(draw_texts(grown.texts, n, n_dev, kind, seed))
        everybody = draw_personas(*drawn, sizes.personalities_per_profile, seed)
        chosen = choose_personas(everybody, run.params.trees.n_trees, "train", seed)
        chosen += choose_personas(everybody, run.params.trees.n_dev_trees, "dev", seed)
        grow_trees(chat, chosen, run.params.trees, seed)
        policies = benchmark.entrants(run, lambda folder: open_policy(folder, run.params.benchmark, seed))
        transcripts = benchmark.run_benchmark(chat, run, policies)
        judging.score(chat, run, transcripts)
        further_judges.score_further(chat, run, transcripts)
        return dataclasses.asdict(chat.usage)


def test_the_plan_of_smoke_is_within_a_fifth_of_what_the_run_used(checkout):
    used = json.loads((checkout.run / "metrics.json").read_text())["cost"]
    plan = planned(load_params("smoke"))
    assert {key: plan[key] / used[key] for key in COUNTS} == pytest.approx(dict.fromkeys(COUNTS, 1.0), rel=0.2)


@pytest.mark.parametrize("preset", [WIDE, LONG, PROMPTED], ids=["wide", "long", "prompted"])
def test_the_plan_of_another_preset_is_within_a_fifth_of_what_is_asked(tmp_path, preset):
    (tmp_path / "mine.yaml").write_text(preset)
    run = open_run(str(tmp_path / "mine.yaml"), outputs=tmp_path / "outputs")
    plan, used = planned(run.params), all_asked(run)
    assert {key: plan[key] / used[key] for key in COUNTS} == pytest.approx(dict.fromkeys(COUNTS, 1.0), rel=0.2)
