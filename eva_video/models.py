"""Models by name: the published architecture and one that a laptop trains."""

from types import MappingProxyType
from typing import Any

from eva_backbone import PRESETS
from eva_backbone.errors import InputError

from .classifier import VideoClassifier

MODELS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA on Kinetics; K722 has 8 frames, the others 16
        "eva_giant_patch14_video": MappingProxyType({**PRESETS["giant"], "patch_size": 14, "tubelet_size": 1}),
        "eva_tiny_patch14_video": MappingProxyType({**PRESETS["tiny"], "patch_size": 14, "tubelet_size": 1}),
    }
)


def create_video_classifier(name: str, num_classes: int, num_frames: int = 16, **overrides: Any) -> VideoClassifier:
    """Build a video classifier with random weights.

    Args:
        name: key of `MODELS`.
        num_classes: outputs of the head.
        num_frames: length of a clip.
        overrides: further arguments of `VideoClassifier` and of the backbone, as in `img_size=336`.

    Raises:
        InputError: no model of that name.
    """
    if name not in MODELS:
        raise InputError(f"{name!r} is no model of this package; choose one of {', '.join(MODELS)}.")
    return VideoClassifier(num_classes, num_frames=num_frames, **{**MODELS[name], **overrides})
