"""The sections of a preset: nested frozen dataclasses with the type and range of every value.

Out: what `params` builds from a file. A field without a default here is required. This module reads nothing and does
not know what the stages do with the values; what two values forbid each other stands in `contradictions`.
"""

import dataclasses
import ipaddress
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from aloe.strategies import Strategy
from aloe.strict_yaml import Range

Count = Annotated[int, Range(low=1)]
Rate = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(above=0)]
StepSize = Annotated[float, Range(above=0, high=1)]
Temperature = Annotated[float, Range(0, 2)]
ScaleName = Literal["levels", "strict", "criteria"]


@dataclasses.dataclass(frozen=True)
class Planted:
    """What is planted in the simulated model behind one endpoint: instead of what `sandbox` says, and besides.

    `habit`: words that end each of its replies. `favour`: how often its judges of single replies give one that ends so
    a step more, as if it were of their own kind (`sandbox.rubrics`).
    """

    effect: Rate | None = None
    judge_error: Rate | None = None
    habit: str | None = None
    favour: Rate | None = None

    def given(self) -> dict[str, Any]:
        """What is not left as it is."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server. Times in seconds; `sandbox:` is the simulated model, mounted in this process.

    `max_retries`: how often a request is sent again that was not answered, or answered with nothing. The limits per
    minute hold for all requests to it together; `allow_http` permits plain http to another machine. `planted`: what
    makes one simulated model another than the next.
    """

    base_url: str
    api_key_env: str | None
    max_in_flight: Count
    timeout_s: Positive
    max_retries: Annotated[int, Range(0)]
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    allow_http: bool = False
    planted: Planted | None = None

    @property
    def in_process(self) -> bool:
        """Is it the simulated model in this process?"""
        return self.base_url == "sandbox:"

    @property
    def loopback(self) -> bool:
        """Is it a server on this machine? Then no proxy may come between."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return host == "localhost" or ipaddress.ip_address(host).is_loopback
        except ValueError:
            return False


@dataclasses.dataclass(frozen=True)
class Role:
    """Who answers in a role, and with which sampling. `max_tokens` is the longest reply.

    `seed` replaces the run's in what is sent. `family` is the model's, for a model that the price list does not know.
    """

    endpoint: str
    model: str
    temperature: Temperature
    max_tokens: Count
    seed: Annotated[int, Range(0, 2**31 - 1)] | None = None
    family: str | None = None

    def decides(self) -> dict[str, Any]:
        """What decides about the role's replies; its seed only where it has one of its own, its family never."""
        values = dataclasses.asdict(self)
        return {key: values[key] for key in values if key != "family" and not (key == "seed" and self.seed is None)}


@dataclasses.dataclass(frozen=True)
class EndpointPolicy(Role):
    """A model behind an endpoint that takes part in the benchmark. `strategy`: how it is asked (`strategies.STEPS`)."""

    strategy: Strategy = "plain"

    def decides(self) -> dict[str, Any]:
        """As of a role; the strategy only where it is another than the plain one."""
        values = super().decides()
        return {key: values[key] for key in values if not (key == "strategy" and self.strategy == "plain")}


@dataclasses.dataclass(frozen=True)
class FurtherJudge(Role):
    """A judge beside the primary ones, who scores stored replies and never enters AL (`further_judges`).

    `scale`: 1 to 5 as the primary ones (`levels`), yes or no (`strict`), five criteria from 1 to 5 (`criteria`).
    `repeat`: how often each question is asked; `share`: of the replies, those that are judged, the same ones for every
    policy, and of judges with other shares as many of the same ones as there can be.
    """

    scale: ScaleName = "levels"
    repeat: Count = 1
    share: Annotated[float, Range(above=0, high=1)] = 1.0

    def decides(self) -> dict[str, Any]:
        """As of a role: what decides about the reply to one question."""
        values = super().decides()
        return {key: values[key] for key in values if key not in ("scale", "repeat", "share")}


@dataclasses.dataclass(frozen=True)
class Roles:
    """The persona writer, the five dialogue roles, and one or more judges of the benchmark."""

    persona_writer: Role
    user: Role
    inducer: Role
    hinted_responder: Role
    plain_responder: Role
    preference_judge: Role
    alignment_judge: tuple[Role, ...]


@dataclasses.dataclass(frozen=True)
class Sandbox:
    """What is planted in the simulated model; `effect` 0 means that its judges ignore the persona.

    What each rate is a share of, and which audit finds it again, says the docstring of `audit_model`.
    `judge_error_by_turn`: of verdicts on two replies at turn 1, 2, ..., instead of `judge_error`; the last for all
    later.
    """

    effect: Rate
    judge_error: Rate
    position_bias: Rate
    length_bias: Rate
    missed_inference: Rate
    leak: Rate
    early_disclosure: Rate
    judge_error_by_turn: tuple[Rate, ...] | None = None


@dataclasses.dataclass(frozen=True)
class ReleasedPool:
    """A user's copy of the published pool (paths relative to the repository)."""

    profiles: str
    personalities: str


@dataclasses.dataclass(frozen=True)
class Personas:
    """Seeds and held-out texts (paths relative to the repository), the filter's thresholds, and what is drawn.

    Expansion stops when fewer than `min_accept_share` of the last `window` candidates were kept. With `from_released`
    nothing is written: the pool is that of the published release, and `n_profiles` and `n_personalities` are the most
    that are drawn from it.
    """

    seed_profiles: str
    seed_personalities: str
    benchmark_profiles: str
    benchmark_personalities: str
    shots: Count
    batch: Count
    embedder: Literal["minilm", "ngrams"]
    threshold_profiles: Rate
    threshold_personalities: Rate
    window: Count
    min_accept_share: Rate
    max_calls: Count
    n_profiles: Annotated[int, Range(2)]
    n_personalities: Annotated[int, Range(2)]
    personalities_per_profile: Count
    dev_profiles: Count
    dev_personalities: Count
    from_released: ReleasedPool | None = None


@dataclasses.dataclass(frozen=True)
class Trees:
    """Preference dialogues: how many, how long, which reply goes on, and what a split verdict means (`ties`).

    `branch`: `random` takes the preferred or the rejected reply with equal chance, `epsilon` the preferred one but for
    a share `epsilon` of turns. `expand`: `both` continues both replies of the first `expand_depth` turns, in a sampled
    share of the dialogues (`expand_share`); the last turn's replies are never continued. `from_released` is a user's
    copy of the published dialogues (path relative to the repository): nobody is asked, the personas are theirs, and
    `n_trees` and `n_dev_trees` are the most that are taken.
    """

    n_trees: Count
    n_dev_trees: Count
    n_turns: Count
    branch: Literal["random", "preferred", "rejected", "epsilon"]
    tie: Literal["drop", "keep", "random"]
    epsilon: Rate | None = None
    expand: Literal["one", "both"] = "one"
    expand_depth: Annotated[int, Range(0, 12)] = 0
    expand_share: Annotated[float, Range(above=0, high=1)] = 1.0
    from_released: str | None = None


@dataclasses.dataclass(frozen=True)
class Shift:
    """From `turn` on (the first is 1) the user of every benchmark dialogue is somebody else: `cases.successors`."""

    turn: Annotated[int, Range(2)]


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Held-out cases (profiles x personalities), turns, policies, and the share covered by intervals.

    A policy is one of `policies.OWN`, an arm, or a model behind an endpoint by its name in `endpoint_policies`.
    `controls`: judges score every reply once more, against a stranger's persona (`shuffled`), without any (`blind`).
    `probe`: endpoint policies that are asked after every turn, outside of the dialogue, what they know of the user.
    `judges`: further judges of the same replies, by name; what they say is set beside the primary ones' levels.
    `opening`: the first message of every user, instead of one of their own. `slots`: a file of profiles as labelled
    slots that take the place of `personas.benchmark_profiles`. `from_released`: texts of the published release (a
    user's copy) that take the place of both benchmark files. Paths are relative to the repository.
    """

    n_profiles: Annotated[int, Range(2)]
    n_personalities: Count
    n_turns: Annotated[int, Range(2)]
    policies: tuple[str, ...]
    max_new_tokens: Count
    temperature: Temperature
    batch_size: Count
    confidence: Annotated[float, Range(0.5, 0.999)]
    n_null: Count
    endpoint_policies: dict[str, EndpointPolicy] | None = None
    controls: tuple[Literal["shuffled", "blind"], ...] | None = None
    shift: Shift | None = None
    opening: str | None = None
    slots: str | None = None
    from_released: ReleasedPool | None = None
    probe: tuple[str, ...] | None = None
    judges: dict[str, FurtherJudge] | None = None
