"""The image side of EVA-CLIP: the backbone, its class token, a projection."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_backbone.initialization import scale_branch_outputs
from eva_classification.heads import build_head

VISUAL = "visual."  # in front of the tower's names in a whole model


class ImageTower(VisionTransformer):
    """A backbone whose class token, normalised and projected, stands for the image.

    Args:
        output_dim: width of the space that images and texts share, D.
        backbone: arguments of `VisionTransformer`.
    """

    def __init__(self, output_dim: int, **backbone: Any) -> None:
        super().__init__(**backbone)
        self.output_dim = output_dim
        self.head = build_head("linear", self.embed_dim, output_dim)
        scale_branch_outputs(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W] to embeddings [B, D], of any length."""
        return self.head(self.norm(self._tokens(pixels)[:, 0]))

    def forward_patch_features(self, pixels: Tensor) -> Tensor:
        """Normalised pixels to what the projection makes of every patch, [B, N, D]."""
        return self.head(self.norm(self._tokens(pixels)[:, 1:]))

    def _tokens(self, pixels: Tensor) -> Tensor:
        patches, grid = self.patch_embed(pixels.to(self.patch_embed.proj.weight, non_blocking=True))
        return self.run_blocks(self.add_positions(patches, grid), grid)


def image_tower_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of the image tower among those of a whole model, under the names of the bare backbone.

    Classifiers, detectors and pre-training models take a whole file as well: they find the tower by its prefix.

    Raises:
        InputError: there is no image tower among them.
    """
    tower = {name.removeprefix(VISUAL): value for name, value in weights.items() if name.startswith(VISUAL)}
    if "blocks.0.attn.qkv.weight" not in tower:
        raise InputError(
            f"names such as {next(iter(weights), '(none)')} are not those of an EVA-CLIP model; give weights with "
            f"{VISUAL}blocks.0.attn.qkv.weight, such as eva_clip_psz14.pt."
        )
    return tower
