"""Image classifiers against timm's, and the video classifier against timm's ViT on as many tokens.

Forward passes have weights in bfloat16, training steps have float32 weights and autocast, with gradients allocated
before, so that the memory is that of activations. No step recomputes activations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .bench import Bench
from .contenders import Amount, Run, compare
from .detector_models import on_device
from .gradients import with_gradients

NUM_CLASSES = 1000
TINY_VIT = {"depth": 1, "embed_dim": 64, "num_heads": 2}
NUM_FRAMES = 16


@dataclass(frozen=True)
class Size:
    """Number of images, or clips, and their side in pixels."""

    images: int
    side: int


def run(bench: Bench) -> None:
    """Measure forward passes and training steps."""
    tiny = bench.tiny
    _classifier(bench, "ViT-g classifier", "eva_giant_patch14", "_224", Size(2, 28) if tiny else Size(64, 224))
    _classifier(bench, "EVA-02-L classifier", "eva02_large_patch14", "_448", Size(2, 28) if tiny else Size(32, 448))
    _video(bench, Size(1, 28) if tiny else Size(2, 224))


def _classifier(bench: Bench, title: str, name: str, suffix: str, size: Size) -> None:
    options: dict[str, Any] = {"img_size": size.side, "num_classes": NUM_CLASSES, **(TINY_VIT if bench.tiny else {})}

    def theirs() -> nn.Module:
        import timm

        return timm.create_model(name + suffix, **options)

    def ours() -> nn.Module:
        from eva_classification import create_classifier

        return create_classifier(name, **options)

    shape = (size.images, 3, size.side, size.side)
    _measure_logits(bench, f"{title}, {size.side} px", {"timm": (theirs, shape), "ours": (ours, shape)})


def _video(bench: Bench, size: Size) -> None:
    """Compare with an image model of timm on an image with as many patches as the clip has, 16 frames of 16 x 16."""
    frames = 4 if bench.tiny else NUM_FRAMES
    options: dict[str, Any] = {"num_classes": 400, **(TINY_VIT if bench.tiny else {})}
    image_side = size.side * round(frames**0.5)

    def theirs() -> nn.Module:
        import timm

        return timm.create_model("eva_giant_patch14_224", img_size=image_side, **options)

    def ours() -> nn.Module:
        from eva_video import create_video_classifier

        return create_video_classifier("eva_giant_patch14_video", img_size=size.side, num_frames=frames, **options)

    image, clip = (size.images, 3, image_side, image_side), (size.images, 3, frames, size.side, size.side)
    title = f"ViT-g video classifier, {frames} frames of {size.side} px"
    _measure_logits(bench, title, {"timm's ViT, as many tokens": (theirs, image), "ours": (ours, clip)})


def _measure_logits(
    bench: Bench, title: str, builders: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]
) -> None:
    """Compare models [B, ...] -> logits [B, K]; the first one is the peer. Values are a model and its input shape."""
    peer, images = next(iter(builders)), next(iter(builders.values()))[1][0]
    for kind, prepare in (("forward", _forward), ("training step", _step)):
        contenders = {name: partial(prepare, bench, *builder) for name, builder in builders.items()}
        compare(bench, f"{title}, {kind}", peer, contenders, Amount(images))


def _forward(bench: Bench, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> Run:
    model = on_device(bench.device, build).eval().to(torch.bfloat16)
    pixels = torch.randn(shape, device=bench.device, dtype=torch.bfloat16)
    return torch.inference_mode()(lambda: model(pixels))


def _step(bench: Bench, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> Run:
    model = with_gradients(on_device(bench.device, build).train())
    pixels = torch.randn(shape, device=bench.device)
    labels = torch.arange(shape[0], device=bench.device)

    def step() -> None:
        with torch.autocast(bench.device, torch.bfloat16):
            logits = model(pixels)
        F.cross_entropy(logits.float(), labels).backward()

    return step
