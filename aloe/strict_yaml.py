"""YAML into frozen dataclasses, or one sentence that says which key of which file is wrong.

In: a YAML file and a dataclass whose numbers may carry a range (`Annotated[float, Range(0, 1)]`). Out: an instance.
Refused: invalid YAML (with its line), a key given twice, unknown and missing keys, values of
another type or out of range. A key may be left out only where its field has a default: a limit or a permission that
nobody need give. This module does not know what the keys mean.
"""

import dataclasses
import difflib
import math
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml

from aloe.errors import UserError

T = TypeVar("T")
_EXPONENT = re.compile(r"([-+]?)(\d*)\.?(\d*)[eE]([-+]?)(\d+)")
_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that are allowed: from `low` to `high`, both included, and above `above`."""

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf

    def __contains__(self, value: float) -> bool:
        return math.isfinite(value) and self.low <= value <= self.high and value > self.above

    def __str__(self) -> str:
        bounds = {"above": self.above, "at least": self.low, "at most": self.high}
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)) or "finite"


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice (plain YAML silently keeps the last)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {name!r} is given twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> dict[str, Any]:
    """The top level of a YAML file as plain data.

    Raises:
        UserError: the file cannot be read, is not UTF-8 or valid YAML (line named), or is not a mapping.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{path}{line}: not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # such as the date 2024-13-40
        raise UserError(f"{path}: a value cannot be read: {error}.") from None
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected `key: value` lines, got {_shown(data)}.")
    return data


def build(kind: type[T], data: Any, path: Path) -> T:
    """An instance of the dataclass `kind` from plain data.

    Raises:
        UserError: names `path` and the nested key, what was found and what was expected.
    """
    return typing.cast(T, _convert(kind, data, "", path))


def _convert(kind: Any, data: Any, key: str, path: Path) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _convert_record(typing.cast(type, kind), data, key, path)
    if origin is dict:
        if not isinstance(data, dict) or not data:
            raise UserError(f"{path}: `{key}` should be a non-empty mapping, got {_shown(data)}.")
        return {str(name): _convert(arguments[1], item, f"{key}.{name}", path) for name, item in data.items()}
    if origin is tuple:
        if not isinstance(data, list) or not data:
            raise UserError(f"{path}: `{key}` should be a non-empty list, got {_shown(data)}.")
        return tuple(_convert(arguments[0], item, f"{key}[{i}]", path) for i, item in enumerate(data))
    if origin is Literal:
        if data not in arguments:
            raise UserError(f"{path}: `{key}` should be one of {', '.join(arguments)}; got {_shown(data)}.")
        return data
    if origin in (types.UnionType, typing.Union):
        return None if data is None else _convert(arguments[0], data, key, path)
    if origin is Annotated:
        value = _convert(arguments[0], data, key, path)
        if value not in arguments[1]:
            raise UserError(f"{path}: `{key}` should be {arguments[1]}, got {value:g}.")
        return value
    return _convert_scalar(kind, data, key, path)


def _convert_record(kind: type, data: Any, key: str, path: Path) -> Any:
    where = f"`{key}`" if key else "the file"
    if not isinstance(data, dict):
        raise UserError(f"{path}: {where} should hold `key: value` lines, got {_shown(data)}.")
    hints, prefix = typing.get_type_hints(kind, include_extras=True), f"{key}." if key else ""
    for name in data:
        if name not in hints:
            close = difflib.get_close_matches(str(name), [known for known in hints if known not in data], 1)
            meant = f"did you mean `{prefix}{close[0]}`?" if close else f"{where} takes {', '.join(hints)}."
            raise UserError(f"{path}: unknown key `{prefix}{name}`; {meant}")
    optional = {field.name for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}
    missing = [name for name in hints if name not in data and name not in optional]
    if missing:
        raise UserError(f"{path}: key `{prefix}{missing[0]}` is missing; there are no defaults, so add it.")
    given = {name: hint for name, hint in hints.items() if name in data}
    return kind(**{name: _convert(hint, data[name], prefix + name, path) for name, hint in given.items()})


def _convert_scalar(kind: type[Any], data: Any, key: str, path: Path) -> Any:
    if kind is float and type(data) is int:
        data = float(data)
    if type(data) is not kind:
        raise UserError(f"{path}: `{key}` should be {_NAMES[kind]}, got {_shown(data)}{_remedy(kind, data)}.")
    if kind is str and not data.strip():
        raise UserError(f"{path}: `{key}` is empty.")
    if kind is float and not math.isfinite(data):
        raise UserError(f"{path}: `{key}` should be finite, got {data}.")
    return data


def _remedy(kind: type, data: Any) -> str:
    """What to write instead of a number that YAML takes for text, such as 1e-4."""
    found = _EXPONENT.fullmatch(data) if kind is float and isinstance(data, str) else None
    if not found or not (found[2] or found[3]):
        return ""
    sign, whole, fraction, exponent_sign, exponent = found.groups()
    return f" (YAML reads it as text: write {sign}{whole or 0}.{fraction or 0}e{exponent_sign or '+'}{exponent})"


def _shown(data: Any) -> str:
    if data is None:
        return "nothing"
    return f"the text {data!r:.80}" if isinstance(data, str) else f"{data!r:.80}"
