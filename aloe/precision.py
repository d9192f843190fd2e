"""The precision of training steps, for what is computed with a policy outside of them.

In: a model and a trainer's arguments. Out: a context. This module does not know how a model is loaded or trained.
"""

import contextlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def as_in_training(model: Any, arguments: Any) -> Iterator[None]:
    """The precision of training steps, for what a trainer computes with `model` before them: products as its
    `arguments` say, logits in float32. In another one a policy would differ from itself as reference.
    """
    import torch
    from accelerate.utils import convert_to_fp32

    hook = model.register_forward_hook(lambda _model, _given, output: convert_to_fp32(output))
    try:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=arguments.bf16):
            yield
    finally:
        hook.remove()
