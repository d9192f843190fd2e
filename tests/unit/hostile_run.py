"""A finished run in which every text of a model tries to be more than a text: what pages made of it may not do.

In: a folder. Out: a run with personas, conversations, judges, topics and models whose texts hold scripts, images and
ends of tags. Each would leave a mark in `window.aloeRan`, open a dialog, or ask a server that does not exist.
"""

import dataclasses
from pathlib import Path

import nbformat
import pandas as pd

from aloe import show
from aloe.params import load_params
from aloe.records import DialogueTree, Judgement, Message, Persona, Transcript, Turn, write_jsonl
from aloe.runs import Run
from aloe.stages import STAGES

MARK = "aloeRan"
HOSTILE = (
    f"<script>alert(1); window.{MARK} = ['script']</script><img src=x onerror=\"alert(1); window.{MARK} = ['image']\">"
    "</script></option></select></textarea><svg onload=alert(1)><iframe src=https://evil.example/></iframe>"
    "<img src=https://evil.example/p.png>-->]]>${name}`'\" [link](javascript:alert(1)) "
    "\u2028 | cell | $x^2$ :::{raw} html \x1b[31m \x1b\x07"
)
POLICIES = ("base", "dpo")
POLICY = {"al": [1.5, 3.25], "al_mean": 2.375, "al_mean_ci": [2.0, 2.75], "ir": 1.75, "ir_ci": [1.5, 2.0], "r2": 1.0,
          "n_ir": 1.0, "n_ir_ci": [None, None], "n_r2": 1.0, "n_profiles": 1}  # fmt: skip


def persona() -> Persona:
    """A persona whose facts and traits are hostile; the first fact can be told."""
    return Persona("bench-p1-t1", "bench-p1", "bench-t1", f"Ann keeps a grey parrot. {HOSTILE}", HOSTILE)


def transcripts() -> list[Transcript]:
    """One conversation of two turns per policy; the user tells of the parrot at the second."""
    said = (("user", HOSTILE), ("assistant", HOSTILE), ("user", "My grey parrot swears."), ("assistant", "Ha!"))
    messages = tuple(Message(role, text) for role, text in said)
    return [Transcript(f"{policy}-bench-p1-t1", policy, persona(), messages) for policy in POLICIES]


def scores() -> pd.DataFrame:
    """A level per reply; the judge's name is hostile, and one answer could not be read."""
    rows = [Judgement(policy, "bench-p1-t1", "bench-p1", "bench-t1", turn, HOSTILE, level)
            for policy in POLICIES for turn, level in ((1, 2), (2, None))]  # fmt: skip
    return pd.DataFrame([vars(row) for row in rows]).astype({"level": "Int64"})


def judges_section() -> dict[str, object]:
    """What is kept of a further judge beside a primary one, whose model and family have hostile names."""
    name = f"`{HOSTILE}"  # closes what looks like code in Markdown
    asked = {"scale": "strict", "model": name, "family": name, "temperature": 0.0, "repeat": 2, "replies": 2,
             "answers": 4, "unreadable": 1}  # fmt: skip
    row = {"scale": "strict", "score": "suits", "one": name, "other": "further", "n": 2, "value": 0.5, "ci": [0.0, 1.0]}
    questions = [("between", "kappa"), ("between", "alpha"), ("truth", "error"), ("own family", "favour"),
                 ("levels", "correlation")]  # fmt: skip
    return {"judges": {"further": asked}, "found": [row | {"question": q, "measure": m} for q, m in questions]}


def hostile_run(folder: Path) -> Run:
    """Leave in `folder` what a finished run leaves, as far as a report looks at it."""
    params = load_params("smoke")
    judges = tuple(dataclasses.replace(judge, model=HOSTILE) for judge in params.roles.alignment_judge)
    params = dataclasses.replace(
        params, description=HOSTILE, roles=dataclasses.replace(params.roles, alignment_judge=judges)
    )
    run = Run("smoke", params, folder / "outputs" / "smoke")
    measured = {"n_cases": 1, "n_turns": 2, "policies": dict.fromkeys(POLICIES, POLICY), "judges": judges_section()}
    run.update_metrics({"benchmark": measured})
    write_jsonl(run.transcripts, transcripts())
    scores().to_parquet(run.scores)
    topics = pd.DataFrame({"x": [0.0, 1.0], "y": [1.0, 0.0], "topic": [HOSTILE, "bread"]})
    run.figures.mkdir(parents=True)
    topics.to_csv(run.figures / "topics_profile.csv", index=False)
    (run.figures / "al_curves.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    run.notebooks.mkdir(parents=True)
    for stage in STAGES:
        nbformat.write(_notebook(stage.name), run.notebooks / f"{stage.name}.ipynb")
        run.record_stage(stage.name, [], [], metrics={})
    return run


def _notebook(name: str) -> nbformat.NotebookNode:
    """An executed notebook that shows the texts in every way in which notebooks of the study show texts."""
    turn = Turn("k1", None, *(HOSTILE,) * 5, (HOSTILE, HOSTILE), "hinted", "plain")
    tree = DialogueTree("d", persona(), (turn,))
    views = [show.persona(persona()), show.transcript(transcripts()[0], scores()), show.dialogue(tree),
             pd.DataFrame({"text": [HOSTILE]}).to_html()]  # fmt: skip
    outputs = [nbformat.v4.new_output("display_data", {"text/html": view, "text/plain": HOSTILE}) for view in views]
    outputs.append(nbformat.v4.new_output("stream", name="stdout", text=HOSTILE))
    code = 'run.save_figure(figure, f"topics_{kind}", points)'
    cells = [nbformat.v4.new_markdown_cell(f"# {name}: its story"), nbformat.v4.new_code_cell(code, outputs=outputs)]
    return nbformat.v4.new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
