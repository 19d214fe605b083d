"""open_clip's EVA models at other sizes than the published ones, and weights that show every difference."""

from typing import Any
from unittest import mock

import open_clip
import timm
import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn


def build_open_clip(output_dim: int, text: dict[str, Any], name: str = "EVA01-g-14", **trunk: Any) -> CustomTextCLIP:
    """The model that open_clip calls `name`, with other options for its trunk from timm."""
    config = open_clip.get_model_config(name)
    original = timm.create_model

    def create_trunk(*args: Any, **options: Any) -> nn.Module:
        return original(*args, **{**options, **trunk})

    with mock.patch.object(open_clip.timm_model.timm, "create_model", create_trunk):
        return CustomTextCLIP(output_dim, config["vision_cfg"], {**config["text_cfg"], **text})


def sharp_weights(model: nn.Module, seed: int = 3) -> dict[str, Tensor]:
    """Weights with which attention is far from uniform, and every entry matters."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in model.state_dict().items():
        norm = ("norm" in name or "_ln." in name or ".ln_" in name) and name.endswith("weight")
        scale = value[0].numel() ** -0.5 * 1.5 if value.ndim > 1 and "embed" not in name else 0.2
        state[name] = float(norm) + scale * torch.randn(value.shape, generator=generator)
    state["text.logit_scale" if "text.logit_scale" in state else "logit_scale"] += 2
    return state
