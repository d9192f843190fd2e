"""Personas in, preference trees out: a role-played user, two replies at each turn, and which of them goes on.

Five roles are asked per turn: the user speaks, the inducer notes what has come out, a hinted and a plain responder
answer, the judge compares the two in both orders. An answer that does not parse after one repair is never guessed.
Where the preset expands a tree, both replies go on, at the same time. Every draw depends on seed, tree and the way to
the turn alone. This module does not know files, training or who answers.
"""

import asyncio
import dataclasses
import heapq
import logging
import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from aloe.asking import ask_parsed, instruct
from aloe.branching import is_expanded
from aloe.chat import AskError
from aloe.errors import NotEnough, UserError
from aloe.params import Trees
from aloe.prompts import conversation
from aloe.records import DialogueTree, Message, Models, Persona, Reason, Source, Turn
from aloe.ties import settle_ties

if TYPE_CHECKING:
    from aloe.chat import Chat

Branch = Literal["random", "preferred", "rejected", "epsilon"]
Label = Literal["hinted", "plain", "tie", "unparseable"]
VERDICT_FORM = 'one line, "Preferred: 1" or "Preferred: 2"'
INDUCED_FORM = 'two lines, "Profile: ..." and "Personality: ..."'
SAME = "the replies are the same"
MOST_CUT_SHORT = 0.05  # share of dialogues; beyond it something is wrong that a report would hide
log = logging.getLogger(__name__)


class Induced(NamedTuple):
    """What the user has let out so far, in the inducer's words ("nothing yet" where nothing has)."""

    profile: str
    personality: str


class Choice(NamedTuple):
    """The reply that a dialogue goes on with, and why."""

    source: Source
    reason: Reason


class CannotGoOn(Exception):
    """A turn cannot be finished; the message says why."""


def choose_personas(personas: Sequence[Persona], n: int, split: str, seed: int) -> list[Persona]:
    """Draw `n` distinct personas of a split, spread evenly over profiles, then over personalities.

    The next one is always of a least used profile and, among those, of a least used personality. Asking for more
    gives the same ones and then further ones, so that dialogues already paid for are kept.

    Raises:
        UserError: the split has fewer than `n`.
    """
    own = [persona for persona in personas if persona.id.split("-")[0] == split]
    if len(own) < n:
        raise UserError(f"The {split} split has {len(own)} personas, but {n} dialogues with distinct ones are asked "
                        f"for; lower the number of trees or draw more personas.")  # fmt: skip
    random.Random(f"{seed}-choose-{split}").shuffle(own)
    used: Counter[str] = Counter()
    waiting = [(0, 0, place) for place in range(len(own))]
    chosen: list[Persona] = []
    while len(chosen) < n:
        *known, place = heapq.heappop(waiting)
        persona = own[place]
        uses = [used[persona.profile_id], used[persona.personality_id]]
        if known == uses:
            chosen.append(persona)
            used.update((persona.profile_id, persona.personality_id))
        else:  # counts only rise, so a stale entry can be put back with today's
            heapq.heappush(waiting, (uses[0], uses[1], place))
    return chosen


def grow_trees(chat: "Chat", personas: Sequence[Persona], params: Trees, seed: int) -> list[DialogueTree]:
    """Grow one tree per persona, "tree-<persona id>", in the order of the personas at any concurrency.

    A dialogue that cannot go on is kept up to its last good turn (left out if it has none) and logged as a warning; so
    is each branch of one that was expanded.

    Raises:
        NotEnough: none, or fewer than 19 in 20, could be finished (one failure is let pass in any number). Replies
            already had are in the journal, so another try pays for nothing twice.
    """
    growing = [_Growing(chat, p, f"tree-{p.id}", params, seed) for p in personas]
    trees: list[DialogueTree] = chat.run([each.grow for each in growing], "dialogues")
    short = [each.tree_id for each in growing if each.ended_early]
    if len(short) > max(1, MOST_CUT_SHORT * len(trees)) or len(short) == len(trees):
        unread = ", ".join(f"{role} {n}" for role, n in sorted(chat.unparseable.items())) or "none"
        raise NotEnough(f"{len(short)} of {len(trees)} dialogues could not go on, first {short[0]} (see the "
                        f"warnings for why; answers that could not be read: {unread}). Mend the endpoint or choose "
                        f"another model for the role, and run again: replies already had are taken from the journal."
                        )  # fmt: skip
    return settle_ties([tree for tree in trees if tree.turns], params.tie, seed)


class _Growing:
    """One tree while it grows; what is drawn for a turn depends on seed, tree and the way to the turn alone.

    The trunk of a tree that branches is the dialogue that it would be if it did not. Turns on it are called
    "<tree>-k03", turns beside it "<tree>-k03-hp" after the replies, hinted or plain, that lead there.
    """

    def __init__(self, chat: "Chat", persona: Persona, tree_id: str, params: Trees, seed: int) -> None:
        self.chat, self.persona, self.tree_id, self.params, self.seed = chat, persona, tree_id, params, seed
        expanded = params.expand == "both" and is_expanded(tree_id, params.expand_share, seed)
        self.depth = min(params.expand_depth, params.n_turns - 1) if expanded else 0
        self.ended_early = False

    async def grow(self) -> DialogueTree:
        turns = await self._go_on((), ())
        models = Models(**{field.name: self.chat.model(field.name) for field in dataclasses.fields(Models)})
        return DialogueTree(self.tree_id, self.persona, tuple(turns), models)

    async def _go_on(self, path: tuple[Turn, ...], taken: tuple[Source, ...]) -> list[Turn]:
        """The turns after `path`, whose replies `taken` were sent; what follows a branch stands first."""
        grown: list[Turn] = []
        while len(path) < self.params.n_turns:
            turn = await self._next(path, taken)
            if turn is None:
                return grown
            grown.append(turn)
            path = (*path, turn)
            if turn.reason == "both":
                sources: list[Source] = sorted(("hinted", "plain"), key=lambda source: source != turn.branch)
                async with asyncio.TaskGroup() as group:
                    sides = [group.create_task(self._go_on(path, (*taken, source))) for source in sources]
                return [*grown, *(later for side in sides for later in side.result())]
            taken = (*taken, turn.branch)
        return grown

    async def _next(self, path: tuple[Turn, ...], taken: tuple[Source, ...]) -> Turn | None:
        """The turn after `path`; None if it cannot be finished."""
        number, off_branch = len(path) + 1, bool(path) and taken[-1] != path[-1].branch
        beside = off_branch or any(turn.off_branch for turn in path)
        way = f"-{''.join(source[0] for source in taken)}" if beside else ""
        said = zip(path, taken, strict=True)
        history = [m for t, source in said for m in (Message("user", t.user), Message("assistant", t.reply(source)))]
        try:
            turn = await _hold_turn(self.chat, self.persona, history)
        except (AskError, CannotGoOn) as error:
            self.ended_early = True
            log.warning(
                "%s ends after turn %d of %d: %s", f"{self.tree_id}{way}", len(path), self.params.n_turns, error
            )
            return None
        rng = random.Random(f"{self.seed}-{self.tree_id}-{number}{way}")
        branch, reason = choose_branch(turn.label, self.params.branch, rng, self.params.epsilon or 0.0)
        if number <= self.depth and turn.hinted != turn.plain:  # the same reply twice would be the same dialogue twice
            reason = "both"
        return dataclasses.replace(
            turn, id=f"{self.tree_id}-k{number:02d}{way}", parent=path[-1].id if path else None,
            branch=branch, reason=reason, off_branch=off_branch,
        )  # fmt: skip


def parse_verdict(text: str) -> int | None:
    """Which reply is preferred, the one shown first (1) or second (2); None unless the text is exactly of the form.

    >>> parse_verdict("Preferred: 2"), parse_verdict("The second one.")
    (2, None)
    """
    found = re.fullmatch(r"\s*Preferred: ([12])\s*", text)
    return None if found is None else int(found.group(1))


def parse_induced(text: str) -> Induced | None:
    """The inducer's two lines; None unless the text is exactly of the form.

    >>> parse_induced("Profile: She has a cat.\\nPersonality: nothing yet")
    Induced(profile='She has a cat.', personality='nothing yet')
    """
    found = re.fullmatch(r"\s*Profile:[ \t]*(\S.*?)\s*\n\s*Personality:[ \t]*(\S.*?)\s*", text)
    return None if found is None else Induced(found.group(1), found.group(2))


def label_of(hinted_first: int | None, hinted_second: int | None) -> Label:
    """What two verdicts say together: a reply is preferred only if it wins in both orders.

    Args:
        hinted_first: the verdict with the hinted reply shown as reply 1.
        hinted_second: the verdict with the hinted reply shown as reply 2.

    >>> label_of(1, 2), label_of(2, 1), label_of(1, 1), label_of(1, None)
    ('hinted', 'plain', 'tie', 'unparseable')
    """
    if hinted_first is None or hinted_second is None:
        return "unparseable"
    if hinted_first == hinted_second:
        return "tie"
    return "hinted" if hinted_first == 1 else "plain"


def choose_branch(label: str, branch: Branch, rng: random.Random, epsilon: float = 0.0) -> Choice:
    """The reply that the dialogue goes on with, and why; without a preferred one, either at random.

    `random` takes the preferred or the rejected reply with equal chance, as the paper does; `epsilon` takes the
    preferred one but for a share `epsilon` of turns.
    """
    if label not in ("hinted", "plain"):
        return Choice(rng.choice(("hinted", "plain")), "coin")
    reason: Reason
    if branch == "epsilon":
        wanted = "rejected" if rng.random() < epsilon else "preferred"
        reason = "preferred" if wanted == "preferred" else "explored"
    else:
        wanted, reason = (rng.choice(("preferred", "rejected")) if branch == "random" else branch), branch
    return Choice("hinted" if (label == "hinted") == (wanted == "preferred") else "plain", reason)


async def _hold_turn(chat: "Chat", persona: Persona, history: Sequence[Message]) -> Turn:
    """One turn after `history`, still without its place in a tree, and as if it went on with the plain reply."""
    facts = {"profile": persona.profile, "personality": persona.personality}
    said = await chat.ask("user", instruct(chat.prompt("user", **facts, conversation=conversation(history))))
    messages = [*history, Message("user", said.strip())]
    induced = await _induce(chat, facts, messages)
    hint = chat.prompt("hinted_responder", inferred_profile=induced.profile, inferred_personality=induced.personality)
    hinted, plain = await asyncio.gather(
        chat.ask("hinted_responder", [Message("system", hint), *messages]),
        chat.ask("plain_responder", [Message("system", chat.prompt("plain_responder")), *messages]),
    )
    hinted, plain = hinted.strip(), plain.strip()
    label, verdicts = await _judge(chat, facts, messages, hinted, plain)
    return Turn(
        id="", parent=None, user=messages[-1].content, inferred_profile=induced.profile,
        inferred_personality=induced.personality, hinted=hinted, plain=plain, verdicts=verdicts, label=label,
        branch="plain",
    )  # fmt: skip


async def _induce(chat: "Chat", facts: dict[str, str], messages: Sequence[Message]) -> Induced:
    prompt = chat.prompt("inducer", **facts, conversation=conversation(messages))
    answer = await ask_parsed(chat, "inducer", instruct(prompt), parse_induced, INDUCED_FORM)
    if answer.parsed is None:
        raise CannotGoOn(f"the inducer's answer is not {INDUCED_FORM}: {answer.text[:80]!r}")
    return answer.parsed


async def _judge(
    chat: "Chat", facts: dict[str, str], messages: Sequence[Message], hinted: str, plain: str
) -> tuple[Label, tuple[str, str]]:
    """The label and the judge's two answers, hinted reply first and second; equal replies tie unasked."""
    if hinted == plain:
        return "tie", (SAME, SAME)
    shown = conversation(messages)
    orders = ((hinted, plain), (plain, hinted))
    prompts = [chat.prompt("preference_judge", **facts, conversation=shown, reply_1=a, reply_2=b) for a, b in orders]
    first, second = await asyncio.gather(
        *(ask_parsed(chat, "preference_judge", instruct(p), parse_verdict, VERDICT_FORM) for p in prompts)
    )
    return label_of(first.parsed, second.parsed), (first.text, second.text)
