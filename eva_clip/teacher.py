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

HEAD_DIM = 88  # channels per attention head of the released model


class EvaClipTeacher(nn.Module):
    """A frozen image tower that returns normalised and projected patch features of the last block, [B, N, D].

    It serves as the `teacher` of `eva_classification.mim.MaskedImageModel`. The architecture is derived from the shapes
    of the weights.

    Args:
        weights: File of an EVA-CLIP model, such as eva_clip_psz14.pt or a checkpoint of a training run, or of an
            open_clip model; or a state dict.
        img_size: Side of the images in pixels; position embeddings are resized if the weights have another size.
        num_heads: Number of attention heads; None for heads of 88 channels.

    Raises:
        InputError: The weights belong to another kind of model, or the width is not divisible by 88 and `num_heads` is
            not given.
    """

    def __init__(
        self, weights: str | os.PathLike | Mapping[str, Tensor], img_size: int = 224, num_heads: int | None = None
    ) -> None:
        super().__init__()
        if not isinstance(weights, Mapping):
            from eva_engine.checkpoint import read_weights  # state dicts need no checkpoint reader

            weights = read_weights(weights)
        if is_open_clip(weights):
            weights = from_open_clip(weights)
        tower = image_tower_weights(weights)
        width, _, patch_size, _ = tower["patch_embed.proj.weight"].shape
        if num_heads is None:
            if width % HEAD_DIM:
                raise InputError(
                    f"a width of {width} is not divisible into heads of {HEAD_DIM} channels; give num_heads."
                )
            num_heads = width // HEAD_DIM
        grid_side = img_size // patch_size
        tower["pos_embed"] = resize_pos_embed(tower["pos_embed"].float(), (grid_side, grid_side))
        # On the meta device no memory is allocated for random weights; load_frozen_weights assigns the real ones.
        with torch.device("meta"):
            self.visual = ImageTower(
                len(tower["head.weight"]),
                img_size=img_size,
                patch_size=patch_size,
                embed_dim=width,
                depth=sum(name.endswith(".attn.qkv.weight") for name in tower),
                num_heads=num_heads,
                mlp_ratio=len(tower["blocks.0.mlp.fc1.weight"]) / width,
            )
        mismatch = load_frozen_weights(self.visual, tower)
        if mismatch is not None:
            raise InputError(f"{mismatch} does not fit the image tower of an EVA-CLIP model; give weights of one.")
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels [B, 3, S, S], normalised with CLIP's mean and deviation, to patch features [B, N, D]."""
        return self.visual.forward_patch_features(pixels)
