"""The image tower of a CLIP model as the target of pre-training."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_backbone.position import resize_pos_embed

from .teacher import freeze_with

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
    """Patch features of a CLIP ViT: those of the last block, normalised and projected, [B, N, width of CLIP's space].

    The architecture is read off the weights. A model that is built on the meta device, where weights have no values,
    does not need their file; ViT-L/14 is assumed without it. Needs open_clip (`open_clip_torch`).

    Args:
        weights: file of OpenAI's ViT-L/14 or of another CLIP ViT with its names, whole or its image tower alone; or the
            weights themselves.
        img_size: side of the images in pixels; positions are resized where it is not that of the weights.
        num_heads: attention heads; of 64 channels unless given.
        quick_gelu: the activation of OpenAI's models; models trained by others have the plain one.

    Raises:
        InputError: weights of no CLIP ViT, or open_clip is missing.
    """

    def __init__(
        self,
        weights: str | os.PathLike | Mapping[str, Tensor],
        img_size: int = 224,
        num_heads: int | None = None,
        quick_gelu: bool = True,
    ) -> None:
        super().__init__()
        if _is_absent(weights) and torch.get_default_device().type == "meta":
            weights = _build_tower(**VIT_LARGE).state_dict()
        source = "the given weights" if isinstance(weights, Mapping) else os.fspath(weights)
        tower = _select_tower(weights if isinstance(weights, Mapping) else _read(weights), source)
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
        wrong = freeze_with(self.visual, tower)
        if wrong is not None:
            raise InputError(f"{source} is no plain CLIP ViT: {wrong} does not fit one; give a CLIP ViT's weights.")
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, S, S], normalised with CLIP's mean and deviation, to features [B, N, D]."""
        _, tokens = self.visual(pixels)  # patch tokens behind the last normalisation
        return tokens @ self.visual.proj


def _is_absent(weights: str | os.PathLike | Mapping[str, Tensor]) -> bool:
    return not isinstance(weights, Mapping) and not os.path.exists(weights)


def _read(path: str | os.PathLike) -> dict[str, Tensor]:
    from eva_engine.checkpoint import read_weights  # the models of this package need no reader of files

    return read_weights(path)


def _select_tower(weights: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The image tower's entries without their prefix."""
    if any(name.startswith(_PREFIX) for name in weights):
        weights = {name.removeprefix(_PREFIX): value for name, value in weights.items() if name.startswith(_PREFIX)}
    needed = ("conv1.weight", "positional_embedding", "proj", "transformer.resblocks.0.mlp.c_fc.weight")
    missing = [name for name in needed if name not in weights]
    if missing:
        raise InputError(
            f"{source} has no {missing[0]}, which the image tower of a CLIP ViT has; give weights with OpenAI's or "
            "open_clip's names."
        )
    return dict(weights)


def _build_tower(*, quick_gelu: bool, **options: int | float) -> nn.Module:
    try:
        from open_clip.transformer import QuickGELU, VisionTransformer
    except ImportError as error:
        raise InputError(f"CLIP features need open_clip ({error}): install open_clip_torch.") from error
    with torch.device("meta"):
        return VisionTransformer(**options, act_layer=QuickGELU if quick_gelu else nn.GELU, output_tokens=True)
