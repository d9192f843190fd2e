"""Values of a preset that are each allowed but do not go together.

In: `Params`. Out: the first contradiction as a sentence that names the keys, or None. Nothing is read or changed.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aloe.base_models import context_of
from aloe.benchmark_contradictions import NAME, benchmark_problem
from aloe.branching import widths
from aloe.families import families, roles, self_judging
from aloe.policies import OWN
from aloe.prices import usd
from aloe.recipes import turned_on

if TYPE_CHECKING:
    from aloe.params import Dpo, Endpoint, Params, SftArm, Training, Trees
    from aloe.recipes import Recipe

REPOSITORY = Path(__file__).resolve().parent.parent


def contradiction(params: "Params") -> str | None:
    """The first thing in `params` that cannot work, as a sentence without the file's name; None if there is none."""
    problems = [_endpoint_problem(name, endpoint) for name, endpoint in params.endpoints.items()]
    problems += [_journal_problem(params), _role_problem(params)]  # the next ones need every role's endpoint
    checks = (_family_problem, _budget_problem, _split_problem, _tree_problem, _training_problem, _arm_problem,
              benchmark_problem)  # fmt: skip
    problems += [check(params) for check in checks] if not any(problems) else []
    return next((problem for problem in problems if problem), None)


def _endpoint_problem(name: str, endpoint: "Endpoint") -> str | None:
    key, url = f"`endpoints.{name}", urlsplit(endpoint.base_url)
    if endpoint.api_key_env and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", endpoint.api_key_env):
        return f"{key}.api_key_env` should name an environment variable such as OPENAI_API_KEY, never hold a key."
    if not endpoint.in_process and (url.scheme not in ("http", "https") or not url.hostname):
        return f"{key}.base_url` should be `sandbox:` or start with https:// or http://127.0.0.1."
    if endpoint.planted and not endpoint.in_process:
        return f'{key}.planted` is for the simulated model only (`base_url: "sandbox:"`); set it to null.'
    if endpoint.planted and endpoint.planted.favour and not endpoint.planted.habit:
        return f"{key}.planted.favour` needs a `habit` by which the model knows its own replies; give both."
    if url.username or url.password or url.query:
        return f"{key}.base_url` holds a user, a password or a query; keys come from the environment only."
    if url.scheme == "http" and not endpoint.loopback and not endpoint.allow_http:
        return (
            f"{key}.base_url` is plain http to another machine, which everybody between can read, the key too; use "
            f"https or a tunnel to 127.0.0.1, or say `allow_http: true`."
        )
    return None


def _journal_problem(params: "Params") -> str | None:
    if params.journal is None or NAME.fullmatch(params.journal):
        return None
    return (
        "`journal` should be the name of a run, such as paper-llama3-8b, whose journal is then used; null for its own."
    )


def _role_problem(params: "Params") -> str | None:
    for name, role in roles(params).items():
        if role.endpoint not in params.endpoints:
            known = ", ".join(params.endpoints)
            return f"`{_key(name)}.endpoint` is {role.endpoint!r}, but `endpoints` holds only {known}."
        if params.endpoints[role.endpoint].in_process and not params.simulated:
            return f"`simulated` is false, but `{_key(name)}` is answered by the sandbox; set it to true."
    return None


def _family_problem(params: "Params") -> str | None:
    known, used = families(params), roles(params)
    for name, family in known.items():
        if family is None and not params.simulated:
            return (
                f"`{_key(name)}.family` is missing: the price list does not know {used[name].model!r}, so say of which "
                f"family of models it is, such as llama."
            )
    own = self_judging(params)
    if own and not params.allow_self_judging:
        return (
            f"`{_key(own[0])}` is of the family {known[own[0]]!r}, as is one whose replies it judges, and models "
            f"favour their own; take another judge, or say `allow_self_judging: true`, and why."
        )
    return None


def _budget_problem(params: "Params") -> str | None:
    if params.budget_usd is None:
        return None
    for name, role in roles(params).items():
        if usd(params.endpoints[role.endpoint].base_url, role.model, 0, 0) is None:
            return (
                f"`budget_usd` cannot be kept to: the price of {role.model!r} (`{_key(name)}`) is not known. Set it to "
                f"null and take `budget_calls`, or add the price to aloe/data/prices.yaml."
            )
    return None


def _split_problem(params: "Params") -> str | None:
    personas = params.personas
    if params.trees.from_released:  # dialogues bring their own personas, as many as there are
        return None
    left = {
        "profiles": personas.n_profiles - personas.dev_profiles,
        "personalities": personas.n_personalities - personas.dev_personalities,
    }
    for kind, number in left.items():
        if number < 1:
            return f"`personas.dev_{kind}` leaves no {kind} for training; it must be below `personas.n_{kind}`."
    each, smallest = personas.personalities_per_profile, min(personas.dev_personalities, left["personalities"])
    if each > smallest:
        return f"`personas.personalities_per_profile` is {each}, but one split has only {smallest} personalities."
    return None


def _tree_problem(params: "Params") -> str | None:
    personas, trees = params.personas, params.trees
    splits = {
        "n_trees": (trees.n_trees, personas.n_profiles - personas.dev_profiles),
        "n_dev_trees": (trees.n_dev_trees, personas.dev_profiles),
    }
    for key, (wanted, profiles) in splits.items():
        most = profiles * personas.personalities_per_profile
        if wanted > most and not trees.from_released:
            return f"`trees.{key}` is {wanted}, but its split has {most} personas, one tree each."
    return _start_problem(params) or _branch_problem(params)


def _start_problem(params: "Params") -> str | None:
    """What cannot be in a preset that starts from a user's copy of the release."""
    pool, dialogues = params.personas.from_released, params.trees.from_released
    if pool and dialogues:
        return (
            "`personas.from_released` and `trees.from_released` are two starts: dialogues bring their own personas, so "
            "the pool would not be used; give one of them."
        )
    if dialogues and params.trees.expand == "both":
        return "`trees.expand: both` grows dialogues, but `trees.from_released` reads them; give one of the two."
    named = {"trees.from_released": dialogues} | {
        f"personas.from_released.{kind}": getattr(pool, kind, None) for kind in ("profiles", "personalities")
    }
    for key, path in named.items():
        if path is not None and not (REPOSITORY / path).is_file():
            return f"`{key}` is {path}, which is no file; give the path of your copy of the release."
    return None


def _branch_problem(params: "Params") -> str | None:
    trees, arms = params.trees, params.arms
    if (trees.branch == "epsilon") != (trees.epsilon is not None):
        return (
            "`trees.branch: epsilon` and a number for `trees.epsilon`, the share of turns that do not go on with the "
            "preferred reply, need each other; give both or neither."
        )
    if trees.expand == "one":
        if trees.expand_depth == 0 and trees.expand_share == 1.0:
            return None
        return (
            "`trees.expand_depth` and `trees.expand_share` say how far trees branch, but `trees.expand: one` lets none "
            "do so; set it to both, or the two to 0 and 1.0."
        )
    if not 0 < trees.expand_depth <= trees.n_turns or trees.n_turns == 1:
        return (
            f"`trees.expand: both` needs an `expand_depth` of at least 1, at most `trees.n_turns`, and two turns or "
            f"more; got {trees.expand_depth} of {trees.n_turns} turns."
        )
    sections = {"training": params.training.recipe} | {
        f"arms.sft.{name}": arm.recipe for name, arm in (arms.sft or {}).items()
    }
    for key, recipe in sections.items():
        if recipe.preferred_history:
            return (
                f"`{key}.recipe` has `preferred_history`, one history per dialogue, but `trees.expand: both` continues "
                f"both replies; train with the corrected recipe, or set `trees.expand` to one."
            )
    return None


def _training_problem(params: "Params") -> str | None:
    training, trees = params.training, params.trees
    if training.load_in_4bit and training.method == "full":
        return "`training.load_in_4bit` needs `training.method: lora`; four-bit weights cannot be trained in full."
    context = context_of(training.base_model)
    if context is not None and training.max_length > context:
        return (
            f"`training.max_length` is {training.max_length}, but {training.base_model} has a context of {context} "
            f"tokens; no example may be longer than that."
        )
    sections = {"training": training} | {f"arms.dpo.{name}": arm for name, arm in (params.arms.dpo or {}).items()}
    found = [_pair_problem(key, section.recipe, section.dpo, trees) for key, section in sections.items()]
    tuned = {"training": training} | {f"arms.sft.{name}": arm for name, arm in (params.arms.sft or {}).items()}
    found += [_off_branch_problem(key, section, training.backend) for key, section in tuned.items()]
    return next((problem for problem in found if problem), None)


def _off_branch_problem(key: str, section: "Training | SftArm", backend: str) -> str | None:
    """What `off_branch` does not go with: other sequences, or kernels that take no mask of its form (Unsloth's)."""
    if not section.sft.off_branch:
        return None
    others = [f"`{key}.recipe` has `{name}`" for name in turned_on(section.recipe, "sft")]
    others += [f"`{key}.sft.packing` is true"] if section.sft.packing else []
    others += [f"`training.backend` is {backend}, not transformers"] if backend != "transformers" else []
    if not others:
        return None
    return (
        f"`{key}.sft.off_branch` lays out and masks sequences in its own way, but {others[0]}; change one of the two."
    )


def _pair_problem(key: str, recipe: "Recipe", dpo: "Dpo", trees: "Trees") -> str | None:
    """What cannot be in a section that trains on pairs."""
    pairs = {"n_pairs": (dpo.n_pairs, trees.n_trees), "n_dev_pairs": (dpo.n_dev_pairs, trees.n_dev_trees)}
    for name, (wanted, n_trees) in pairs.items():
        most = n_trees * sum(widths(trees.n_turns, trees.expand_depth))
        if wanted > most:
            return f"`{key}.dpo.{name}` is {wanted}, but {n_trees} trees give at most {most} pairs."
    if dpo.loss != "sigmoid" and (recipe.large_beta or recipe.no_sft_term):
        return f"`{key}.recipe` sets beta or the SFT term of DPO's own loss, but `{key}.dpo.loss` is {dpo.loss}."
    needed = {"kto": (0.0, "learns from single replies, to which no SFT term can be added"),
              "orpo": (1.0, "always holds an SFT term of weight 1")}.get(dpo.loss)  # fmt: skip
    if needed and dpo.sft_weight != needed[0]:
        return (
            f"`{key}.dpo.sft_weight` is {dpo.sft_weight:g}, but the loss {dpo.loss} {needed[1]}; set it to "
            f"{needed[0]:g}."
        )
    return None


def _arm_problem(params: "Params") -> str | None:
    arms = params.arms
    names = [*(arms.sft or {}), *(arms.dpo or {})]
    wrong = [name for name in names if name in OWN or names.count(name) > 1 or not NAME.fullmatch(name)]
    if wrong:
        return f"`arms`: {wrong[0]!r} is taken or no name; use letters, digits, '.', '_' and '-', and no name twice."
    return None


def _key(name: str) -> str:
    """Where a role of `families.roles` stands in the preset."""
    if name.startswith("judges."):
        return f"benchmark.{name}"
    return f"benchmark.endpoint_{name}" if name.startswith("policies.") else f"roles.{name}"
