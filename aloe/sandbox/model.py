"""The simulated language model: from the messages of a request to the text of a reply.

In: chat messages, a request seed, the knobs of the preset's `sandbox:` section. Out: one text. The same seed, knobs
and messages give the same text, in any order and at any concurrency; nothing is kept between calls but caches of
pure functions. It sees the messages and nothing else. How it answers the prompting baselines: `following`; how it
judges on other scales than levels, and favours its own kind: `rubrics`.
"""

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable, Sequence

from aloe.sandbox import following, inducer, judge, listener, rubrics, user, world, writer
from aloe.sandbox.facts import Fact, read_profile
from aloe.sandbox.language import content_words, words
from aloe.sandbox.reading import Request, read_request
from aloe.sandbox.responder import Subject, choose_manner, respond

Manner = Callable[[dict[str, float], random.Random], dict[str, int]]


@dataclasses.dataclass(frozen=True)
class Knobs:
    """What is planted; every rate is in [0, 1].

    `effect` is the share of verdicts and scores in which the judges look at the persona (0: never, a null world).
    `judge_error_by_turn`, where given, stands instead of `judge_error` for verdicts on two replies: one rate a turn,
    the last one for all later turns. `habit` and `favour`: words that end every reply, and how often the judges of
    single replies give one that ends so a step more (`rubrics`).
    """

    effect: float = 1.0
    judge_error: float = 0.1
    position_bias: float = 0.05
    length_bias: float = 0.05
    missed_inference: float = 0.1
    leak: float = 0.02
    early_disclosure: float = 0.05
    judge_error_by_turn: Sequence[float] | None = None
    habit: str = ""
    favour: float = 0.0

    def error_at(self, turn: int) -> float:
        """The rate at which a verdict on two replies at a turn (from 1) is turned around."""
        rates = self.judge_error_by_turn
        return self.judge_error if not rates else rates[min(max(turn, 1), len(rates)) - 1]


def complete(messages: Sequence[dict[str, str]], seed: int, knobs: Knobs) -> str:
    """The reply to a request. Raises nothing for odd input: an unknown instruction gets an honest plain answer."""
    request = read_request(messages)
    rng = _random(seed, messages)
    text = _ROLES.get(request.role, _other)(request, seed, knobs, rng)
    return rubrics.written(text, knobs.habit) if request.role in _TALKING else text


def _random(*parts: object) -> random.Random:
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return random.Random(hashlib.blake2b(text.encode(), digest_size=16).digest())


def _write(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    lines = [line.strip() for line in request.fields.get("examples", "").splitlines()]
    examples = [line.lstrip("-*0123456789.) ") for line in lines if line]
    asked = [int(word) for word in words_and_numbers(request.prompt) if word.isdigit() and int(word) > 0]
    count = min(asked[-1] if asked else 1, 100)
    write = writer.write_profiles if "profile" in request.prompt[:80].lower() else writer.write_personalities
    return json.dumps(write(examples, count, rng), ensure_ascii=False)


def words_and_numbers(text: str) -> list[str]:
    """Whitespace-separated words without punctuation at their ends."""
    return [word.strip(".,:;()") for word in text.split()]


def _play_user(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    profile, personality = request.fields.get("profile", ""), request.fields.get("personality", "")
    return user.next_message(profile, personality, request.conversation, rng, knobs.early_disclosure)


def _induce(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    profile, personality = request.fields.get("profile", ""), request.fields.get("personality", "")
    return inducer.induce(profile, personality, request.mine, knobs.missed_inference, knobs.leak, rng)


def _reply_hinted(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    _, facts = read_profile(request.fields.get("inferred_profile", ""))
    read = world.read_personality(request.fields.get("inferred_personality", ""))
    desires = world.desires([name for _, name in read if name is not None])
    return _reply(request, facts, desires, rng)


def _reply_plain(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    return _reply(request, (), {}, rng)


def _reply(request: Request, facts: Sequence[Fact], desires: dict[str, float], rng: random.Random) -> str:
    said = " ".join(text for role, text in request.conversation if role == "assistant")
    return reply_to(request.mine[-1] if request.mine else "", facts, desires, rng, said)


def _listen(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    return listener.notes(listener.listen(request.mine, knobs.missed_inference, rng))


def _criticise(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    return following.critique(request, knobs.missed_inference, rng)


def _follow(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    heard = following.known(request, knobs.missed_inference, rng)
    if request.role == "reviser" and heard == following.NOBODY:
        return request.fields.get("draft", "") or _reply_plain(request, seed, knobs, rng)
    reply = _reply(request, heard.facts, world.desires(heard.traits), rng)
    noted = " ".join(heard.lines()) or listener.NOTHING
    return f"Notes: {noted}\nReply: {reply}" if request.role == "thinker" else reply


def _reply_briefly(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    """A reply that knows nobody and takes nothing up: of several the first without a word of the message.

    A word that stands in both by chance ("well", "please") would count as an answer for the one who talks, never for a
    stranger.
    """
    said = " ".join(text for role, text in request.conversation if role == "assistant")
    message = next((text for role, text in reversed(request.conversation) if role == "user"), "")
    for _ in range(20):
        reply = reply_to("", (), {}, rng, said, lambda desires, draws: choose_manner(desires, draws) | {"length": -1})
        if not content_words(reply) & content_words(message):
            break
    return reply


def reply_to(
    message: str,
    facts: Sequence[Fact],
    desires: dict[str, float],
    rng: random.Random,
    said: str = "",
    manner: Manner = choose_manner,
) -> str:
    """A reply to a message by somebody who knows these facts and wishes of its author (none: a plain reply).

    `manner` says how somebody with such wishes is answered; what is not wished for is up to it.
    """
    present = content_words(message)
    current = [fact for fact in facts if fact.topic and content_words(fact.topic) & present]
    others = [fact for fact in facts if fact.topic and fact not in current]
    subject = Subject.of(current[-1]) if current else subject_of(message)
    other = Subject.of(rng.choice(others)) if others else None
    return respond(subject, other, manner(desires, rng), rng, said)


def subject_of(message: str) -> Subject:
    """What a message is about, from the message alone: its last first-person clause that has a topic."""
    for fact in reversed(user.clauses_of(message)):
        topic = world.topic_of(fact.sentence, fact.topic)
        if fact.topic and topic:
            return Subject(topic, fact.yours())
    return Subject(None, None)


def _judge_preference(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    fields = request.fields
    replies = (fields.get("reply_1", ""), fields.get("reply_2", ""))
    message = request.mine[-1] if request.mine else ""
    case = (fields.get("profile", ""), fields.get("personality", ""), message)
    pair = _random(seed, "pair", case, sorted(replies))
    looks = pair.random() < knobs.effect
    fits = (judge.fit(*case, *replies), judge.fit(*case, *replies[::-1])) if looks else (0.0, 0.0)
    if not looks:
        fits = (0.1, 0.0) if (pair.random() < 0.5) == (replies[0] <= replies[1]) else (0.0, 0.1)
    lengths = (len(words(replies[0])), len(words(replies[1])))
    erring = dataclasses.replace(knobs, judge_error=knobs.error_at(len(request.mine)))
    return f"Preferred: {judge.prefer(fits, lengths, erring, (pair, rng))}"


def _judge_alignment(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    level = judge.rate(_fit(request, knobs, rng), knobs.judge_error, rng)
    return f"Score: {min(5, level + _favour(request, knobs, rng))}"


def _judge_strictly(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    verdict = rubrics.suits(_fit(request, knobs, rng), knobs.judge_error, rng)
    return f"Suits: {min(1, verdict + _favour(request, knobs, rng))}"


def _judge_by_criteria(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    found = rubrics.criteria(*_judged(request))
    if rng.random() >= knobs.effect:
        found |= {name: rng.random() for name in rubrics.CRITERIA[:2]}  # what needs the persona
    levels, more = rubrics.rated(found, knobs.judge_error, rng), _favour(request, knobs, rng)
    return "\n".join(f"{name}: {min(5, level + more)}" for name, level in levels.items())


def _fit(request: Request, knobs: Knobs, rng: random.Random) -> float:
    """How well the reply of a request suits its persona; where the judge does not look at the persona, by chance."""
    return judge.fit(*_judged(request)) if rng.random() < knobs.effect else rng.uniform(0.0, 0.8)


def _judged(request: Request) -> tuple[str, str, str, str]:
    """Profile, personality, the user's last message, and the reply."""
    fields, message = request.fields, request.mine[-1] if request.mine else ""
    return fields.get("profile", ""), fields.get("personality", ""), message, fields.get("reply", "")


def _favour(request: Request, knobs: Knobs, rng: random.Random) -> int:
    return rubrics.favours(request.fields.get("reply", ""), knobs.habit, knobs.favour, rng)


def _judge_blind(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    message = request.mine[-1] if request.mine else ""
    return f"Score: {judge.rate(judge.blind_fit(message, request.fields.get('reply', '')), knobs.judge_error, rng)}"


def _other(request: Request, seed: int, knobs: Knobs, rng: random.Random) -> str:
    return "I am a simulated language model: I know the roles of this study and did not recognise this instruction."


_ROLES: dict[str, Callable[[Request, int, Knobs, random.Random], str]] = {
    "writer": _write, "user": _play_user, "inducer": _induce, "hinted": _reply_hinted, "plain": _reply_plain,
    "preference": _judge_preference, "alignment": _judge_alignment, "blind": _judge_blind,
    "strict": _judge_strictly, "criteria": _judge_by_criteria,
    "listener": _listen, "critic": _criticise,
    "brief": _reply_briefly, **dict.fromkeys(("told", "reviser", "retriever", "thinker", "reminded"), _follow),
}  # fmt: skip
_TALKING = ("hinted", "plain", "brief", "told", "reviser", "retriever", "thinker", "reminded")
"""The roles whose text the user sees."""
