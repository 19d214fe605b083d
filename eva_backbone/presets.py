"""Presets of `VisionTransformer`: the published sizes, and a tiny one for demos and tests."""

from types import MappingProxyType
from typing import Any

from .errors import InputError
from .vision_transformer import VisionTransformer

PRESETS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA: 1.01 billion parameters
        "giant": MappingProxyType({"embed_dim": 1408, "depth": 40, "num_heads": 16, "mlp_ratio": 6144 / 1408}),
        # ViT-L and ViT-B, for EVA-L and the stock ViTDet recipes
        "large": MappingProxyType({"embed_dim": 1024, "depth": 24, "num_heads": 16, "mlp_ratio": 4.0}),
        "base": MappingProxyType({"embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_ratio": 4.0}),
        # trains in minutes on a laptop CPU
        "tiny": MappingProxyType({"embed_dim": 128, "depth": 4, "num_heads": 4, "mlp_ratio": 4.0}),
    }
)


def create_backbone(preset: str, **overrides: Any) -> VisionTransformer:
    """Build a backbone from a preset; `overrides` are further or other arguments of `VisionTransformer`.

    Raises:
        InputError: There is no preset of that name.
    """
    if preset not in PRESETS:
        raise InputError(f"unknown backbone preset {preset!r}; choose one of {', '.join(PRESETS)}.")
    return VisionTransformer(**{**PRESETS[preset], **overrides})
