"""The image tower of a CLIP model as the teacher of masked image modelling."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_backbone.position import resize_pos_embed

from .teacher import lacks_values, load_frozen_weights

HEAD_DIM = 64  # of every CLIP that OpenAI published
_PREFIX = "visual."
VIT_LARGE: Mapping[str, Any] = MappingProxyType(
    {
        "image_size": 224,
        "patch_size": 14,
        "width": 1024,
        "layers": 24,
        "heads": 16,
        "mlp_ratio": 4.0,
        "output_dim": 768,
        "quick_gelu": True,
    }
)


class ClipTeacher(nn.Module):
    """Compute patch features of a CLIP ViT: last block, final norm and projection, [B, N, D] in CLIP's shared space.

    The architecture is inferred from the weights. A model that is built on the meta device, where weights have no
    values, does not need their file: ViT-L/14 is assumed if there is none. Needs open_clip (`open_clip_torch`).

    Args:
        weights: File of OpenAI's ViT-L/14 or of another CLIP ViT with the same names, complete or its image tower only;
            or the weights themselves.
        img_size: Side of the images in pixels; positions are resized if the weights were trained at another size.
        num_heads: Attention heads; by default heads of 64 channels.
        quick_gelu: Use the activation of OpenAI's models; most models trained by others use GELU.

    Raises:
        InputError: The weights do not belong to a CLIP ViT, or open_clip is not installed.
    """

    def __init__(
        self,
        weights: str | os.PathLike | Mapping[str, Tensor],
        img_size: int = 224,
        num_heads: int | None = None,
        quick_gelu: bool = True,
    ) -> None:
        super().__init__()
        if lacks_values(weights):
            weights = _build_tower(**VIT_LARGE).state_dict()
        if isinstance(weights, Mapping):
            source = "the given weights"
            tower = _select_tower(weights, source)
        else:
            source = os.fspath(weights)
            tower = _select_tower(_read(weights), source)
        width, _, patch_size, _ = tower["conv1.weight"].shape
        side = img_size // patch_size
        tower["positional_embedding"] = resize_pos_embed(tower["positional_embedding"][None].float(), (side, side))[0]
        self.visual = _build_tower(
            image_size=img_size,
            patch_size=patch_size,
            width=width,
            layers=sum(name.endswith(".attn.in_proj_weight") for name in tower),
            heads=num_heads or width // HEAD_DIM,
            mlp_ratio=tower["transformer.resblocks.0.mlp.c_fc.weight"].shape[0] / width,
            output_dim=tower["proj"].shape[1],
            quick_gelu=quick_gelu,
        )
        mismatch = load_frozen_weights(self.visual, tower)
        if mismatch is not None:
            raise InputError(f"{source} is not a standard CLIP ViT: {mismatch} does not match; give weights of one.")
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the features [B, N, D] of pixels [B, 3, S, S], normalised with CLIP's mean and standard deviation."""
        _, tokens = self.visual(pixels)  # (pooled output, patch tokens after the final norm)
        return tokens @ self.visual.proj


def _read(path: str | os.PathLike) -> dict[str, Tensor]:
    from eva_engine.checkpoint import read_weights  # the models of this package do not depend on the engine

    return read_weights(path)


def _select_tower(weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the entries of the image tower without their prefix."""
    if any(name.startswith(_PREFIX) for name in weights):
        weights = {name.removeprefix(_PREFIX): value for name, value in weights.items() if name.startswith(_PREFIX)}
    needed = ("conv1.weight", "positional_embedding", "proj", "transformer.resblocks.0.mlp.c_fc.weight")
    missing = [name for name in needed if name not in weights]
    if missing:
        raise InputError(
            f"{source} has no {missing[0]}, which the image tower of every CLIP ViT has; give weights with OpenAI's or "
            "open_clip's names."
        )
    return dict(weights)


def _build_tower(*, quick_gelu: bool, **options: int | float) -> nn.Module:
    """Build open_clip's image tower on the meta device."""
    try:
        from open_clip.transformer import QuickGELU, VisionTransformer
    except ImportError as error:
        raise InputError(f"CLIP features need open_clip ({error}): install open_clip_torch.") from error
    with torch.device("meta"):
        return VisionTransformer(**options, act_layer=QuickGELU if quick_gelu else nn.GELU, output_tokens=True)
