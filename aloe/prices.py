"""What a call costs, and of which family a model is, from `aloe/data/prices.yaml`.

In: an endpoint's base_url, a model, numbers of tokens. Out: USD, 0.0 for the simulated model, None where the price or
a number of tokens is not known. Nothing is guessed. This module does not know roles or budgets.
"""

import functools
from pathlib import Path
from typing import Any

from aloe.strict_yaml import read_mapping

PRICES = Path(__file__).resolve().parent / "data" / "prices.yaml"


def usd(base_url: str, model: str, prompt_tokens: int | None, completion_tokens: int | None) -> float | None:
    """The price of some tokens in USD; None if it is not known.

    >>> usd("https://api.openai.com/v1/", "gpt-4o", 1_000_000, 0)
    2.5
    """
    if base_url == "sandbox:":
        return 0.0
    price = _prices().get(base_url.rstrip("/"), {}).get(model)
    if price is None or prompt_tokens is None or completion_tokens is None:
        return None
    return float(prompt_tokens * price["prompt"] + completion_tokens * price["completion"]) / 1e6


def family(base_url: str, model: str) -> str | None:
    """The family of a listed model; None if it is not listed.

    >>> family("https://api.openai.com/v1", "gpt-4o-mini")
    'gpt'
    """
    listed = _prices().get(base_url.rstrip("/"), {}).get(model)
    return None if listed is None else str(listed["family"])


@functools.cache
def _prices() -> dict[str, Any]:
    return read_mapping(PRICES)
