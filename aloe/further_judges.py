"""Further judges beside the primary ones: the same stored replies on other scales, by other models, and once more.

In: transcripts, and the preset's `benchmark.judges`. Out: one row per (reply, judge, time asked, score), in
`benchmark/further_verdicts.parquet`; in a simulated run also what the simulated model says without its faults, under
the name `TRUTH`. Nothing of it enters AL, and no dialogue is held: a judge may be added or changed at any time.
This module does not know what the verdicts are worth (`judge_findings`).
"""

import dataclasses
import functools
import io
import logging
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aloe.asking import ask_parsed, instruct
from aloe.chat import AskError, open_chat
from aloe.params import FurtherJudge, Params
from aloe.prompts import conversation
from aloe.records import Transcript
from aloe.reference import faultless
from aloe.runs import Run
from aloe.scales import SCALES, TRUTH, Scale
from aloe.writing import write_bytes

if TYPE_CHECKING:
    from aloe.chat import Chat

log = logging.getLogger(__name__)
COLUMNS = ("policy", "case", "profile_id", "personality_id", "turn", "judge", "scale", "run", "score", "value")
Place = tuple[str, int]


def sampled(transcripts: Sequence[Transcript], share: float, seed: int) -> set[Place]:
    """Cases and turns that are judged, drawn at random going round the profiles; at least one.

    The same for every policy, so that policies are compared on the same people; of two shares with one seed the smaller
    draw is part of the larger one.
    """
    by_profile: dict[str, set[Place]] = {}
    for transcript in transcripts:
        turns = range(1, len(transcript.messages) // 2 + 1)
        by_profile.setdefault(transcript.persona.profile_id, set()).update((transcript.persona.id, k) for k in turns)
    rng = random.Random(f"further judges {seed}")
    order = [rng.sample(sorted(places), len(places)) for _, places in sorted(by_profile.items())]
    rng.shuffle(order)
    rounds = [own[k] for k in range(max(map(len, order), default=0)) for own in order if k < len(own)]
    return set(rounds[: max(1, round(share * len(rounds)))])


def judge_further(
    chat: "Chat", transcripts: Sequence[Transcript], judges: Mapping[str, FurtherJudge], seed: int
) -> pd.DataFrame:
    """Ask further judges about stored replies, each with the conversation up to it, for the persona of that turn.

    Args:
        chat: who is asked, in the roles `judges.<name>`.
        transcripts: what the policies said; nothing else of their run is needed.
        judges: the preset's, by name.
        seed: decides about the sample.

    Returns: the columns `COLUMNS`; `run` counts from 1 how often a question was asked, `score` is one of the scale's.
        A value is missing where an answer did not parse, also after one repair, or where none could be had.
    """
    jobs, rows = [], []
    for name, judge in judges.items():
        places, scale = sampled(transcripts, judge.share, seed), SCALES[judge.scale]
        for transcript in transcripts:
            for turn in range(1, len(transcript.messages) // 2 + 1):
                if (transcript.persona.id, turn) in places:
                    for again in range(judge.repeat):
                        jobs.append(functools.partial(_ask, chat, f"judges.{name}", scale, transcript, turn, again))
                        rows.append((*_unit(transcript, turn), name, judge.scale, again + 1))
    return _frame(rows, chat.run(jobs, "further judges"))


def score_further(chat: "Chat", run: Run, transcripts: Sequence[Transcript]) -> pd.DataFrame:
    """Have the run's transcripts judged by its further judges, and write `further_verdicts.parquet`.

    A run without further judges has no such file, and what an earlier preset left of it goes.
    """
    judges = run.params.benchmark.judges or {}
    if not judges:
        run.further_verdicts.unlink(missing_ok=True)
        return _frame([], [])
    found = judge_further(chat, transcripts, judges, run.params.seed)
    found = pd.concat([found, true_verdicts(run, transcripts)], ignore_index=True)
    buffer = io.BytesIO()
    found.to_parquet(buffer, index=False)
    write_bytes(run.further_verdicts, buffer.getvalue())
    return found


def true_verdicts(run: Run, transcripts: Sequence[Transcript]) -> pd.DataFrame:
    """What the simulated model says without its faults of the replies that are judged, on every scale that is used.

    It is asked over the same protocol, with the same prompts; nothing of it enters the run's journal or its costs.

    Returns: rows of `judge_further` with the judge `TRUTH`; none of scales that a real model judges by. The scale of
        the primary judges is among them wherever they are simulated.
    """
    judges = dict(run.params.benchmark.judges or {})
    most = max((judge.share for judge in judges.values()), default=0.0)
    simulated = {name: judge for name, judge in judges.items() if run.params.endpoints[judge.endpoint].in_process}
    first = run.params.roles.alignment_judge[0]
    primary = {"primary": _as_further(first, most)} if run.params.endpoints[first.endpoint].in_process else {}
    asked = {judge.scale: dataclasses.replace(judge, repeat=1, share=most) for judge in (simulated | primary).values()}
    if not asked:
        return _frame([], [])
    params = _without_faults(run.params, {str(scale): judge for scale, judge in asked.items()})
    with (
        tempfile.TemporaryDirectory(prefix="aloe-truth-") as folder,
        open_chat(Run(run.name, params, Path(folder))) as chat,
    ):
        found = judge_further(chat, transcripts, params.benchmark.judges or {}, run.params.seed)
    return found.assign(judge=TRUTH)


def unreadable(verdicts: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Of each judge, how many answers were no verdict, and how many there are; `TRUTH` is left out."""
    own = verdicts[verdicts["judge"] != TRUTH]
    each = own.groupby(["judge", "policy", "case", "turn", "run"], sort=False)["value"].apply(lambda v: v.isna().any())
    return {str(judge): (int(gone.sum()), len(gone)) for judge, gone in each.groupby("judge", sort=False)}


def _as_further(role: Any, share: float) -> FurtherJudge:
    """A primary judge as one of the further ones."""
    shared = {field.name: getattr(role, field.name) for field in dataclasses.fields(role)}
    return FurtherJudge(**shared, scale="levels", share=share)


def _without_faults(params: Params, judges: Mapping[str, FurtherJudge]) -> Params:
    """The same run with these judges, nothing planted but the whole effect, and no limit on what it costs."""
    plain = {name: dataclasses.replace(endpoint, planted=None) for name, endpoint in params.endpoints.items()}
    bench = dataclasses.replace(params.benchmark, judges=dict(judges))
    return dataclasses.replace(
        params,
        sandbox=faultless(),
        endpoints=plain,
        benchmark=bench,
        journal=None,
        budget_usd=None,
        budget_calls=None,
    )


async def _ask(
    chat: "Chat", role: str, scale: Scale, transcript: Transcript, turn: int, again: int
) -> dict[str, int | None]:
    """One answer of one judge, by score."""
    persona = transcript.persona_at(turn)
    prompt = chat.prompt(
        scale.prompt, profile=persona.profile, personality=persona.personality,
        conversation=conversation(transcript.messages[: 2 * turn - 1]), reply=transcript.messages[2 * turn - 1].content,
    )  # fmt: skip
    try:
        answer = await ask_parsed(chat, role, instruct(prompt), scale.parse, scale.form, repeat=again)
    except AskError as error:
        log.warning("%s, turn %d, has no verdict of %s: %s", transcript.id, turn, role, error)
        return dict.fromkeys(scale.scores)
    return dict(answer.parsed) if answer.parsed else dict.fromkeys(scale.scores)


def _unit(transcript: Transcript, turn: int) -> tuple[str, str, str, str, int]:
    persona = transcript.persona
    return transcript.policy, persona.id, persona.profile_id, persona.personality_id, turn


def _frame(rows: Sequence[tuple[Any, ...]], answers: Sequence[Mapping[str, int | None]]) -> pd.DataFrame:
    long = [(*row, score, value) for row, answer in zip(rows, answers, strict=True) for score, value in answer.items()]
    return pd.DataFrame(long, columns=list(COLUMNS)).astype({"turn": "int64", "run": "int64", "value": "Int64"})
