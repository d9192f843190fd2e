"""What a run would do and cost, worked out from its preset alone: nothing is asked, loaded or downloaded.

In: parameters. Out: calls, tokens and USD per role, hours, GPU memory and disk. Prompts are the real prompt files with
texts of the lengths below, tokens are characters by a fixed ratio. What cannot be known, such as the price of an
unlisted model, is None and printed as "unknown". Times are orders of magnitude. This module does not know how the
stages work inside.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from aloe.evidence_plan import evidence_lines
from aloe.losses import WITH_REFERENCE
from aloe.params import ROOT, FurtherJudge, Params, Role, Sft
from aloe.policies import OWN
from aloe.preset_files import check_files
from aloe.prices import usd
from aloe.prompts import prompt_file
from aloe.room import model_size, training_bytes
from aloe.saturation import writer_calls
from aloe.scales import SCALES
from aloe.strategies import RETRIEVED, STEPS, Part, Strategy
from aloe.turn_counts import training_counts, turns_held

CHARACTERS_PER_TOKEN = 3.6  # English chat has about 4 for most tokenizers: the estimate is rather high than low
# Lengths in characters, from the tokens of the sandbox's dialogues; a reply is held to three sentences.
USER_MESSAGE, HINTED, PLAIN, BRIEF, VERDICT = 190, 169, 154, 108, 14
REPLY = (HINTED + PLAIN) / 2  # of one that a dialogue goes on with, and of a policy
# The inducer's notes grow turn by turn, until they hold this share of the persona: users do not tell everything.
NOTES, NOTES_PER_TURN, NOTED = 50, 36, 0.55
CRITIQUE = 110  # of what a draft takes no notice of: three short sentences
TAGS = 20  # around each message of a conversation that stands inside a prompt
TIE_SHARE = 0.1  # of turns whose two verdicts disagree: no pair
SECONDS_PER_CALL = {"simulated": 0.005, "endpoint": 2.0}  # the first with one in flight after another, on one core
CPU_FLOPS, GPU_FLOPS = 3.5e10, 1.2e14  # useful ones per second: two cores on a tiny model; one GPU of the A100 class
GPU_FROM = 3e8  # parameters; below that a CPU will do
TOKENS_PER_SECOND = {"cpu": 3000.0, "gpu": 500.0}  # generated, in a batch: a tiny model, a 7-8B model


class RolePlan(NamedTuple):
    """What one role is asked; `usd` is None where the price of its model is unknown."""

    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    endpoint: str = ""


class Plan(NamedTuple):
    """A whole run. Hours, GB of GPU memory (0: none needed) and GB of disk are None if the model's size is unknown."""

    roles: tuple[RolePlan, ...]
    usd: float | None
    parameters: float | None
    asking_hours: float
    training_hours: float | None
    gpu_gb: float | None
    disk_gb: float | None


def make_plan(params: Params) -> Plan:
    """Work out the plan of a run.

    Raises:
        UserError: a file that the preset names is missing or wrong.
    """
    check_files(params)
    roles = tuple(_plan_roles(params))
    costs = [role.usd for role in roles]
    size = model_size(params.training.base_model)
    return Plan(
        roles,
        None if None in costs else sum(cost for cost in costs if cost is not None),
        size,
        _asking_hours(params, roles),
        None if size is None else _training_hours(params, size),
        None if size is None else _gpu_gb(params, size),
        None if size is None else _disk_gb(params, roles, size),
    )


def describe(params: Params) -> str:
    """The plan as text for the terminal."""
    plan = make_plan(params)
    rows: list[tuple[str, ...]] = [("role", "model", "calls", "prompt tokens", "reply tokens", "USD")]
    rows += [(r.role, r.model, f"{r.calls:,}", f"{r.prompt_tokens:,}", f"{r.completion_tokens:,}", _money(r.usd))
             for r in plan.roles]  # fmt: skip
    rows.append(("all", "", *(f"{sum(column):,}" for column in zip(*(r[2:5] for r in plan.roles), strict=True)),
                 _money(plan.usd)))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in rows]  # fmt: skip
    what = "simulated: nothing is paid" if params.simulated else "estimates: look up current prices before you pay"
    gpu = "none" if plan.gpu_gb == 0 else _known(plan.gpu_gb, "GB", 0)
    facts = [
        f"Preset {params.name}: {params.description}", f"({what})", "", *lines, "",
        f"base model    {params.training.base_model} ({_counted(plan.parameters)} parameters, "
        f"{params.training.method})",
        f"hours         {_known(plan.asking_hours, 'asking', 1)}, "
        f"{_known(plan.training_hours, 'training and generating', 1)}",
        f"GPU memory    {gpu}", f"disk          {_known(plan.disk_gb, 'GB', 1)}",
    ]  # fmt: skip
    if params.personas.from_released or params.trees.from_released:
        read = "dialogues" if params.trees.from_released else "persona pool"
        facts.append(f"start         a copy of the released {read}, which nobody has to write")
    if params.models_from:
        arms = ", ".join(params.arms.reference())
        trained = f"trained are {arms} alone" if arms else "nothing is trained"
        facts.append(f"start         the personas, dialogues and models of {params.models_from}: {trained}")
    facts += evidence_lines(params, plan.asking_hours + (plan.training_hours or 0.0))
    if params.journal:
        facts.append(f"journal       that of {params.journal}: what has been asked there is not asked and paid again")
    return "\n".join(facts)


def _plan_roles(params: Params) -> list[RolePlan]:
    trees, bench, personas = params.trees, params.benchmark, params.personas
    turns, asked_per_turn = range(trees.n_turns), turns_held(params)
    facts = _mean_length(personas.seed_profiles) + _mean_length(personas.seed_personalities)
    chat = [_history(turn) + USER_MESSAGE for turn in turns]  # up to and with the user's message of that turn
    shown = [_shown(turn) + USER_MESSAGE + TAGS for turn in turns]  # the same, written out inside a prompt
    inferred = [min(NOTES + NOTES_PER_TURN * (turn + 1), NOTED * facts) for turn in turns]
    cases = bench.n_profiles * bench.n_personalities
    talks = len(bench.policies) * cases
    reply = min(REPLY, bench.max_new_tokens * CHARACTERS_PER_TOKEN)
    nobody_writes = personas.from_released or trees.from_released or params.models_from
    writing = 0 if nobody_writes else writer_calls(personas)
    opened = 0 if bench.opening else cases  # every policy's dialogue with a case begins alike, which is asked for once
    plans = [
        _role("persona_writer", params.roles.persona_writer, params, [
            (writing, _prompt(params, "persona_profiles") + personas.shots * facts / 2, personas.batch * facts / 2)]),
        _role("user", params.roles.user, params, [
            *((asked_per_turn[turn], _prompt(params, "user") + facts + _shown(turn), USER_MESSAGE) for turn in turns),
            *((talks if turn else opened, _prompt(params, "user") + facts + _shown(turn, reply), USER_MESSAGE)
              for turn in range(bench.n_turns))]),
        _role("inducer", params.roles.inducer, params, [
            (held, _prompt(params, "inducer") + facts + seen, known)
            for held, seen, known in zip(asked_per_turn, shown, inferred, strict=True)]),
        _role("hinted_responder", params.roles.hinted_responder, params, [
            (held, _prompt(params, "hinted_responder") + known + seen, HINTED)
            for held, seen, known in zip(asked_per_turn, chat, inferred, strict=True)]),
        _role("plain_responder", params.roles.plain_responder, params, [
            (held, _prompt(params, "plain_responder") + seen, PLAIN)
            for held, seen in zip(asked_per_turn, chat, strict=True)]),
        _role("preference_judge", params.roles.preference_judge, params, [
            (2 * held, _prompt(params, "preference_judge") + facts + seen + HINTED + PLAIN, VERDICT)
            for held, seen in zip(asked_per_turn, shown, strict=True)]),
    ]  # fmt: skip
    judged = [(talks, question + USER_MESSAGE + TAGS + reply + _shown(turn, reply), VERDICT)
              for question in _questions(params, facts) for turn in range(bench.n_turns)]  # fmt: skip
    asked = [(name, role) for name, role in (bench.endpoint_policies or {}).items() if name in bench.policies]
    plans += [_role(name, role, params, _replies(role.strategy, facts, params)) for name, role in asked]
    plans += [_role(f"probe:{name}", role, params, _probed(facts, params)) for name, role in asked
              if name in (bench.probe or ())]  # fmt: skip
    plans += [_role("alignment_judge", judge, params, judged) for judge in params.roles.alignment_judge]
    return plans + [_role(f"judges.{name}", judge, params, _further(judge, facts, reply, params))
                    for name, judge in (bench.judges or {}).items()]  # fmt: skip


def _further(judge: FurtherJudge, facts: float, reply: float, params: Params) -> list[tuple[int, float, float]]:
    """Every question of a further judge; what a primary judge is asked in the same words is in the journal already."""
    bench, scale = params.benchmark, SCALES[judge.scale]
    places = max(1, round(judge.share * bench.n_profiles * bench.n_personalities * bench.n_turns))
    known = judge.scale == "levels" and judge.decides() in [own.decides() for own in params.roles.alignment_judge]
    seen = sum(_shown(turn, reply) for turn in range(bench.n_turns)) / bench.n_turns  # of a sample of all turns
    prompt = _prompt(params, scale.prompt) + facts + USER_MESSAGE + TAGS + reply + seen
    written = VERDICT if judge.scale == "levels" else sum(len(f"{name}: N\n") for name in scale.names)
    return [(places * len(bench.policies) * (judge.repeat - known), prompt, written)]


def _questions(params: Params, facts: float) -> list[float]:
    """What a judge is asked of each reply, as characters of prompt and persona: for its own persona, and the controls.

    A stranger differs in profile and personality, so where there is one of either, nobody is asked of a stranger.
    """
    bench = params.benchmark
    controls, own = bench.controls or (), _prompt(params, "alignment_judge") + facts
    shuffled = "shuffled" in controls and min(bench.n_profiles, bench.n_personalities) > 1
    return [own] * (2 if shuffled else 1) + ([_prompt(params, "blind_judge")] if "blind" in controls else [])


def _replies(strategy: Strategy, facts: float, params: Params) -> list[tuple[int, float, float]]:
    """Every request of a policy behind an endpoint, `facts` being the length of a persona. Repairs are not planned."""
    bench, asked = params.benchmark, []
    for turn in range(bench.n_turns):
        notes = min(NOTES + NOTES_PER_TURN * (turn + 1), NOTED * facts)
        given: dict[Part, float] = {"draft": PLAIN, "critique": CRITIQUE, "notes": notes, "persona": facts,
                                    "earlier": min(turn, RETRIEVED) * USER_MESSAGE}  # fmt: skip
        written = {"reply": PLAIN, "brief": BRIEF, "critique": CRITIQUE, "notes": notes, "thought": notes + PLAIN}
        for step in STEPS[strategy]:
            seen = (_shown(turn) + TAGS if step.inside else _history(turn)) + USER_MESSAGE
            put_in = sum(given[part] for part in step.given)
            prompt = _prompt(params, step.prompt) + put_in + seen
            asked.append((bench.n_profiles * bench.n_personalities, prompt, written[step.writes]))
    return asked


def _probed(facts: float, params: Params) -> list[tuple[int, float, float]]:
    """Every time that a policy is asked what it knows: once per case and turn, with the conversation up to then."""
    cases, prompt = params.benchmark.n_profiles * params.benchmark.n_personalities, _prompt(params, "probe")
    return [(cases, prompt + _shown(turn), min(NOTES + NOTES_PER_TURN * turn, NOTED * facts))
            for turn in range(1, params.benchmark.n_turns + 1)]  # fmt: skip


def _role(name: str, role: Role, params: Params, asked: Sequence[tuple[int, float, float]]) -> RolePlan:
    """Add up (calls, characters of the prompt, characters of the reply)."""
    calls = sum(n for n, _, _ in asked)
    prompt = round(sum(n * characters for n, characters, _ in asked) / CHARACTERS_PER_TOKEN)
    completion = round(sum(n * characters for n, _, characters in asked) / CHARACTERS_PER_TOKEN)
    price = usd(params.endpoints[role.endpoint].base_url, role.model, prompt, completion)
    return RolePlan(name, role.model, calls, prompt, completion, price, role.endpoint)


def _asking_hours(params: Params, roles: Sequence[RolePlan]) -> float:
    """Roles one after the other, each as fast as its endpoint's slots and limits per minute allow."""
    seconds = 0.0
    for plan in roles:
        endpoint = params.endpoints[plan.endpoint]
        each = SECONDS_PER_CALL["simulated" if endpoint.in_process else "endpoint"]
        seconds += max(
            plan.calls * each / (1 if endpoint.in_process else endpoint.max_in_flight),
            60 * plan.calls / (endpoint.requests_per_minute or math.inf),
            60 * (plan.prompt_tokens + plan.completion_tokens) / (endpoint.tokens_per_minute or math.inf),
        )
    return seconds / 3600


def _training_hours(params: Params, size: float) -> float:
    """SFT twice, DPO with what its reference gives, the arms, and the policies' replies."""
    trees, training, bench, arms = params.trees, params.training, params.benchmark, params.arms
    dialogue = _history(trees.n_turns) / CHARACTERS_PER_TOKEN
    counted = training_counts(params)
    tuned = [(training.sft, training.recipe)] * 2 + [(arm.sft, arm.recipe) for arm in (arms.sft or {}).values()]
    compared = [*([] if params.models_from else [training.dpo]), *(arm.dpo for arm in (arms.dpo or {}).values())]
    again = (trees.n_turns + 1) / 2  # how often the prefixes of a dialogue hold one of its turns
    read = sum(counted.sequences * dialogue * (again if recipe.prefixes else 1) * _epochs(sft) for sft, recipe in tuned)
    turns = counted.turns * (1 - TIE_SHARE)
    once = 1 / 3  # of a step's work: that of a reply forwards only, under a reference
    preference = sum((dpo.n_pairs or turns) * dialogue * (dpo.epochs + once * (dpo.loss in WITH_REFERENCE))
                     for dpo in compared)  # fmt: skip
    gpu = size >= GPU_FROM
    talking = set(bench.policies) & {*OWN, *arms.reference()}
    replies = len(talking) * bench.n_profiles * bench.n_personalities * bench.n_turns
    generated = replies * REPLY / CHARACTERS_PER_TOKEN / TOKENS_PER_SECOND["gpu" if gpu else "cpu"]
    return (6 * size * (read + preference) / (GPU_FLOPS if gpu else CPU_FLOPS) + generated) / 3600


def _epochs(sft: Sft) -> float:
    """Epochs, each longer by the general conversations, if there are any; they are taken to be as long as dialogues."""
    return sft.epochs / (1 - (sft.mix.share if sft.mix else 0.0))


def _gpu_gb(params: Params, size: float) -> float:
    """What a training needs on its own, and a fifth for activations; of models that are taken, their weights."""
    if size < GPU_FROM:
        return 0.0
    weight = 4 if params.training.dtype == "float32" else 2
    needed = size * weight if params.models_from else training_bytes(params.training, size, weight)
    return 1.2 * needed / 1e9


def _disk_gb(params: Params, roles: Sequence[RolePlan], size: float) -> float:
    """The base model, three trained ones and the arms, all whole: adapters are merged, and kept beside them. Taken
    models are linked. And text twice: in the journal and in the outputs.
    """
    weight = 4 if params.training.dtype == "float32" else 2
    trained = len(params.arms.reference()) + (0 if params.models_from else 3)
    base = 0.0 if params.models_from else 1.0
    models = base + trained * (1.0 if params.training.method == "full" else 1.02)
    text = sum(role.completion_tokens for role in roles) * CHARACTERS_PER_TOKEN * 2
    return (models * size * weight + text) / 1e9


def _history(turns: int, reply: float = REPLY) -> float:
    return turns * (USER_MESSAGE + reply)


def _shown(turns: int, reply: float = REPLY) -> float:
    return _history(turns, reply) + 2 * TAGS * turns


def _prompt(params: Params, name: str) -> int:
    return len(prompt_file(name, ROOT / params.prompts).read_text(encoding="utf-8"))


def _mean_length(path: str) -> float:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return sum(map(len, lines)) / len(lines)


def _money(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def _known(value: float | None, unit: str, digits: int) -> str:
    if value is None:
        return f"unknown {unit}"
    least = 10**-digits
    return f"under {least:g} {unit}" if value < least / 2 else f"{value:,.{digits}f} {unit}"


def _counted(size: float | None) -> str:
    if size is None:
        return "unknown number of"
    return f"{size / 1e6:,.1f} million" if size < 1e9 else f"{size / 1e9:,.1f} billion"
