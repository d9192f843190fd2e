"""`aloe.train` in processes that share one model without a GPU: Accelerate, which shards on GPUs only, is told of one.

In: what `aloe.train` takes. Out: the same. torch itself can shard on processors, through gloo. Called by
`test_two_processes.py` in place of `aloe.train`.
"""

import os
import sys

from accelerate import PartialState
from accelerate.utils import DistributedType

from aloe import train

if __name__ == "__main__":  # not where tests are collected: this changes Accelerate for the whole process
    whole = PartialState.__init__
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    PartialState.__init__ = lambda state, cpu=False, **given: whole(state, False, **given)
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    sys.exit(train.main())
