"""The image tower of EVA-CLIP as the teacher of masked image modelling."""

import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from eva_backbone.errors import InputError
from eva_backbone.position import resize_pos_embed
from eva_classification.mim.teacher import load_frozen_weights

from .image_tower import ImageTower, image_tower_weights
from .open_clip_weights import from_open_clip, is_open_clip

HEAD_DIM = 88  # of the published model


class EvaClipTeacher(nn.Module):
    """Patch features of EVA-CLIP: those of the last block, normalised and projected, [B, N, D].

    It is a `teacher` for `eva_classification.mim.MaskedImageModel`. The architecture is read off the weights.

    Args:
        weights: file of an EVA-CLIP model, such as eva_clip_psz14.pt or a checkpoint of a run, or of open_clip's; or
            the weights themselves.
        img_size: side of the images in pixels; positions are resized where it is not that of the weights.
        num_heads: attention heads; of 88 channels unless given.

    Raises:
        InputError: weights of something else.
    """

    def __init__(
        self, weights: str | os.PathLike | Mapping[str, Tensor], img_size: int = 224, num_heads: int | None = None
    ) -> None:
        super().__init__()
        if not isinstance(weights, Mapping):
            from eva_engine.checkpoint import read_weights  # the models of this package need no reader of files

            weights = read_weights(weights)
        tower = image_tower_weights(from_open_clip(weights) if is_open_clip(weights) else weights)
        width, _, patch_size, _ = tower["patch_embed.proj.weight"].shape
        if num_heads is None and width % HEAD_DIM:
            raise InputError(f"heads of {HEAD_DIM} channels do not divide a width of {width}; give num_heads.")
        side = img_size // patch_size
        tower["pos_embed"] = resize_pos_embed(tower["pos_embed"].float(), (side, side))
        with torch.device("meta"):
            self.visual = ImageTower(
                len(tower["head.weight"]),
                img_size=img_size,
                patch_size=patch_size,
                embed_dim=width,
                depth=sum(name.endswith(".attn.qkv.weight") for name in tower),
                num_heads=num_heads or width // HEAD_DIM,
                mlp_ratio=len(tower["blocks.0.mlp.fc1.weight"]) / width,
            )
        wrong = load_frozen_weights(self.visual, tower)
        if wrong is not None:
            raise InputError(f"{wrong} does not fit the image tower of an EVA-CLIP model; give weights of one.")
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, S, S], normalised with CLIP's mean and deviation, to features [B, N, D]."""
        return self.visual.forward_patch_features(pixels)
