"""The image tower of EVA-CLIP as the teacher of masked image modelling."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from eva_backbone import PRESETS
from eva_backbone.errors import InputError
from eva_backbone.position import resize_pos_embed
from eva_classification.mim.teacher import lacks_values, load_frozen_weights

from .image_tower import ImageTower, image_tower_weights
from .models import build_model
from .open_clip_weights import from_open_clip, is_open_clip

HEAD_DIM = 88  # channels per attention head of EVA's giant ViT
_ENORMOUS = PRESETS["eva02_enormous"]


class EvaClipTeacher(nn.Module):
    """A frozen image tower that returns normalised and projected patch features of the last block, [B, N, D].

    It serves as the `teacher` of `eva_classification.mim.MaskedImageModel`. The architecture is derived from the names
    and shapes of the weights. A model that is built on the meta device, where weights have no values, does not need
    their file: the first EVA-CLIP is assumed if there is none.

    Args:
        weights: File of an EVA-CLIP or EVA-02-CLIP model, such as eva_clip_psz14.pt or a checkpoint of a training run,
            or of an open_clip model; or a state dict.
        img_size: Side of the images in pixels; position embeddings are resized if the weights have another size.
        num_heads: Number of attention heads; None for heads as wide as those of the released models.

    Raises:
        InputError: The weights belong to another kind of model, or the width is not that of a released model and
            `num_heads` is not given.
    """

    def __init__(
        self, weights: str | os.PathLike | Mapping[str, Tensor], img_size: int = 224, num_heads: int | None = None
    ) -> None:
        super().__init__()
        if lacks_values(weights):
            weights = build_model("eva_clip_g14").state_dict()
        if not isinstance(weights, Mapping):
            from eva_engine.checkpoint import read_weights  # state dicts need no checkpoint reader

            weights = read_weights(weights)
        if is_open_clip(weights):
            weights = from_open_clip(weights)
        tower = image_tower_weights(weights)
        last_layer = "blocks.0.mlp.w3.weight" if _has_separate_projections(tower) else "blocks.0.mlp.fc2.weight"
        for name in ("patch_embed.proj.weight", "pos_embed", "head.weight", last_layer):
            if name not in tower:
                raise InputError(f"the image tower has no {name}; give the weights of a complete EVA-CLIP model.")
        width, _, patch_size, _ = tower["patch_embed.proj.weight"].shape
        grid_side = img_size // patch_size
        tower["pos_embed"] = resize_pos_embed(tower["pos_embed"].float(), (grid_side, grid_side))
        options = _released_options(tower, width, num_heads)
        # The product with the width is rounded down.
        options["mlp_ratio"] = (tower[last_layer].shape[1] + 0.5) / width
        # On the meta device no memory is allocated for random weights; load_frozen_weights assigns the real ones.
        with torch.device("meta"):
            self.visual = ImageTower(
                len(tower["head.weight"]),
                img_size=img_size,
                patch_size=patch_size,
                embed_dim=width,
                depth=sum(name.endswith((".attn.qkv.weight", ".attn.q_proj.weight")) for name in tower),
                **options,
            )
        mismatch = load_frozen_weights(self.visual, tower)
        if mismatch is not None:
            raise InputError(f"{mismatch} does not fit the image tower of an EVA-CLIP model; give weights of one.")
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels [B, 3, S, S], normalised with CLIP's mean and deviation, to patch features [B, N, D]."""
        return self.visual.forward_patch_features(pixels)


def _released_options(tower: Mapping[str, Tensor], width: int, num_heads: int | None) -> dict[str, Any]:
    """Return the options of a tower of the released kinds, which its names, and for EVA-02-CLIP-E its width, show."""
    options: dict[str, Any]
    if _has_separate_projections(tower):
        options = {name: PRESETS["eva02_large"][name] for name in ("rope", "mlp", "mlp_norm", "qkv_layers")}
        options["attention_norm"] = "blocks.0.attn.inner_attn_ln.weight" in tower
        head_dim = 64
    else:
        # No name shows where the norms are.
        options = {"post_norm": width == _ENORMOUS["embed_dim"]}
        head_dim = _ENORMOUS["embed_dim"] // _ENORMOUS["num_heads"] if options["post_norm"] else HEAD_DIM
    if num_heads is None and width % head_dim:
        raise InputError(f"a width of {width} is not divisible into heads of {head_dim} channels; give num_heads.")
    options["num_heads"] = num_heads or width // head_dim
    return options


def _has_separate_projections(tower: Mapping[str, Tensor]) -> bool:
    return "blocks.0.attn.q_proj.weight" in tower
