"""The memory of a training step beyond its weights, measured on fake tensors: in seconds, and without memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_map_only

from eva_backbone.chunked_attention import only_memory_counts
from eva_backbone.errors import InputError

from .fake_model import fake_run, gather_blocks, make_fake
from .known_data import KnownData, ZerosOutside
from .tracker import LiveBytes, Phase, gradients_taken


@dataclass(frozen=True)
class StepSettings:
    """How a training step is computed.

    Attributes:
        device_type: "cuda" or "cpu", whose kernels are assumed.
        autocast_dtype: Reduced precision, or None.
        low_precision_blocks: The blocks' weights and inputs have that dtype, as FSDP gathers them.
        num_ranks: Number of processes whose samples the step combines.
    """

    device_type: str
    autocast_dtype: torch.dtype | None
    low_precision_blocks: bool
    num_ranks: int


def run_fake_step(
    model: nn.Module, batch: Any, settings: StepSettings, extra_modules: Sequence[nn.Module] = ()
) -> list[Phase]:
    """Run the forward and backward pass of `model`, whose parameters are replaced in place by fake ones.

    Args:
        model: A model, usually on the meta device.
        batch: Training input of the model; its floating-point tensors count, and become fake.
        settings: How the step is computed.
        extra_modules: Modules outside of the model that it calls; they become fake as well.

    Raises:
        InputError: The step needs values that fake tensors do not have, or fails for this batch.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    for module in (model, *extra_modules):
        make_fake(module, mode)
    dtype = settings.autocast_dtype
    if settings.low_precision_blocks and dtype is not None:
        gather_blocks(model, mode, dtype)
    tracker = LiveBytes(_resident_tensors(model, *extra_modules))
    with ExitStack() as stack:
        stack.enter_context(_simulated_process_group(settings.num_ranks))
        stack.enter_context(fake_run(mode, settings.device_type))
        stack.enter_context(KnownData(mode))
        stack.enter_context(ZerosOutside())
        stack.enter_context(gradients_taken(model.parameters(), tracker))
        stack.enter_context(tracker)
        stack.enter_context(only_memory_counts())
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


def run_fake_inference(model: nn.Module, batch: Any, device_type: str, extra_modules: Sequence[nn.Module] = ()) -> int:
    """Return the peak of a forward pass in evaluation mode, in bytes beyond the weights.

    Args:
        model: A model, usually on the meta device, whose parameters are replaced in place by fake ones.
        batch: Input of the model; its floating-point tensors count, and become fake.
        device_type: "cuda" or "cpu", whose kernels are assumed.
        extra_modules: As for `run_fake_step`.
    """
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    for module in (model, *extra_modules):
        make_fake(module, mode)
    tracker = LiveBytes(_resident_tensors(model, *extra_modules))
    with torch.no_grad(), fake_run(mode, device_type), KnownData(mode), ZerosOutside(), tracker, only_memory_counts():
        model.eval()(tree_map_only(Tensor, _without_values, batch))
    return tracker.peak


def _resident_tensors(*modules: nn.Module) -> list[Tensor]:
    """Return the tensors that exist before the step and after it."""
    tensors: list[Tensor] = []
    for module in modules:
        tensors += [*module.parameters(), *module.buffers()]
    return tensors


def _without_values(tensor: Tensor) -> Tensor:
    if tensor.is_floating_point():
        return torch.empty(tensor.shape, dtype=tensor.dtype)
    return tensor


@contextmanager
def _simulated_process_group(number: int) -> Iterator[None]:
    """Join a process group of `number` processes of which only this one exists; collectives return the right shapes."""
    if number == 1:
        yield
        return
    from torch.testing._internal.distributed.fake_pg import FakeStore  # also registers the backend

    dist.init_process_group("fake", rank=0, world_size=number, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()
