"""Values of a preset that do not go together in what is measured: policies, judges, settings, repeated worlds.

In: `Params`. Out: the first contradiction as a sentence that names the keys, or None. Nothing is read or changed.
"""

import re
from typing import TYPE_CHECKING

from aloe.base_models import context_of
from aloe.policies import OWN

if TYPE_CHECKING:
    from aloe.params import Params

LEAST_TURN = 80
"""Tokens of a user's message and its reply together: fewer than the sandbox's plainest policy takes on average (a
preset is refused for its length only where its dialogues can hardly fit; a longer one is refused when it is held)."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What a policy, a judge or another run may be called."""


def benchmark_problem(params: "Params") -> str | None:
    """The first thing that cannot be measured so, as a sentence; None if there is none."""
    checks = (_policy_problem, _judge_problem, _probe_problem, _setting_problem, _source_problem, _world_problem)
    return next((problem for problem in (check(params) for check in checks) if problem), None)


def _policy_problem(params: "Params") -> str | None:
    asked, arms = params.benchmark.endpoint_policies or {}, params.arms.reference()
    for number, policy in enumerate(params.benchmark.policies):
        if policy not in (*OWN, *arms, *asked):
            return (
                f"`benchmark.policies[{number}]` should be one of {', '.join((*OWN, *arms, *asked))}, or a model "
                f"named in `benchmark.endpoint_policies`; got {policy!r}."
            )
    wrong = [name for name in asked if name in (*OWN, *arms) or not NAME.fullmatch(name)]
    if wrong:
        return (
            f"`benchmark.endpoint_policies.{wrong[0]}`: take another name, of letters, digits, '.', '_' and '-' only."
        )
    if len(set(params.benchmark.policies)) < len(params.benchmark.policies):
        return "`benchmark.policies` names a policy twice."
    return None


def _probe_problem(params: "Params") -> str | None:
    """Who cannot be asked what it knows of its user."""
    bench = params.benchmark
    asked, probed = bench.endpoint_policies or {}, bench.probe or ()
    for number, name in enumerate(probed):
        key = f"`benchmark.probe[{number}]` is {name!r}, "
        if name not in bench.policies:
            return f"{key}which does not take part; name it in `benchmark.policies`, or leave it out."
        if name not in asked:
            return (
                f"{key}a model of this run: it has learned to reply and follows no other instruction, so it cannot be "
                f"asked what it knows; name policies of `benchmark.endpoint_policies` only."
            )
        if asked[name].strategy == "told":
            return f"{key}which is told the persona, so it has nothing to infer; leave it out."
    if len(set(probed)) < len(probed):
        return "`benchmark.probe` names a policy twice."
    if probed and bench.shift:
        return (
            "`benchmark.probe` cannot be asked about users who become somebody else (`benchmark.shift`): what was "
            "revealed is then of two persons; give one of the two."
        )
    return None


def _judge_problem(params: "Params") -> str | None:
    models = {judge.model for judge in params.roles.alignment_judge}
    for name in params.benchmark.judges or {}:
        if name in models or not NAME.fullmatch(name):
            return (
                f"`benchmark.judges.{name}`: take another name, of letters, digits, '.', '_' and '-' only, that is no "
                f"model of `roles.alignment_judge`."
            )
    return None


def _setting_problem(params: "Params") -> str | None:
    """What cannot be in a further setting of the benchmark."""
    bench = params.benchmark
    if bench.shift and bench.shift.turn >= bench.n_turns:
        takes = f"a turn from 2 to {bench.n_turns - 1}, or more turns" if bench.n_turns > 2 else "three turns or more"
        return (
            f"`benchmark.shift.turn` is {bench.shift.turn} of {bench.n_turns} turns, but a slope after the change "
            f"needs two turns or more; take {takes}."
        )
    if bench.opening is not None and not bench.opening.strip():
        return "`benchmark.opening` is empty; give the users' first message, or null for their own words."
    if bench.slots and bench.from_released:
        return "`benchmark.slots` and `benchmark.from_released` both name the profiles; give one of the two."
    local = [name for name in bench.policies if name not in (bench.endpoint_policies or {})]
    context, base = context_of(params.training.base_model), params.training.base_model
    least = bench.n_turns * LEAST_TURN + bench.max_new_tokens
    if local and context is not None and least > context:
        return (
            f"`benchmark.n_turns` is {bench.n_turns}: such dialogues have some {least:,} tokens or more, but the model "
            f"of policy {local[0]!r}, {base}, has a context of {context:,}; take fewer turns, a model with a longer "
            f"context, or policies behind an endpoint (`benchmark.endpoint_policies`)."
        )
    return None


def _source_problem(params: "Params") -> str | None:
    if params.models_from is None or (NAME.fullmatch(params.models_from) and params.models_from != params.name):
        return None
    return "`models_from` should be the name of another run, such as sandbox, whose models are taken; null for none."


def _world_problem(params: "Params") -> str | None:
    """What cannot be in the worlds beside a run."""
    evidence, trees = params.evidence, params.trees
    if evidence.null_worlds is None and evidence.trainings is None:
        return None
    if not all(endpoint.in_process for endpoint in params.endpoints.values()):
        return "`evidence` plants effects, which only the simulated model has: every endpoint must be `sandbox:`."
    wanted = evidence.trainings
    if wanted and (wanted.n_trees > trees.n_trees or wanted.n_dev_trees > trees.n_dev_trees):
        return (
            f"`evidence.trainings` wants {wanted.n_trees} and {wanted.n_dev_trees} dialogues, but `trees` has "
            f"{trees.n_trees} and {trees.n_dev_trees}; take no more than those, or raise them."
        )
    if min(params.benchmark.n_profiles, params.benchmark.n_personalities) < 2:
        return "`evidence` judges for strangers, so `benchmark` needs two profiles and two personalities or more."
    return None
