"""What the roles of a run would be asked, worked out from its preset alone: calls, tokens, USD and hours.

In: parameters. Out: a plan per role. Prompts are the real prompt files with texts of the lengths below, tokens are
characters by a fixed ratio; the price of an unlisted model is None. This module does not know how the stages work
inside.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from aloe.params import ROOT, FurtherJudge, Params, Role
from aloe.prices import usd
from aloe.prompts import prompt_file
from aloe.saturation import writer_calls
from aloe.scales import SCALES
from aloe.strategies import RETRIEVED, STEPS, Part, Strategy
from aloe.turn_counts import turns_held

CHARACTERS_PER_TOKEN = 3.6  # English chat has about 4 for most tokenizers: the estimate is rather high than low
# Lengths in characters, from the tokens of the sandbox's dialogues; a reply is held to three sentences.
USER_MESSAGE, HINTED, PLAIN, BRIEF, VERDICT = 190, 169, 154, 108, 14
REPLY = (HINTED + PLAIN) / 2  # of one that a dialogue goes on with, and of a policy
# The inducer's notes grow turn by turn, until they hold this share of the persona: users do not tell everything.
NOTES, NOTES_PER_TURN, NOTED = 50, 36, 0.55
CRITIQUE = 110  # of what a draft takes no notice of: three short sentences
TAGS = 20  # around each message of a conversation that stands inside a prompt
SECONDS_PER_CALL = {"simulated": 0.005, "endpoint": 2.0}  # the first with one in flight after another, on one core


class RolePlan(NamedTuple):
    """What one role is asked; `usd` is None where the price of its model is unknown."""

    role: str
    model: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    endpoint: str = ""


def plan_roles(params: Params) -> list[RolePlan]:
    """What each role is asked, in the order in which a run comes to it."""
    trees, bench, personas = params.trees, params.benchmark, params.personas
    turns, asked_per_turn = range(trees.n_turns), turns_held(params)
    facts = _mean_length(personas.seed_profiles) + _mean_length(personas.seed_personalities)
    chat = [history(turn) + USER_MESSAGE for turn in turns]  # up to and with the user's message of that turn
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


def asking_hours(params: Params, roles: Sequence[RolePlan]) -> float:
    """Hours of asking: roles one after the other, each as fast as its endpoint's slots and limits per minute allow."""
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


def history(turns: int, reply: float = REPLY) -> float:
    """Characters of a conversation of so many turns."""
    return turns * (USER_MESSAGE + reply)


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
            seen = (_shown(turn) + TAGS if step.inside else history(turn)) + USER_MESSAGE
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


def _shown(turns: int, reply: float = REPLY) -> float:
    return history(turns, reply) + 2 * TAGS * turns


def _prompt(params: Params, name: str) -> int:
    return len(prompt_file(name, ROOT / params.prompts).read_text(encoding="utf-8"))


def _mean_length(path: str) -> float:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return sum(map(len, lines)) / len(lines)
