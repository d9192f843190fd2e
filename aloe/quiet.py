"""Silence the chatter of the training libraries while ours is shown: progress bars, advice, telemetry.

In: nothing. Out: a context; afterwards everything is as it was. Errors are never silenced. This module knows no model.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

LOGGERS = ("trl", "accelerate", "peft", "torch.distributed")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Only errors of transformers, TRL, PEFT and datasets come through, no bars of theirs, and nothing is sent home."""
    import datasets
    from huggingface_hub import constants
    from transformers.utils import logging as transformers_logging

    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    data_bars, telemetry = datasets.are_progress_bars_disabled(), constants.HF_HUB_DISABLE_TELEMETRY
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    tqdm_off = os.environ.get("TQDM_DISABLE")
    try:
        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        datasets.disable_progress_bars()
        constants.HF_HUB_DISABLE_TELEMETRY = True
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.ERROR)
        os.environ["TQDM_DISABLE"] = "1"  # read by TRL only where it shows a bar of its own
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
        if not data_bars:
            datasets.enable_progress_bars()
        constants.HF_HUB_DISABLE_TELEMETRY = telemetry
        for name, old in levels.items():
            logging.getLogger(name).setLevel(old)
        if tqdm_off is None:
            os.environ.pop("TQDM_DISABLE", None)
        else:
            os.environ["TQDM_DISABLE"] = tqdm_off
