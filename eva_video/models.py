"""Create video classifiers by name: the published architecture and a small one that trains on a laptop."""

import os
from types import MappingProxyType
from typing import Any

import torch

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .classifier import VideoClassifier

MODELS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA on Kinetics; the model of K722 has 8 frames, the others have 16.
        "eva_giant_patch14_video": MappingProxyType({**PRESETS["giant"], "patch_size": 14, "tubelet_size": 1}),
        "eva_tiny_patch14_video": MappingProxyType({**PRESETS["tiny"], "patch_size": 14, "tubelet_size": 1}),
    }
)


def create_video_classifier(
    name: str,
    weights: str | os.PathLike | None = None,
    *,
    num_classes: int = 400,
    num_frames: int = 16,
    device: str | torch.device | None = None,
    dtype: torch.dtype = torch.float32,
    strict: bool = True,
    **options: Any,
) -> VideoClassifier:
    """Create a video classifier in evaluation mode, with weights from a file or random ones.

    Args:
        name: Key of `MODELS`.
        weights: Path of a weight file; None for random weights.
        num_classes: Number of outputs of the head.
        num_frames: Frames per clip.
        device: Device of the model; None for the one it is built on, normally the CPU.
        dtype: Data type of the parameters.
        strict: Whether to raise an error unless the file has exactly the parameters of the model. Otherwise parameters
            that it lacks stay random.
        options: Other arguments of `VideoClassifier` and of the backbone, such as `img_size=336`.

    Raises:
        InputError: There is no model of that name, or the file is unreadable or made for another model.
    """
    # Loading weights imports much more than building the model, so the import waits until a model is created.
    from eva_engine.checkpoint.pretrained import build_pretrained

    if name not in MODELS:
        raise InputError(f"{name!r} is not a model of this package; choose one of {', '.join(MODELS)}.")
    arguments = {**MODELS[name], **options}

    def build() -> VideoClassifier:
        return VideoClassifier(num_classes, num_frames=num_frames, **arguments)

    return build_pretrained(build, weights, device=device, dtype=dtype, strict=strict)
