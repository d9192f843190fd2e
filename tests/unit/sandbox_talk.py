"""For tests of the sandbox: requests as the study sends them, and dialogues held with the simulated model."""

from aloe.prompts import conversation, render
from aloe.records import Message
from aloe.sandbox.model import Knobs, complete

CLEAN = Knobs(1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""The whole effect and no noise at all."""


def instructed(prompt, **fields):
    """The messages of a role that is asked by its instruction alone."""
    return [{"role": "system", "content": render(prompt, **fields)}, {"role": "user", "content": "Go on."}]


def ask(prompt, *, seed=0, knobs=CLEAN, **fields):
    """The reply of a role that is asked by its instruction alone."""
    return complete(instructed(prompt, **fields), seed, knobs)


def preferred(persona, message, replies, *, seed=0, knobs=CLEAN):
    """1 or 2: the verdict on two replies to one message, for a (profile, personality)."""
    verdict = ask(
        "preference_judge", seed=seed, knobs=knobs, profile=persona[0], personality=persona[1],
        conversation=conversation([Message("user", message)]), reply_1=replies[0], reply_2=replies[1],
    )  # fmt: skip
    return int(verdict.removeprefix("Preferred: "))


def scored(persona, message, reply, *, seed=0, knobs=CLEAN):
    """1 to 5: the score of a reply to one message, for a (profile, personality)."""
    score = ask(
        "alignment_judge", seed=seed, knobs=knobs, profile=persona[0], personality=persona[1],
        conversation=conversation([Message("user", message)]), reply=reply,
    )  # fmt: skip
    return int(score.removeprefix("Score: "))


def talk(profile, personality, n_turns=10, seed=0, knobs=CLEAN):
    """The user's messages of a dialogue with the plain responder."""
    turns = []
    for _ in range(n_turns):
        said = conversation(turns)
        fields = {"profile": profile, "personality": personality, "conversation": said}
        turns.append(Message("user", ask("user", seed=seed, knobs=knobs, **fields)))
        chat = [{"role": turn.role, "content": turn.content} for turn in turns]
        system = {"role": "system", "content": render("plain_responder")}
        turns.append(Message("assistant", complete([system, *chat], seed, knobs)))
    return [turn.content for turn in turns[::2]]
