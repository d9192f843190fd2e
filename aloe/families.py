"""Which family of models plays which role, and whether one judges its own.

In: a preset. Out: the family of each role: as the preset says, else as the price list knows it, `simulated` for the
sandbox, None where nobody says. Which judge shares a family with those whose replies it judges. Nothing is asked or
guessed from names. This module does not know what is judged, or how well.
"""

import dataclasses
from typing import TYPE_CHECKING

from aloe.prices import family

if TYPE_CHECKING:
    from aloe.params import Params, Role

SIMULATED = "simulated"
JUDGED = ("hinted_responder", "plain_responder")  # both judges see their replies, or those of policies that learn them


def roles(params: "Params") -> "dict[str, Role]":
    """Every role of a preset by its key: `user`, `alignment_judge[0]`; endpoint policies are `policies.<name>`,
    further judges `judges.<name>`.
    """
    found: dict[str, Role] = {}
    for field in dataclasses.fields(params.roles):
        value = getattr(params.roles, field.name)
        if isinstance(value, tuple):
            found |= {f"{field.name}[{number}]": role for number, role in enumerate(value)}
        else:
            found[field.name] = value
    found |= {f"policies.{name}": role for name, role in (params.benchmark.endpoint_policies or {}).items()}
    return found | {f"judges.{name}": role for name, role in (params.benchmark.judges or {}).items()}


def families(params: "Params") -> dict[str, str | None]:
    """The family of each role's model; None where neither the preset nor the price list says."""
    return {name: _family(role, params) for name, role in roles(params).items()}


def self_judging(params: "Params") -> list[str]:
    """The judges that are of the family of a responder or policy whose replies they judge.

    The sandbox never is: it is marked as simulated instead. Nor are further judges: no result hangs on them, and whom
    they favour is what they are asked for.
    """
    known = families(params)
    responders = {known[name] for name in JUDGED} - {None, SIMULATED}
    policies = {known[name] for name in known if name.startswith("policies.")} - {None, SIMULATED}
    judged = {"preference_judge": responders, "alignment_judge": responders | policies}
    return [name for name in known if known[name] in judged.get(name.split("[")[0], ())]


def _family(role: "Role", params: "Params") -> str | None:
    if role.family is not None:
        return role.family.lower()
    endpoint = params.endpoints[role.endpoint]
    return SIMULATED if endpoint.in_process or role.model == SIMULATED else family(endpoint.base_url, role.model)
