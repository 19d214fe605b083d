"""The memory of a detector's training step beyond its weights.

The backbone runs on fake tensors. The numbers of proposals and of matched objects depend on values, so the proposal
network and the heads really run, on the CPU, for one image; their memory grows with the number of images.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from eva_backbone.deferred_init import deferred_init
from eva_backbone.errors import InputError
from eva_engine.config.instantiation import instantiate
from eva_engine.memory.fake_model import fake_run, gather_blocks, make_fake
from eva_engine.memory.fake_step import StepSettings
from eva_engine.memory.tracker import LiveBytes, Phase, gradients_taken
from eva_engine.training.adaptation import adapt_model

FeatureMaps = dict[str, torch.Tensor]  # on the meta device: shapes and dtypes only


@dataclass(frozen=True)
class BackboneBytes:
    """Bytes of the backbone's forward and backward pass over a batch.

    Attributes:
        forward: Peak of the forward pass.
        cached: autocast's copies of weights, which live until the whole forward pass has ended.
        kept: Activations that the forward pass keeps for the backward pass, without `cached`.
        backward: Peak of the backward pass if every gradient of a weight is freed as soon as it is complete.
        backward_with_gradients: Peak of the backward pass if these gradients stay.
    """

    forward: int
    cached: int
    kept: int
    backward: int
    backward_with_gradients: int


@dataclass(frozen=True)
class HeadBytes:
    """Bytes of the rest of the detector, with the same meaning; `gradients` are those of all its weights."""

    forward: int
    backward: int
    backward_with_gradients: int
    gradients: int

    def times(self, factor: float) -> "HeadBytes":
        """Scale to `factor` times as many images: everything but the gradients grows with them."""
        forward, backward = round(self.forward * factor), round(self.backward * factor)
        return HeadBytes(forward, backward, backward + self.backward_with_gradients - self.backward, self.gradients)


def detector_phases(backbone: BackboneBytes, heads: HeadBytes) -> list[Phase]:
    """Return the phases of the whole step, whose backward pass runs through the heads first."""
    kept = backbone.kept + backbone.cached
    return [
        Phase("backbone forward", False, backbone.forward, backbone.forward),
        Phase("heads forward", False, kept + heads.forward, kept + heads.forward),
        Phase("heads backward", True, backbone.kept + heads.backward, backbone.kept + heads.backward_with_gradients),
        Phase("backbone backward", True, backbone.backward, heads.gradients + backbone.backward_with_gradients),
    ]


def measure_backbone(
    model: nn.Module, settings: StepSettings, num_images: int, side: int
) -> tuple[BackboneBytes, FeatureMaps]:
    """Measure forward and backward pass of a detector's backbone over `num_images` of `side` x `side` pixels.

    Args:
        model: A detector whose `backbone` computes feature maps from pixels. The parameters of the backbone become
            fake: it cannot run afterwards.
        settings: How the step is computed.
        num_images: Number of images in the batch.
        side: Side of the images in pixels.

    Returns:
        The bytes, and the feature maps on the meta device.
    """
    backbone = model.get_submodule("backbone")
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    make_fake(backbone, mode)
    dtype = settings.autocast_dtype
    if settings.low_precision_blocks and dtype is not None:
        gather_blocks(backbone, mode, dtype)
    parameters = list(backbone.parameters())
    tracker = LiveBytes([*parameters, *backbone.buffers()])
    with ExitStack() as stack:
        stack.enter_context(fake_run(mode, settings.device_type))
        stack.enter_context(gradients_taken(parameters, tracker))
        stack.enter_context(tracker)
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            pixels = torch.zeros(num_images, 3, side, side)
            maps = backbone(pixels)
            del pixels
            forward, with_cache = tracker.peak, tracker.live
        kept = tracker.live
        meta_maps = {name: torch.empty_like(x, device="meta") for name, x in maps.items()}
        end = _End.apply(*maps.values())
        del maps
        tracker.start_peak()
        if end.requires_grad:
            end.backward()
        found = BackboneBytes(forward, with_cache - kept, kept, tracker.peak, tracker.peak_with_gradients)
        return found, meta_maps


class _End(torch.autograd.Function):
    """Stand-in for the heads: consumes feature maps and returns gradients of their shapes."""

    @staticmethod
    def forward(ctx: Any, *maps: torch.Tensor) -> torch.Tensor:
        ctx.likes = [(x.shape, x.dtype) for x in maps]
        return maps[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, _grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(torch.zeros(shape, dtype=dtype) for shape, dtype in ctx.likes)


def measure_heads(
    model: nn.Module, batch: list[dict[str, Any]], maps: FeatureMaps, dtype: torch.dtype | None
) -> HeadBytes:
    """Run everything but the backbone of `model` forward and backward, on the CPU, over random feature maps.

    Args:
        model: A detector with real weights outside of its backbone.
        batch: Synthetic records; their images are of the size that `maps` belong to.
        maps: Feature maps of the backbone, whose shapes and dtypes count.
        dtype: Autocast dtype, or None.
    """
    parameters = [p for name, p in model.named_parameters() if not name.startswith("backbone.")]
    with (
        _random_maps(model, maps, len(batch)) as tracker,
        gradients_taken(parameters, tracker),
        EventStorage(),
        tracker,
    ):
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            losses = sum(model(batch).values())
        forward = tracker.peak
        tracker.start_peak()
        losses.backward()
        del losses
        return HeadBytes(forward, tracker.peak, tracker.peak_with_gradients, tracker.gradients)


def measure_head_inference(model: nn.Module, batch: list[dict[str, Any]], maps: FeatureMaps) -> int:
    """Run everything but the backbone in evaluation mode, and return its peak in bytes beyond the weights and maps.

    Without a score threshold, every image has as many detections as the recipe allows, with their masks.

    Args:
        model: As for `measure_heads`.
        batch: As for `measure_heads`.
        maps: As for `measure_heads`.
    """
    for module in model.modules():
        if isinstance(module, FastRCNNOutputLayers):
            module.test_score_thresh = 0.0
    with torch.no_grad(), _random_maps(model, maps, len(batch)) as tracker, tracker:
        model(batch)
        return tracker.peak


@contextmanager
def _random_maps(model: nn.Module, maps: FeatureMaps, num_images: int) -> Iterator[LiveBytes]:
    """Replace the backbone's forward pass by random feature maps; yield a tracker of everything else."""
    random_maps = {}
    for name, like in maps.items():
        values = torch.randn(num_images, *like.shape[1:], dtype=like.dtype) * 0.1
        random_maps[name] = values.requires_grad_(like.requires_grad)
    outside = [p for name, p in model.named_parameters() if not name.startswith("backbone.")]
    backbone = model.get_submodule("backbone")
    backbone_forward = backbone.forward
    backbone.forward = lambda _pixels: dict(random_maps)
    try:
        yield LiveBytes([*outside, *model.buffers(), *random_maps.values()])
    finally:
        backbone.forward = backbone_forward


def detector_with_real_heads(cfg: DictConfig) -> nn.Module:
    """Build a recipe's detector on the CPU, initialised outside of `backbone`; inside, no memory is touched.

    Raises:
        InputError: A model without `backbone`.
    """
    with deferred_init() as pending:
        model = instantiate(cfg.model)
        if not isinstance(getattr(model, "backbone", None), nn.Module):
            raise InputError(
                f"{type(model).__name__} has no part called backbone; only detectors with that layout can be planned"
            )
        adapt_model(model, cfg.train)
    pending.materialize(model, {name for name, _ in model.named_parameters() if not name.startswith("backbone.")})
    return model.train()
