"""Presets of `VisionTransformer`: the published sizes, and a tiny one for demos and tests."""

from types import MappingProxyType
from typing import Any

from .errors import InputError
from .vision_transformer import VisionTransformer

# Rotary positions and gated MLPs; 8/3 times the width makes three matrices as large as two of four times the width.
_EVA02 = {"rope": True, "mlp": "packed_swiglu", "mlp_ratio": 8 / 3}
# From base size on, separate projections and a norm in the MLP keep pre-training stable.
_EVA02_LARGER = {**_EVA02, "mlp": "swiglu", "mlp_norm": True, "qkv_layers": "separate"}

PRESETS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        # EVA: 1.01 billion parameters
        "giant": MappingProxyType({"embed_dim": 1408, "depth": 40, "num_heads": 16, "mlp_ratio": 6144 / 1408}),
        # ViT-L and ViT-B, for EVA-L and the stock ViTDet recipes
        "large": MappingProxyType({"embed_dim": 1024, "depth": 24, "num_heads": 16, "mlp_ratio": 4.0}),
        "base": MappingProxyType({"embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_ratio": 4.0}),
        # EVA-02: 6, 22, 86 and 304 million parameters
        "eva02_tiny": MappingProxyType({**_EVA02, "embed_dim": 192, "depth": 12, "num_heads": 3}),
        "eva02_small": MappingProxyType({**_EVA02, "embed_dim": 384, "depth": 12, "num_heads": 6}),
        "eva02_base": MappingProxyType({**_EVA02_LARGER, "embed_dim": 768, "depth": 12, "num_heads": 12}),
        "eva02_large": MappingProxyType({**_EVA02_LARGER, "embed_dim": 1024, "depth": 24, "num_heads": 16}),
        # The image tower of EVA-02-CLIP-E: 4.4 billion parameters, with neither rotary positions nor gated MLPs
        "eva02_enormous": MappingProxyType(
            {"embed_dim": 1792, "depth": 64, "num_heads": 16, "mlp_ratio": 15360 / 1792, "post_norm": True}
        ),
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
