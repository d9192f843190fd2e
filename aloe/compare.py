"""Two runs side by side, number by number.

In: two run folders. Out: a table of every policy's figures in both, and the differences (second minus first). Policies
that only one run has are shown with what there is. Intervals are each run's own: two runs are not paired. A run
without a benchmark is refused. This module computes nothing but differences.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aloe.errors import UserError

_FIGURES = (("al_mean", "AVG", 2), ("ir", "IR", 3), ("n_ir", "N-IR", 3), ("r2", "R²", 2), ("dal", "dAL", 2),
            ("dal_ir", "slope of dAL", 3))  # fmt: skip
_COUNTS = (("personas", "n_personas"), ("trees", "n_trees"), ("trees", "hinted_preferred_rate"), ("cost", "calls"),
           ("cost", "usd"), ("cost", "seconds"))  # fmt: skip


def compare(first: Path, second: Path) -> str:
    """The two runs as text.

    Raises:
        UserError: a folder is no run, or its benchmark is not done.
    """
    a, b = _finished(first), _finished(second)
    rows: list[tuple[str, ...]] = [("", str(first), str(second), "difference")]
    rows += [(key, _text(a.get(key)), _text(b.get(key)), "") for key in ("preset", "simulated", "seed")]
    for section, key in _COUNTS:
        rows.append(_row(f"{section}.{key}", a.get(section, {}).get(key), b.get(section, {}).get(key), 2))
    policies_a, policies_b = a["benchmark"]["policies"], b["benchmark"]["policies"]
    for policy in dict.fromkeys([*policies_a, *policies_b]):
        left, right = policies_a.get(policy, {}), policies_b.get(policy, {})
        for key, title, digits in _FIGURES:
            if left.get(key) is None and right.get(key) is None:
                continue
            name, *cells = _row(f"{policy} {title}", left.get(key), right.get(key), digits)
            intervals = (_interval(left.get(f"{key}_ci"), digits), _interval(right.get(f"{key}_ci"), digits))
            rows.append((name, cells[0] + intervals[0], cells[1] + intervals[1], cells[2]))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _finished(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if not path.is_file():
        raise UserError(f"{folder} is not a run: there is no {path}. Say A=outputs/x B=outputs/y with two run folders.")
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        policies = metrics.get("benchmark", {}).get("policies")
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}); run `make all` for its preset again.") from None
    if not policies:
        raise UserError(f"{folder} is not finished: {path} has no benchmark yet. Run `make all` for its preset first.")
    return dict(metrics)


def _row(name: str, left: float | None, right: float | None, digits: int) -> tuple[str, str, str, str]:
    both = left is not None and right is not None
    places = 0 if isinstance(left, int) and isinstance(right, int) else digits
    difference = f"{right - left:+.{places}f}" if both else ""  # type: ignore[operator]
    return name, _text(left, digits), _text(right, digits), difference


def _text(value: Any, digits: int | None = None) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool) or digits is None or isinstance(value, int):
        return str(value)
    return f"{value:.{digits}f}"


def _interval(ends: Sequence[float] | None, digits: int) -> str:
    return f" [{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]" if ends and None not in ends else ""
