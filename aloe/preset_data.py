"""A preset as plain data, before it is checked: one file over another, recipes and arms spelled out.

In: what YAML files hold. Out: the same with `recipe` as switches instead of a name, and with arms that hold all that
they take over from `training`. What has another shape than it should is left as it is, for the check to name.
"""

from pathlib import Path
from typing import Any

from aloe.errors import UserError
from aloe.recipes import named


def over(below: Any, above: Any) -> Any:
    """Mappings are merged key by key; everything else, lists too, is replaced."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    return {**below, **{key: over(below.get(key), value) for key, value in above.items()}}


def spelled_out(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """The same with recipes as switches instead of a name, and arms with all that they take over from `training`."""
    training, arms = data.get("training"), data.get("arms")
    if not isinstance(training, dict):
        return data
    training = _with_recipe(training, "training", path)
    if isinstance(arms, dict):
        arms = {stage: _with_shared(arms[stage], training, stage, path) for stage in arms}
    whole = {**data, "training": training, "arms": arms}
    return {key: value for key, value in whole.items() if key not in ("arms", "evidence") or value is not None}


def _with_shared(arms: Any, training: dict[str, Any], stage: str, path: Path) -> Any:
    if not isinstance(arms, dict):
        return arms
    shared = {"recipe": training.get("recipe", {}), **{key: training[key] for key in (stage,) if key in training}}
    return {name: over(shared, _with_recipe(arm, f"arms.{stage}.{name}", path)) for name, arm in arms.items()}


def _with_recipe(section: Any, key: str, path: Path) -> Any:
    if not isinstance(section, dict) or not isinstance(section.get("recipe"), str):
        return section
    switches = named(section["recipe"])
    if switches is None:
        raise UserError(f"{path}: `{key}.recipe` should be corrected, published, or switches such as "
                        f"{{from_base: true}}; got {section['recipe']!r}.")  # fmt: skip
    return {**section, "recipe": switches}
