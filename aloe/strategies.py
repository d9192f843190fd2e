"""In which ways a model behind an endpoint can be asked for a reply, as data: the steps of each and their prompts.

Out: per strategy the requests that one reply takes, which prompt each fills in with what, and what it writes. What
plans, hashes or checks a strategy reads it here; what holds the conversation is `baselines`. This module asks nobody.
"""

from typing import Literal, NamedTuple, get_args

Strategy = Literal[
    "plain", "concise", "reminder", "self_critic", "chain_of_thought", "retrieval", "hinted", "told"
]  # fmt: skip
Part = Literal["draft", "critique", "notes", "earlier", "persona"]
RETRIEVED = 3  # earlier messages at most that `retrieval` puts into the prompt


class Step(NamedTuple):
    """One request: its prompt (a file's name), what is put in beside the conversation, and what comes back.

    `inside`: the conversation stands inside the prompt, not after it as messages.
    """

    prompt: str
    given: tuple[Part, ...] = ()
    writes: Literal["reply", "brief", "critique", "notes", "thought"] = "reply"
    inside: bool = False


STEPS: dict[Strategy, tuple[Step, ...]] = {
    "plain": (Step("plain_responder"),),
    "concise": (Step("concise", writes="brief"),),
    "reminder": (Step("reminder"),),
    "self_critic": (
        Step("plain_responder"),
        Step("self_critic", ("draft",), "critique", inside=True),
        Step("self_critic_revision", ("draft", "critique")),
    ),
    "chain_of_thought": (Step("chain_of_thought", writes="thought"),),
    "retrieval": (Step("retrieval", ("earlier",)),),
    "hinted": (Step("listener", writes="notes", inside=True), Step("hinted_responder", ("notes",))),
    "told": (Step("told_responder", ("persona",)),),
}
"""The requests of each strategy in order, without those that ask again after an answer that could not be read."""
assert tuple(STEPS) == get_args(Strategy)


def prompts_of(strategy: Strategy) -> tuple[str, ...]:
    """The names of every prompt that decides about a strategy's replies, that of its fallback too.

    >>> prompts_of("hinted")
    ('listener', 'hinted_responder')
    """
    fallback = ("plain_responder",) if strategy == "chain_of_thought" else ()
    return (*(step.prompt for step in STEPS[strategy]), *fallback)
