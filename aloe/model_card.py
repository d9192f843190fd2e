"""The model card of a trained policy: what its weights are, where they come from, what was measured, and what was not.

In: a finished run, and how the weights were written. Out: a card as model hubs show it, with its metadata. Numbers are
those of `metrics.json` and `manifest.json`, rounded and never computed. Whatever a model or the preset's author wrote
is taken literally, and no address of an endpoint and no path of this machine is in it. This module writes no file.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, NamedTuple

from aloe import lineage
from aloe.base_models import LICENCES
from aloe.findings import NONE, differences_table, growth, table
from aloe.finished import Finished
from aloe.headline import headline, markdown_table
from aloe.markdown import literal
from aloe.records import Transcript
from aloe.runs import Run
from aloe.sections import Benchmark

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

TEMPLATE = Path(__file__).resolve().parent / "data" / "model_card.md"
_SIMULATED = """> **Simulated.** Every user and every score behind this card comes from a simulated language model,
> and what its users prefer was planted. The model shows what the method's code does in a world that is known. It is no
> assistant, and its scores say nothing about people."""
_REAL = """Its users, and the judges who scored it, are language models that play a role. No person took part."""
_ADAPTER = """In `adapter/` is the same change as a LoRA adapter for PEFT, on the base model:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("{base}"), "adapter")
```"""
_LLAMA = (
    "Built with Meta Llama 3. Whoever passes this model on has to follow the Meta Llama 3 Community License: among "
    "other things, to hand over a copy of it, and to choose a name that begins with `Llama 3`."
)
_UNKNOWN = (
    "The licence of the base model ({base}) also holds for what is made from it, and this study does not know it: "
    "look it up, and put it here and into the metadata above, before you pass the model on."
)


class Written(NamedTuple):
    """How the weights were written: the dtype they had before, and what stands beside them."""

    dtype: str
    adapter: bool
    gguf: str | None


def model_card(run: Run, policy: str, known: Finished, example: Transcript, written: Written) -> "ModelCard":
    """The card of one policy.

    Args:
        run: the run, and `policy` the name of one that it has trained.
        known: what `finished.finished` says of it.
        example: one of the policy's benchmark conversations.
        written: how its weights were written.
    """
    from huggingface_hub import ModelCard

    benchmark, params = known.metrics["benchmark"], run.params
    names = lineage.trainings(policy, known.metrics["training"])
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=f"{literal(run.name)}: {literal(policy)}",
        what_it_is=_SIMULATED if params.simulated else _REAL,
        description=f"{literal(params.description.rstrip('.'))}.",
        weights=_weights(params.training.base_model, written, params.benchmark),
        data=_data(run, known.metrics),
        lineage=lineage.story(names, known.metrics["training"], params.training.base_model),
        settings=lineage.settings_table(names, known.metrics["training"]),
        recipe=lineage.recipe(names, known.metrics["training"], params.name),
        sentence=headline(run).sentence,
        table=markdown_table(run),
        growth=growth(policy, benchmark["policies"][policy]),
        differences=_differences(policy, benchmark),
        example=_example(example),
        limits=_limits(run, policy, known, written),
        provenance=_provenance(run, known),
        licence=_licence(params.training.base_model),
    )
    return ModelCard(f"---\n{_metadata(run, policy, benchmark, written)}\n---\n\n{text}")


def _metadata(run: Run, policy: str, benchmark: Mapping[str, Any], written: Written) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    base, found = run.params.training.base_model, benchmark["policies"][policy]
    simulated = ["simulated"] if run.params.simulated else []
    cases = f"ALOE, {benchmark['n_cases']} held-out cases of {benchmark['n_turns']} turns"
    scores = [
        EvalResult(
            task_type="text-generation", task_name="Aligning through interaction", dataset_type="aloe",
            dataset_name=", ".join([cases, *simulated]), metric_type=key, metric_name=name,
            metric_value=round(found[key], 4),
        )
        for key, name in (("al_mean", "mean alignment level, 1 to 5"), ("ir", "slope of the level per turn"),
                          ("dal", "mean level minus that of the same replies for a stranger"))
        if found.get(key) is not None
    ]  # fmt: skip
    known = LICENCES.get(base)
    kind = "dpo" if "beta" in run.read_metrics()["training"][policy]["settings"] else "sft"
    tags = ["aloe", "alignment", "personalization", "trl", kind, *(["lora"] if written.adapter else []), *simulated]
    data = ModelCardData(
        library_name="transformers", pipeline_tag="text-generation", license=known or "other",
        license_name=None if known else "that-of-the-base-model",
        base_model=base if lineage.of_a_hub(base) else None,
        tags=tags,
        model_name=f"{run.name}-{policy}", eval_results=scores,
    )  # fmt: skip
    return str(data.to_yaml())


def _weights(base_model: str, written: Written, benchmark: Benchmark) -> str:
    rounded = f". They were scored in {written.dtype}: rounded, the model may choose another word here and there."
    parts = ["All weights are in bfloat16" + (", as they were scored." if written.dtype == "bfloat16" else rounded)]
    parts.append(f"It was scored at temperature {benchmark.temperature:g}, up to {benchmark.max_new_tokens} tokens "
                 f"a reply; what else a program sets when it draws replies may make it speak otherwise.")  # fmt: skip
    if written.adapter:
        parts.append(_ADAPTER.format(base=lineage.base_name(base_model)))
    if written.gguf:
        parts.append(f"In `gguf/` are the same weights for llama.cpp, written by Unsloth as `{written.gguf}`. "
                     f"They were not scored in this form.")  # fmt: skip
    return "\n\n".join(parts)


def _data(run: Run, metrics: Mapping[str, Any]) -> str:
    """How many personas and dialogues there were, who wrote them, and what was held out."""
    personas, trees, benchmark = metrics["personas"], metrics["trees"], metrics["benchmark"]
    writers: dict[str, list[str]] = {}
    for field in dataclasses.fields(run.params.roles):
        roles = getattr(run.params.roles, field.name)
        for role in roles if isinstance(roles, tuple) else (roles,):
            writers.setdefault(role.model, []).append(field.name.replace("_", " "))
    share = trees["hinted_preferred_rate"]
    preferred = "" if share is None else (
        f"The reply that was written with the user in view was preferred in {share:.0%} of the judged turns. "
    )  # fmt: skip
    who = "; ".join(f"{literal(model)} ({', '.join(roles)})" for model, roles in writers.items())
    return (
        f"{'Simulated. ' if run.params.simulated else ''}{personas['n_personas']:,} personas of "
        f"{personas['n_profiles']:,} profiles and {personas['n_personalities']:,} personalities; "
        f"{trees['n_trees']:,} dialogues of {trees['n_turns']} turns to train on, {trees['n_dev_trees']:,} with other "
        f"personas for development. {preferred}The {benchmark['n_cases']:,} cases of the benchmark share no profile "
        f"and no personality with them. {_origin(run)} {who}."
    )


def _origin(run: Run) -> str:
    """Where personas and dialogues come from; the names of models follow."""
    if run.params.trees.from_released:
        return (
            "Personas and dialogues are a user's copy of released ones, and who held them is not noted there; the "
            "models that this run names, of which those of the benchmark were asked, are"
        )
    whose = ("come from a user's copy of a released pool" if run.params.personas.from_released
             else "were grown from the seeds that the preset names")  # fmt: skip
    return f"Personas {whose}, dialogues were held and judged by language models:"


def _differences(policy: str, benchmark: Mapping[str, Any]) -> str:
    own = {name: found for name, found in benchmark.get("differences", {}).items() if policy in name.split(" - ")}
    if not own:
        return ""
    found = differences_table({"differences": own})
    return f'Paired differences on the same people ("not told apart" is not "equal"):\n\n{found}'


def _example(held: Transcript) -> str:
    """The last two turns of a conversation, as they were said."""
    said = "\n>\n".join(f"> **{'user' if message.role == 'user' else 'model'}:** {literal(message.content) or NONE}"
                        for message in held.messages[-4:])  # fmt: skip
    return f"The end of the first conversation of the benchmark, which was not chosen for how it came out:\n\n{said}"


def _limits(run: Run, policy: str, known: Finished, written: Written) -> str:
    """What is not known, and what is known to be weak, a line each."""
    params, metrics = run.params, known.metrics
    judges = known.manifest.get("self_judging", [])
    unread = sum(metrics.get("unparseable", {}).values())
    unheard = metrics["benchmark"].get("unheard_words", {}).get(policy)
    lines = [
        "Users were role-played and levels were given by a "
        + ("simulated language model." if params.simulated else "language model; nobody compared them with people's."),
        "One training with one seed. Intervals are over held-out profiles, not over trainings.",
        f"Trained on conversations of up to {params.training.max_length:,} tokens and {metrics['trees']['n_turns']} "
        f"turns; longer ones, several users and tasks other than small talk were not tried.",
        "It guesses at what its user is like from what they say, and follows what it guesses. It was not tested for "
        "wrong or stereotyped guesses, flattery, leaking what it was told, or harmful requests.",
    ]
    if written.dtype != "bfloat16":
        lines.append(f"The benchmark was run with weights in {written.dtype}, not with the rounded ones.")
    if unheard:
        lines.append(f"{unheard['share']:.0%} of its replies on the benchmark have a word that stands neither in the "
                     f"training dialogues nor in what their user wrote: one that is garbled, or that the base model "
                     f"knew.")  # fmt: skip
    if judges:
        lines.append(f"Judges of the responders' own model family scored it ({', '.join(judges)}): models favour their "
                     f"own.")  # fmt: skip
    if unread:
        lines.append(f"{unread:,} answers of models could not be read; they were counted, and never guessed.")
    return "\n".join(f"- {line}" for line in lines)


def _provenance(run: Run, known: Finished) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in known.record["versions"].items() if version)
    rows = [
        ("run, preset, seed", f"`{run.name}`, `{run.params.name}`, {run.params.seed}"),
        ("commit of the study", (known.record["git_commit"] or "unknown").replace("-modified", ", with local changes")),
        ("trained", known.record["finished"]),
        ("with", versions),
        ("weights before they were written here (SHA-256 of the folder)", f"`{known.digest}`"),
    ]
    return table(("what", "which"), rows)


def _licence(base_model: str) -> str:
    known = LICENCES.get(base_model)
    if known is None:
        return _UNKNOWN.format(base=literal(lineage.base_name(base_model)))
    text = f"`{known}`, as the base model."
    others = " The terms of the models that wrote the data may also bear on what was trained with it."
    return text + (f" {_LLAMA}" if known == "llama3" else "") + ("" if known == "mit" else others)
