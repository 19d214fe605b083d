"""Bytes that a training step on fake tensors alone holds beyond its weights: no memory, in seconds."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from eva_backbone.errors import InputError

from .fake_model import fake_run, gather_blocks, make_fake
from .known_data import KnownData, ZerosOutside
from .tracker import LiveBytes, Phase, gradients_taken


def run_whole_step(
    model: nn.Module,
    batch: Any,
    device_type: str,
    dtype: torch.dtype | None,
    low_precision_blocks: bool = False,
    *,
    companions: Sequence[nn.Module] = (),
    num_ranks: int = 1,
) -> list[Phase]:
    """Forward and backward pass of `model`, which is turned in place into one of fake parameters.

    Args:
        batch: what the model takes in training; its floating-point tensors count, and become fake.
        device_type, dtype, low_precision_blocks: as `FakeBackbone`'s.
        companions: modules beside the model that it calls; they become fake as well.
        num_ranks: processes that the step believes there are.

    Raises:
        InputError: the step needs values that fake tensors do not have, or fails for this batch.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    for module in (model, *companions):
        make_fake(module, mode)
    if low_precision_blocks and dtype is not None:
        gather_blocks(model, mode, dtype)
    resident = [x for module in (model, *companions) for x in (*module.parameters(), *module.buffers())]
    tracker = LiveBytes(resident)
    with ExitStack() as stack:
        stack.enter_context(_pretended_processes(num_ranks))
        stack.enter_context(fake_run(mode, model, device_type))
        stack.enter_context(KnownData(mode))
        stack.enter_context(ZerosOutside())
        stack.enter_context(gradients_taken(model.parameters(), tracker))
        stack.enter_context(tracker)
        batch = tree_map_only(Tensor, _without_values, batch)
        try:
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                losses = model(batch)
            loss = losses if isinstance(losses, Tensor) else sum(losses.values())
            del losses
            forward = Phase("forward", False, tracker.peak, tracker.peak)
            tracker.start_peak()
            loss.backward()
        except (RuntimeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise InputError(
                f"a training step of {type(model).__name__} on this batch cannot be run without values ({reason}); "
                "change the batch size or measure with --dry-run on the machine itself."
            ) from error
        return [forward, Phase("backward", True, tracker.peak, tracker.peak_with_gradients)]


def _without_values(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype) if tensor.is_floating_point() else tensor


@contextmanager
def _pretended_processes(number: int) -> Iterator[None]:
    """A process group of `number` of which only this one exists; what it hears from the others has the right shape."""
    if number == 1:
        yield
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore  # also registers the backend

    dist.init_process_group("fake", rank=0, world_size=number, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()
