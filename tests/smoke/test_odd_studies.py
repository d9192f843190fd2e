"""Presets and outcomes that are legitimate but rare: notebook 07, and what the report takes from it, still make sense.

Nobody is asked: transcripts and levels are made here, so that a study can be as odd as its name says.
"""

import ast
import contextlib
import dataclasses
import io
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd
import pytest
import yaml
from matplotlib import pyplot as plt

from aloe.ablation import markdown_page
from aloe.cases import join_all, named_texts, successors
from aloe.enough import to_compare
from aloe.evidence_page import page_fields
from aloe.figure_sentences import seen
from aloe.front_page import fields
from aloe.further_judges import COLUMNS
from aloe.headline import text_table
from aloe.judging import score_frame
from aloe.params import ROOT, load_params
from aloe.records import DialogueTree, Judgement, Message, Persona, PersonaShift, Transcript, Turn, write_jsonl
from aloe.runs import Run
from aloe.scales import TRUTH
from aloe.shuffling import stranger_to, strangers

pytestmark = pytest.mark.smoke

NO_WORD = re.compile(r"\b(?:nan|NaN|None|inf)\b(?! of )|<NA>| \[?\.(?![.\w])")  # the last: a list without an item
SMALL = {"n_profiles": 2, "n_personalities": 2, "n_turns": 3}
WIDE = SMALL | {"n_profiles": 4}  # half of the profiles have intervals, too
HALF = ("bench-p01", "bench-p02")
ARMS = {"sft": {"arm": {"recipe": "published"}, "other": {"recipe": {"all_tokens": True}}}, "dpo": None}


class Asked(NamedTuple):
    """What a judge is asked: the level of one reply, by the column where its answer goes."""

    policy: str
    profile: str
    personality: str
    turn: int
    column: str

    def random(self) -> random.Random:
        """The same numbers whenever the same is asked."""
        return random.Random(str(self))


class Study(NamedTuple):
    """A preset over `smoke`, which answers cannot be read, and how the metrics show that it is as odd as meant."""

    benchmark: dict[str, Any]
    shows: Callable[[dict[str, Any]], bool]
    lost: Callable[[Asked], bool] = lambda asked: False
    constant: bool = False
    arms: dict[str, Any] | None = None
    nothing_new: bool = False


def dal_of(found: dict[str, Any]) -> dict[str, float | None]:
    return {policy: own["dal"] for policy, own in found["policies"].items()}


def other_cases(column: str, policy: str) -> Callable[[Asked], bool]:
    """A policy has levels of one half of the profiles only, and all others have those of the other half."""
    return lambda asked: asked.column == column and (asked.profile in HALF) == (asked.policy == policy)


STUDIES = {
    "strangers' levels are missing for one policy": Study(
        WIDE,
        lambda found: [policy for policy, dal in dal_of(found).items() if dal is None] == ["base"],
        lost=lambda asked: asked.policy == "base" and asked.column == "level_shuffled",
    ),
    "strangers' levels of two policies are those of other cases": Study(
        WIDE | {"policies": ["base", "dpo"]},
        lambda found: None not in dal_of(found).values() and "dal" not in found["differences"]["dpo - base"],
        lost=other_cases("level_shuffled", "base"),
    ),
    "base is complete on other cases than the rest": Study(
        WIDE,
        lambda found: len(found["differences"]) > 1 and not [n for n in found["differences"] if n.endswith("base")],
        lost=other_cases("level", "base"),
    ),
    "users change, and a policy shares no complete case with told": Study(
        WIDE | {"n_personalities": 4, "shift": {"turn": 2}, "policies": ["base", "told", "dpo"]},
        lambda found: set(found["shift_level_minus_told"]) == set(found["shift_dal_minus_told"]) == {"base"},
        lost=other_cases("level", "dpo"),
    ),
    "an arm shares no complete case with the policy beside it": Study(
        WIDE | {"policies": ["base", "sft_preferred", "arm", "other"]},
        lambda found: set(found["arms"]) == {"other"},
        lost=other_cases("level", "arm"),
        arms=ARMS,
    ),
    "arms only": Study(
        SMALL | {"policies": ["arm", "other"]},
        lambda found: set(found["policies"]) == {"arm", "other"} and not found["differences"],
        arms=ARMS,
    ),
    "one profile can be scored": Study(
        SMALL,
        lambda found: {own["n_profiles"] for own in found["policies"].values()} == {1},
        lost=lambda asked: asked.profile != HALF[0] and asked.column == "level" and asked.turn == 1,
    ),
    "all levels are the same": Study(SMALL, lambda found: found["policies"]["dpo"]["n_ir"] is None, constant=True),
    "no controls, no base, two turns": Study(
        SMALL | {"n_turns": 2, "controls": None, "policies": ["told", "dpo"]},
        lambda found: dal_of(found) == {"told": None, "dpo": None},
    ),
    "one answer in twelve cannot be read": Study(
        WIDE | {"n_turns": 4},
        lambda found: len({own["n_cases"] for own in found["policies"].values()} - {8}) > 1,
        lost=lambda asked: asked.random().random() < 1 / 12,
    ),
    "nobody's facts are new": Study(SMALL, lambda found: not any(found["novel_facts"].values()), nothing_new=True),
}


@pytest.fixture
def run_of(tmp_path, monkeypatch):
    """Leave what the stages before leave of a study; its run is the one that notebook 07 opens."""

    def make(study: Study) -> Run:
        (tmp_path / "odd.yaml").write_text(yaml.safe_dump(preset_of(study, tmp_path)))
        run = Run("odd", load_params(str(tmp_path / "odd.yaml")), tmp_path / "odd")
        held = transcripts_of(run)
        write_jsonl(run.transcripts, held)
        write_jsonl(run.trees, [tree()])
        scores = score_frame(list(judged(study, run, held)))
        to_compare(scores)  # else the run would have ended before
        scores.to_parquet(run.scores)
        verdicts_of(scores).to_parquet(run.further_verdicts)
        monkeypatch.setattr("aloe.runs.open_run", lambda preset, seed: run)
        return run

    monkeypatch.setattr(Run, "save_figure", draw)
    yield make
    plt.close("all")


def preset_of(study: Study, folder) -> dict[str, Any]:
    personas = {}
    for part in ("benchmark_profiles", "benchmark_personalities") if study.nothing_new else ():
        lines = (ROOT / "aloe" / "data" / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
        path = folder / f"{part}.jsonl"
        path.write_text("".join(json.dumps(json.loads(line) | {"novel": []}) + "\n" for line in lines))
        personas[part] = str(path)
    return {"extends": "smoke", "benchmark": study.benchmark, "arms": study.arms, "personas": personas}


def transcripts_of(run: Run) -> list[Transcript]:
    """Every policy with everybody: users tell a fact a turn, replies are a few words of the same profile."""
    sizes = run.params.benchmark
    personas = join_all(*named_texts(run.params))
    shifts = [PersonaShift(sizes.shift.turn, other) for other in successors(personas)] if sizes.shift else None
    held = []
    for policy in sizes.policies:
        for persona, shift in zip(personas, shifts or [None] * len(personas), strict=True):
            silent = Transcript(f"{policy}-{persona.id}", policy, persona, (), shift)
            rng = random.Random(silent.id)
            turns = [exchange(silent.persona_at(turn), turn, rng) for turn in range(1, sizes.n_turns + 1)]
            held.append(dataclasses.replace(silent, messages=tuple(message for turn in turns for message in turn)))
    return held


def exchange(persona: Persona, turn: int, rng: random.Random) -> tuple[Message, Message]:
    facts = re.split(r"(?<=[.!?])\s+", persona.profile)
    words = f"{persona.profile} sorry maybe ! ? glad xyzzy".split()
    said, reply = f"About me: {facts[turn % len(facts)]}", " ".join(rng.sample(words, 6))
    return Message("user", said), Message("assistant", reply)


def tree() -> DialogueTree:
    """A training dialogue of one turn."""
    persona = Persona("train-p1-t1", "train-p1", "train-t1", "Ann keeps a grey parrot. She bakes bread.", "Calm.")
    turn = Turn("k1", None, "I bake bread.", "bakes", "calm", "Rye?", "Nice.", ("1", "2"), "hinted", "hinted")
    return DialogueTree("tree", persona, (turn,))


def judged(study: Study, run: Run, held: Sequence[Transcript]) -> Iterator[Judgement]:
    """A level per reply, and those of its controls, but for answers that are lost."""
    controls = run.params.benchmark.controls or ()
    others = strangers([t.persona for t in held]) if "shuffled" in controls else {}
    for t in held:
        for turn in range(1, len(t.messages) // 2 + 1):
            columns = {"level": True, "level_blind": "blind" in controls,
                       "level_shuffled": stranger_to(others, t.persona_at(turn), t.persona) is not None}  # fmt: skip
            case = (t.policy, t.persona.profile_id, t.persona.personality_id, turn)
            levels = {c: level(study, Asked(*case, c)) for c, there in columns.items() if there}
            yield Judgement(t.policy, t.persona.id, *case[1:], "simulated", **levels)


def level(study: Study, asked: Asked) -> int | None:
    if study.lost(asked):
        return None
    suits = (asked.column == "level") + (asked.turn > 1)
    return 3 if study.constant else 2 + suits + asked.random().choice((-1, 0, 1))


def verdicts_of(scores: pd.DataFrame) -> pd.DataFrame:
    """The further judge of `smoke` says yes to all, and so does the judge without faults."""
    same = scores.assign(run=1, scale="strict", score="suits", value=1).astype({"value": "Int64"})
    return pd.concat([same.assign(judge=judge) for judge in ("strict", TRUTH)], ignore_index=True)[list(COLUMNS)]


def draw(run: Run, figure, name: str, frame: pd.DataFrame) -> None:
    """In place of writing a figure: draw it, and print what the report says of its data."""
    figure.draw_without_rendering()
    print(seen(name, pd.read_csv(io.StringIO(frame.to_csv(index=False)))) or "no sentence")


def show(value: Any) -> None:
    """In place of a notebook's `display`."""
    print(value.to_string() if isinstance(value, pd.DataFrame | pd.Series) else value)


def sources() -> dict[str, str]:
    """The code of notebook 07, by the cell's place."""
    cells = json.loads((ROOT / "notebooks" / "07_aloe_analysis.ipynb").read_text(encoding="utf-8"))["cells"]
    return {f"cell {i}": "".join(c["source"]) for i, c in enumerate(cells) if c["cell_type"] == "code"}


def printed(cells: dict[str, str]) -> dict[str, str]:
    """What every cell prints and shows, run one after the other as a kernel does."""
    names, found = {"display": show}, {}
    for cell, source in cells.items():
        body = ast.parse(source).body
        last = ast.Expression(body.pop().value) if isinstance(body[-1], ast.Expr) else None
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(ast.Module(body, []), cell, "exec"), names)
            if last and (value := eval(compile(last, cell, "eval"), names)) is not None:
                show(value)
        found[cell] = out.getvalue()
    return found


def pages(run: Run) -> dict[str, str]:
    """What other pages say of the run."""
    metrics = run.read_metrics()
    texts = {f"front page, {name}": text for name, text in fields(run).items()}
    texts |= {f"evidence, {name}": text for name, text in page_fields(metrics, "0" * 64).items()}
    return texts | {"headline": text_table(run), "ablation": markdown_page(metrics, "0" * 64)}


def without_sense(texts: dict[str, str]) -> list[str]:
    """The lines that hold what is no word and no number, each with its place."""
    return [f"{at}: {line}" for at, text in texts.items() for line in text.splitlines() if NO_WORD.search(line)]


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_an_odd_study_is_analysed_to_the_end_and_every_line_makes_sense(study, run_of):
    run = run_of(study)
    found = without_sense(printed(sources()) | pages(run))
    assert not found, "\n".join(found)
    assert study.shows(run.read_metrics()["benchmark"])


@pytest.mark.parametrize("source, line", [
    ("print(float('nan'))", "nan"),
    ("pd.DataFrame({'x': [None]}, dtype=object)", "0  None"),
    ("display(pd.Series([pd.NA, 1], dtype='Int64'))", "0    <NA>"),
    ("print('None of 3, 0.5 ...', 'higher with: .', sep='\\n')", "higher with: ."),
])  # fmt: skip
def test_a_cell_that_shows_no_number_is_reported(source, line, run_of):
    run_of(STUDIES["arms only"])
    first = dict(list(sources().items())[:3])
    assert without_sense(printed(first)) == []
    assert without_sense(printed(first | {"cell 5": f"import pandas as pd\n{source}"})) == [f"cell 5: {line}"]
