"""What would stop a run at its training, hours later, looked at before the first question is asked and paid for.

In: `Params`. Out: nothing, a printed note, or a `UserError`. A base model that its hub does not give is refused; memory
that is too small here, or a hub that cannot be reached, is a note: dialogues may be grown on one machine and trained on
at another. Nothing is downloaded. This module does not know stages or dialogues.
"""

from pathlib import Path

from aloe.checkpoints import has_cuda, locate, training_dtype
from aloe.errors import UserError
from aloe.params import Params
from aloe.preset_files import shares_model
from aloe.room import model_size, refuse_without_memory

SMALL = 1e8  # parameters; below, memory is no question, and torch need not be loaded to ask it


def look_ahead(params: Params) -> None:
    """Look for the base model, and for the memory that training it takes.

    Raises:
        UserError: the base model is neither a folder nor to be had from its hub.
    """
    base_model = params.training.base_model
    source = locate(base_model)
    if not Path(source).is_dir():
        _look_at_hub(source)
    size = model_size(base_model)
    if size is None or size < SMALL:
        return
    try:
        width = training_dtype(params.training).itemsize
        refuse_without_memory(base_model, params.training, width, has_cuda(), shares_model(params.training))
    except UserError as error:
        where = "" if has_cuda() else " There is no GPU here."
        _note(f"{error}{where} On this machine the run would stop at its training; what was asked by then is kept.")


def _look_at_hub(name: str) -> None:
    from httpx import HTTPError
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return
    api = HfApi()
    try:
        api.auth_check(name)
    except GatedRepoError:
        raise UserError(f"`training.base_model`: {api.endpoint} gives {name} only to those who have agreed to its "
                        f"terms. Do so on its page there, and set HF_TOKEN to a token of yours.") from None  # fmt: skip
    except RepositoryNotFoundError:
        raise UserError(f"`training.base_model`: {api.endpoint} has no {name}, or does not show it to you. Mend the "
                        f"name, or set HF_TOKEN to a token that may read it.") from None  # fmt: skip
    except (HfHubHTTPError, HTTPError, OfflineModeIsEnabled) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        _note(f"{api.endpoint} could not be asked for the base model {name} ({said}). Unless that is mended by then, "
              f"the run stops at its training; what was asked by then is kept.")  # fmt: skip


def _note(text: str) -> None:
    print(f"Note: {text}", flush=True)
