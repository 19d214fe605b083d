"""Bytes that forward and backward pass of a detector hold beyond its weights."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.utils.events import EventStorage
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from eva_engine.memory.fake_model import fake_run, gather_blocks, make_fake
from eva_engine.memory.tracker import LiveBytes, Phase, gradients_taken

Maps = dict[str, torch.Tensor]  # fake: shapes and dtypes only


@dataclass(frozen=True)
class BackboneBytes:
    """Of one pass over a batch.

    Attributes:
        forward: the most during forward.
        cached: what autocast's copies of weights add until the whole forward pass has ended.
        kept: what forward leaves for backward, without `cached`.
        backward: the most during backward, without gradients of weights beyond the one in the making.
        backward_with_gradients: the most during backward if every gradient stays once it is made.
    """

    forward: int
    cached: int
    kept: int
    backward: int
    backward_with_gradients: int


@dataclass(frozen=True)
class HeadBytes:
    """Of the rest of the detector, with the same meaning; `gradients` are those of its weights when all are made."""

    forward: int
    backward: int
    backward_with_gradients: int
    gradients: int

    def times(self, factor: float) -> "HeadBytes":
        """For `factor` times as many images: all but the gradients grows with them."""
        forward, backward = round(self.forward * factor), round(self.backward * factor)
        return HeadBytes(forward, backward, backward + self.backward_with_gradients - self.backward, self.gradients)


def detector_phases(backbone: BackboneBytes, heads: HeadBytes) -> list[Phase]:
    """Of the whole step, whose backward pass goes through the heads first."""
    kept = backbone.kept + backbone.cached
    return [
        Phase("backbone forward", False, backbone.forward, backbone.forward),
        Phase("heads forward", False, kept + heads.forward, kept + heads.forward),
        Phase("heads backward", True, backbone.kept + heads.backward, backbone.kept + heads.backward_with_gradients),
        Phase("backbone backward", True, backbone.backward, heads.gradients + backbone.backward_with_gradients),
    ]


class FakeBackbone:
    """The backbone of a detector, turned in place into one of fake parameters; it cannot run for real afterwards.

    Args:
        model: a detector whose `backbone` makes maps from pixels.
        device_type: "cuda" or "cpu", whose kernels are assumed.
        dtype: of autocast, or None.
        low_precision_blocks: weights and inputs of the blocks have that dtype, as FSDP gathers them.
    """

    def __init__(
        self, model: nn.Module, device_type: str, dtype: torch.dtype | None, low_precision_blocks: bool = False
    ) -> None:
        self.backbone = model.get_submodule("backbone")
        self.device_type, self.dtype = device_type, dtype
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        make_fake(self.backbone, self._mode)
        if low_precision_blocks and dtype is not None:
            gather_blocks(self.backbone, self._mode, dtype)

    def run(self, num_images: int, side: int) -> tuple[BackboneBytes, Maps]:
        """Forward and backward over `num_images` of `side` x `side` pixels; also the maps."""
        parameters = list(self.backbone.parameters())
        tracker = LiveBytes([*parameters, *self.backbone.buffers()])
        with ExitStack() as stack:
            stack.enter_context(fake_run(self._mode, self.backbone, self.device_type))
            stack.enter_context(gradients_taken(parameters, tracker))
            stack.enter_context(tracker)
            with torch.autocast("cpu", dtype=self.dtype, enabled=self.dtype is not None):
                pixels = torch.zeros(num_images, 3, side, side)
                maps = self.backbone(pixels)
                del pixels
                forward, cached = tracker.peak, tracker.live
            kept = tracker.live
            likes = {name: torch.empty_like(x, device="meta") for name, x in maps.items()}
            end = _End.apply(*maps.values())
            del maps
            tracker.start_peak()
            if end.requires_grad:
                end.backward()
            return BackboneBytes(forward, cached - kept, kept, tracker.peak, tracker.peak_with_gradients), likes


class _End(torch.autograd.Function):
    """Stands for the heads: takes maps, gives back gradients of their shapes."""

    @staticmethod
    def forward(ctx: Any, *maps: torch.Tensor) -> torch.Tensor:
        ctx.likes = [(x.shape, x.dtype) for x in maps]
        return maps[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, _grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.zeros(shape, dtype=dtype) for shape, dtype in ctx.likes)


def run_heads(
    model: nn.Module,
    batch: list[dict[str, Any]],
    maps: Maps,
    dtype: torch.dtype | None,
) -> HeadBytes:
    """Forward and backward of all but the backbone of `model`, for real, on the CPU, over maps of random numbers.

    The number of proposals and of matched objects is only known from data, so this part cannot be fake.

    Args:
        batch: made records; their images are as large as those that `maps` are for.
    """
    inside = [p for name, p in model.named_parameters() if not name.startswith("backbone.")]
    leaves = {
        name: (torch.randn(len(batch), *x.shape[1:], dtype=x.dtype) * 0.1).requires_grad_(x.requires_grad)
        for name, x in maps.items()
    }
    tracker = LiveBytes([*inside, *model.buffers(), *leaves.values()])
    backbone = model.get_submodule("backbone")
    backbone_forward = backbone.forward
    backbone.forward = lambda _pixels: dict(leaves)
    try:
        with gradients_taken(inside, tracker), EventStorage(), tracker:
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                losses = sum(model(batch).values())
            forward = tracker.peak
            tracker.start_peak()
            losses.backward()
            del losses
            return HeadBytes(forward, tracker.peak, tracker.peak_with_gradients, tracker.gradients)
    finally:
        backbone.forward = backbone_forward
