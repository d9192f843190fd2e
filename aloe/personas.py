"""Seed texts in, personas out: read, expand to saturation, draw, split, pair.

A profile is everyday facts, a personality is traits; both are one text. The pool grows by asking the persona writer
for more like a few random entries, and keeps what reads like a profile or personality (`quality`) and is no
near-duplicate. Training and development share no profile and no personality. This module does not know dialogues or
where files lie.
"""

import functools
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import pandas as pd

from aloe.asking import ask_parsed, instruct
from aloe.chat import AskError
from aloe.embedding import Embed, embed
from aloe.errors import NotEnough, UserError
from aloe.near_duplicates import Pool
from aloe.params import Personas
from aloe.quality import Kind, Standard, refusal, standard
from aloe.records import Persona
from aloe.texts import Text, json_strings, text_problem

if TYPE_CHECKING:
    from aloe.chat import Chat

log = logging.getLogger(__name__)
PLURAL = {"profile": "profiles", "personality": "personalities"}
LETTER = {"profile": "p", "personality": "t"}
CALLS_PER_ROUND = 8  # requests in flight at once; all of a round see the pool as it was when the round began
NEAR_DUPLICATE = "near duplicate"


@dataclass(frozen=True)
class Candidate:
    """A text that came up for the pool, and what became of it.

    `call` counts the requests to the writer from 1; seeds have 0. `reason` says why it was not kept. `similarity` is
    the highest to all before it, `nearest` the text it is like; both None where it was refused unseen. `pool` is the
    pool's size afterwards.
    """

    kind: Kind
    call: int
    text: str
    kept: bool
    reason: str | None
    similarity: float | None
    nearest: str | None
    pool: int


class Expansion(NamedTuple):
    """A grown pool, everything that came up for it in order, and how the growing ended.

    `offered` counts the seeds and the texts in the replies, before anything looked at them.
    """

    texts: list[str]
    candidates: list[Candidate]
    offered: int
    calls: int
    unparseable: int
    stopped: Literal["saturated", "max_calls"]


def expand(
    chat: "Chat", seeds: Sequence[Text], kind: Kind, params: Personas, seed: int, held_out: Sequence[Text],
    embed: Embed = embed, unlike: Sequence[Text] = (),
) -> Expansion:  # fmt: skip
    """Grow a pool from seeds until few new texts are kept, or `max_calls` requests are made.

    The result depends on seeds, parameters and replies only, never on which reply came first: the requests of a round
    are drawn from the pool as it stood at the round's start, and their replies are taken in order.

    Args:
        chat: answers as `persona_writer`.
        seeds: pass the same near-duplicate filter as what is written, but are not held to the standard that they set.
        kind: what they are.
        params: sizes and thresholds.
        seed: of the draw of examples.
        held_out: benchmark texts of this kind; nothing near one is kept.
        embed: texts to unit rows.
        unlike: seeds of the other kind; what reads like them is refused. Without any, that is not checked.

    Raises:
        UserError: fewer seeds than `shots` are left by the filter.
    """
    pool = Pool(embed, _threshold(kind, params), [text.text for text in held_out])
    wanted = standard(kind, [text.text for text in seeds], [text.text for text in unlike])
    candidates = _admit(pool, kind, [(0, text.text) for text in seeds], None)
    if len(pool) < params.shots:
        lost = "; ".join(f"{c.text[:40]!r} is like {(c.nearest or '')[:40]!r}" for c in candidates if not c.kept)
        raise UserError(f"{len(pool)} of {len(seeds)} seed {PLURAL[kind]} are far enough from the others, but "
                        f"`personas.shots` shows {params.shots}; write more, or other ones. {lost}")  # fmt: skip
    calls = unparseable = 0
    offered = len(seeds)
    while calls < params.max_calls and not saturated(candidates, params):
        numbers = range(calls + 1, min(calls + CALLS_PER_ROUND, params.max_calls) + 1)
        shown = pool.texts
        jobs = [functools.partial(_ask_writer, chat, kind, shown, params, seed, number) for number in numbers]
        replies = chat.run(jobs, f"{PLURAL[kind]}: {len(pool)} in the pool")
        unparseable += replies.count(None)
        offered += sum(len(texts) for texts in replies if texts is not None)
        written = [(n, text) for n, texts in zip(numbers, replies, strict=True) for text in texts or ()]
        candidates += _admit(pool, kind, written, wanted)
        calls = numbers[-1]
    stopped: Literal["saturated", "max_calls"] = "saturated" if saturated(candidates, params) else "max_calls"
    return Expansion(pool.texts, candidates, offered, calls, unparseable, stopped)


def saturated(candidates: Sequence[Candidate], params: Personas) -> bool:
    """Were fewer than `min_accept_share` of the last `window` written candidates kept? False before `window`."""
    written = [candidate.kept for candidate in candidates[-params.window :] if candidate.call > 0]
    return len(written) == params.window and sum(written) / len(written) < params.min_accept_share


def growth(candidates: Sequence[Candidate]) -> pd.DataFrame:
    """One row per candidate in the order in which they came: kind, call, seen, kept, pool, similarity, reason.

    `seen` counts the candidates so far and `pool` is its size after this one: the growth curve is pool over seen, and
    `similarity` is what the histogram under the threshold shows.
    """
    rows = [(c.kind, c.call, seen, c.kept, c.pool, c.similarity, c.reason) for seen, c in enumerate(candidates, 1)]
    return pd.DataFrame(rows, columns=["kind", "call", "seen", "kept", "pool", "similarity", "reason"])


def counted(grown: Expansion) -> dict[str, int]:
    """How many texts came up, how many were kept, and how many dropped for each reason; nothing is lost in between."""
    dropped = Counter(candidate.reason or "no reason" for candidate in grown.candidates if not candidate.kept)
    assert grown.offered == len(grown.texts) + dropped.total(), "a text came up and is neither kept nor dropped"
    return {"in": grown.offered, "kept": len(grown.texts), **dict(sorted(dropped.items()))}


def draw_texts(texts: Sequence[str], n: int, n_dev: int, kind: Kind, seed: int) -> list[Text]:
    """Draw `n` texts of a pool; `n_dev` of them are for development, the others for training.

    Returns:
        Training first; ids count within a split: "train-p000" and "dev-p000", "t" for personalities.

    Raises:
        NotEnough: the pool holds fewer than `n`.
    """
    plural = PLURAL[kind]
    if len(texts) < n:
        raise NotEnough(f"The pool has {len(texts)} {plural}, but `personas.n_{plural}` asks for {n}. Raise "
                        f"`personas.threshold_{plural}`, or `personas.max_calls` if the pool was still growing, take "
                        f"another writer if its replies could not be read, write more seeds, or ask for fewer."
                        )  # fmt: skip
    drawn = random.Random(f"{seed}-draw-{kind}").sample(list(texts), n)
    splits = [("train", drawn[n_dev:]), ("dev", drawn[:n_dev])]
    return [Text(f"{split}-{LETTER[kind]}{i:03d}", text) for split, chosen in splits for i, text in enumerate(chosen)]


def draw_personas(
    profiles: Sequence[Text], personalities: Sequence[Text], per_profile: int, seed: int
) -> list[Persona]:
    """Pair each profile with `per_profile` distinct personalities of its own split, drawn at random.

    >>> draw_personas([Text("dev-p000", "Ana is a nurse.")], [Text("dev-t000", "Blunt.")], 1, seed=0)[0].id
    'dev-p000-t000'

    Raises:
        UserError: a split has too few personalities.
    """
    personas = []
    for profile in profiles:
        split = profile.id.split("-")[0]
        own = [text for text in personalities if text.id.split("-")[0] == split]
        if len(own) < per_profile:
            raise UserError(f"The {split} split has {len(own)} personalities, but `personas.personalities_per_profile` "
                            f"asks for {per_profile} with each profile.")  # fmt: skip
        drawn = random.Random(f"{seed}-pair-{profile.id}").sample(own, per_profile)
        personas += [join(profile, personality) for personality in sorted(drawn, key=lambda text: text.id)]
    return personas


def join(profile: Text, personality: Text) -> Persona:
    """A profile and a personality of one split as a persona: "train-p012" and "train-t034" make "train-p012-t034"."""
    name = f"{profile.id}-{personality.id.split('-')[-1]}"
    return Persona(name, profile.id, personality.id, profile.text, personality.text)


async def _ask_writer(
    chat: "Chat", kind: Kind, pool: list[str], params: Personas, seed: int, number: int
) -> list[str] | None:
    shown = random.Random(f"{seed}-{kind}-{number}").sample(pool, params.shots)
    examples = "\n".join(f"- {text}" for text in shown)
    prompt = chat.prompt(f"persona_{PLURAL[kind]}", examples=examples, count=str(params.batch))
    form = f"a JSON array of {params.batch} strings"
    try:
        return (await ask_parsed(chat, "persona_writer", instruct(prompt), json_strings, form, repeat=number)).parsed
    except AskError as error:
        log.warning("Call %d of the persona writer brought no %s: %s", number, PLURAL[kind], error)
        return None


def _admit(pool: Pool, kind: Kind, written: Sequence[tuple[int, str]], wanted: Standard | None) -> list[Candidate]:
    """Offer texts to the pool and record what became of each; without a standard, any usable text may pass."""
    reasons = [text_problem(text) if wanted is None else refusal(text, wanted) for _, text in written]
    size = len(pool)
    verdicts = iter(pool.add([text for (_, text), reason in zip(written, reasons, strict=True) if reason is None]))
    candidates = []
    for (call, text), reason in zip(written, reasons, strict=True):
        if reason is not None:
            candidates.append(Candidate(kind, call, text, False, reason, None, None, size))
            continue
        verdict = next(verdicts)
        size += verdict.kept
        reason = None if verdict.kept else NEAR_DUPLICATE
        candidates.append(Candidate(kind, call, text, verdict.kept, reason, verdict.similarity, verdict.nearest, size))
    return candidates


def _threshold(kind: Kind, params: Personas) -> float:
    return params.threshold_profiles if kind == "profile" else params.threshold_personalities
