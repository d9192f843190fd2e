"""What one process of a training knows of the others: how many they are, and which share of a step is its own.

In: what `accelerate launch` or `torchrun` put into the environment, and the sizes of a preset. Out: numbers. A step
holds the same examples however many processes share it. This module starts no process and knows no model.
"""

import os
from typing import NamedTuple

from aloe.errors import UserError


class Share(NamedTuple):
    """What one process does of a step: `accumulation` batches of `batch_size` examples."""

    batch_size: int
    accumulation: int


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count() -> int:
    """How many processes train together; 1 where nobody started several."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "LOCAL_RANK" in os.environ else 1


def rank() -> int:
    """Which of them this is, over all machines; 0 is the one that writes and speaks."""
    return int(os.environ.get("RANK", "0")) if count() > 1 else 0


def sharded() -> bool:
    """Do they share one model, of which each holds a part (FSDP)?"""
    return os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"


def share(section: str, batch_size: int, accumulation: int, processes: int) -> Share:
    """The part of a step that each of some processes does: batches as large as the preset's, or the next smaller size.

    >>> share("sft", 4, 12, 8)
    Share(batch_size=3, accumulation=2)

    Raises:
        UserError: the examples of a step cannot be shared evenly; `section` is named.
    """
    own, left = divmod(batch_size * accumulation, processes)
    if left:
        raise UserError(
            f"A step of `training.{section}` has {batch_size * accumulation} examples (`batch_size` {batch_size} times "
            f"`gradient_accumulation` {accumulation}), which {processes} processes cannot share evenly; take another "
            f"number of processes, or other values."
        )
    size = next(size for size in range(min(batch_size, own), 0, -1) if own % size == 0)
    return Share(size, own // size)


def repeated(n_rows: int, batch_size: int, processes: int) -> int:
    """How many examples are seen twice in an epoch, so that every process has as many whole batches.

    A single process repeats none.

    >>> repeated(9, 2, 2), repeated(8, 2, 2), repeated(9, 2, 1)
    (3, 0, 0)
    """
    return -n_rows % (batch_size * processes) if processes > 1 else 0
