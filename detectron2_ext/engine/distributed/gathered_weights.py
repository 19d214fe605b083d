"""All weights of a split model in every process, as long as it is evaluated."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.distributed.fsdp import FSDPModule


@contextmanager
def gathered_weights(model: nn.Module, *, reshard_after_forward: bool) -> Iterator[None]:
    """While it is open, forward passes of a model that FSDP has split ask nothing of the other processes.

    They may be as many in each process as its images need. All processes enter it together; a model that is not split
    is left as it is.

    Args:
        model: in one piece, or split by `parallelize`.
        reshard_after_forward: what the blocks do in training, `train.fsdp.reshard_after_forward`.
    """
    parts = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for part in parts:
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()
    try:
        yield
    finally:
        for part in parts:
            # The root, which holds what is in no block, stays gathered from its forward pass to its backward pass.
            part.set_reshard_after_forward(reshard_after_forward and part is not model, recurse=False)
            part.reshard()
