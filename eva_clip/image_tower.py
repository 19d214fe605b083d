"""The image tower of EVA-CLIP: an EVA ViT whose class token is projected to the joint embedding space."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_backbone.initialization import scale_branch_outputs
from eva_classification.heads import build_head

VISUAL = "visual."  # prefix of the image tower's names in the state dict of a full model


class ImageTower(VisionTransformer):
    """An EVA ViT with a projection of its normalised class token to the image embedding.

    Args:
        output_dim: Dimension D of the joint embedding space.
        backbone: Arguments of `VisionTransformer`.

    Raises:
        InputError: The backbone has no class token, which is the output of the tower.
    """

    def __init__(self, output_dim: int, **backbone: Any) -> None:
        super().__init__(**backbone)
        if self.cls_token is None:
            raise InputError("an image tower of EVA-CLIP embeds its class token; leave class_token=False out.")
        self.output_dim = output_dim
        self.head = build_head("linear", self.embed_dim, output_dim)
        scale_branch_outputs(self)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels [B, 3, H, W] to embeddings [B, D], which are not L2-normalised."""
        # Only the class token is normalised and projected; a norm works on each token alone, so nothing else is needed.
        class_tokens = self._tokens(pixels)[:, 0]
        return self.head(self.norm(class_tokens))

    def forward_patch_features(self, pixels: Tensor) -> Tensor:
        """Map normalised pixels [B, 3, H, W] to projected features [B, N, D] of the N patches."""
        patch_tokens = self._tokens(pixels)[:, 1:]
        return self.head(self.norm(patch_tokens))

    def _tokens(self, pixels: Tensor) -> Tensor:
        """Return the output [B, 1 + N, C] of the last block, class token first."""
        patches, grid = self.patch_embed(pixels.to(self.patch_embed.proj.weight, non_blocking=True))
        return self.run_blocks(self.add_positions(patches, grid), grid)


def image_tower_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Extract the image tower from the state dict of a full model, under the names of the bare backbone.

    Classifiers, detectors and models for pre-training also load files of full EVA-CLIP models: they find the image
    tower by its prefix.

    Raises:
        InputError: The state dict has no image tower.
    """
    tower = {name.removeprefix(VISUAL): value for name, value in weights.items() if name.startswith(VISUAL)}
    if "blocks.0.attn.qkv.weight" not in tower:
        example = next(iter(weights), "(none)")
        raise InputError(
            f"names such as {example} are not those of an EVA-CLIP model; give weights with "
            f"{VISUAL}blocks.0.attn.qkv.weight, such as eva_clip_psz14.pt."
        )
    return tower
