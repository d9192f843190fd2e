"""What a run would do and cost, worked out from its preset alone: nothing is asked, loaded or downloaded.

In: parameters. Out: calls, tokens and USD per role, hours, GPU memory and disk, as a record and as text. What cannot
be known, such as the price of an unlisted model, is None and printed as "unknown".
"""

from typing import NamedTuple

from aloe.asking_plan import RolePlan, asking_hours, plan_roles
from aloe.evidence_plan import evidence_lines
from aloe.params import Params
from aloe.preset_files import check_files, shares_model
from aloe.room import model_size, weight_bytes
from aloe.runs import OUTPUTS, Run
from aloe.training_plan import disk_gb, gpu_gb, steps, training_hours

CARD_GB = 80.0  # of a large GPU; some have more


class Plan(NamedTuple):
    """A whole run. Hours, GB of GPU memory (0: none needed) and GB of disk are None if the model's size is unknown."""

    roles: tuple[RolePlan, ...]
    usd: float | None
    parameters: float | None
    asking_hours: float
    training_hours: float | None
    gpu_gb: float | None
    disk_gb: float | None


def make_plan(params: Params) -> Plan:
    """Work out the plan of a run.

    Raises:
        UserError: a file that the preset names is missing or wrong.
    """
    check_files(params)
    roles = tuple(plan_roles(params))
    costs = [role.usd for role in roles]
    size = model_size(params.training.base_model)
    return Plan(
        roles,
        None if None in costs else sum(cost for cost in costs if cost is not None),
        size,
        asking_hours(params, roles),
        None if size is None else training_hours(params, size),
        None if size is None else gpu_gb(params, size),
        None if size is None else disk_gb(params, roles, size),
    )


def describe(params: Params) -> str:
    """The plan as text for the terminal."""
    plan = make_plan(params)
    rows: list[tuple[str, ...]] = [("role", "model", "calls", "prompt tokens", "reply tokens", "USD")]
    rows += [(r.role, r.model, f"{r.calls:,}", f"{r.prompt_tokens:,}", f"{r.completion_tokens:,}", _money(r.usd))
             for r in plan.roles]  # fmt: skip
    rows.append(("all", "", *(f"{sum(column):,}" for column in zip(*(r[2:5] for r in plan.roles), strict=True)),
                 _money(plan.usd)))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in rows]  # fmt: skip
    what = "simulated: nothing is paid" if params.simulated else "estimates: look up current prices before you pay"
    gpu = "none" if plan.gpu_gb == 0 else f"{_known(plan.gpu_gb, 'GB', 0)} at least{_cards(params, plan)}"
    facts = [
        f"Preset {params.name}: {params.description}", f"({what})", "", *lines, "",
        f"base model    {params.training.base_model} ({_counted(plan.parameters)} parameters, "
        f"{params.training.method})",
        f"hours         {_known(plan.asking_hours, 'asking', 1)}, "
        f"{_known(plan.training_hours, 'training and generating', 1)} on {_hardware(plan)}",
        f"steps         {_steps(params)}",
        f"GPU memory    {gpu}", f"disk          {_known(plan.disk_gb, 'GB', 1)}",
    ]  # fmt: skip
    if params.personas.from_released or params.trees.from_released:
        read = "dialogues" if params.trees.from_released else "persona pool"
        facts.append(f"start         a copy of the released {read}, which nobody has to write")
    if params.models_from:
        arms = ", ".join(params.arms.reference())
        trained = f"trained are {arms} alone" if arms else "nothing is trained"
        facts.append(f"start         the personas, dialogues and models of {params.models_from}: {trained}")
    facts += evidence_lines(params, plan.asking_hours + (plan.training_hours or 0.0))
    if params.journal:
        there = Run(params.name, params, OUTPUTS / params.name).journal.is_file()
        kept = "what has been asked there is not asked and paid again" if there else "not there yet, so it begins empty"
        facts.append(f"journal       that of {params.journal}: {kept}")
    return "\n".join(facts)


def _hardware(plan: Plan) -> str:
    """What the hours of training are reckoned for; a launcher's processes are not in them."""
    return "two cores" if plan.gpu_gb == 0 else "one GPU of the A100 class"


def _cards(params: Params, plan: Plan) -> str:
    """On how many GPUs, where one is not enough or more of them share the model."""
    if shares_model(params.training):
        first = (plan.parameters or 0.0) * weight_bytes(params.training) / 1e9
        return f", shared by the processes of `training.launcher`; each holds {first:,.0f} GB before its first step"
    many = (plan.gpu_gb or 0) > CARD_GB
    return ", more than most single GPUs have: see the report's page on more than one" if many else ""


def _steps(params: Params) -> str:
    """Optimizer steps of the preset's own trainings."""
    found = steps(params)
    return "none" if params.models_from else f"about {found.sft:,} of SFT and {found.dpo:,} of DPO, of the optimizer"


def _money(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"


def _known(value: float | None, unit: str, digits: int) -> str:
    if value is None:
        return f"unknown {unit}"
    least = 10**-digits
    return f"under {least:g} {unit}" if value < least / 2 else f"{value:,.{digits}f} {unit}"


def _counted(size: float | None) -> str:
    if size is None:
        return "unknown number of"
    return f"{size / 1e6:,.1f} million" if size < 1e9 else f"{size / 1e9:,.1f} billion"
