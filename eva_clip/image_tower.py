"""The image tower of EVA-CLIP: an EVA ViT whose class token is projected to the joint embedding space."""

from collections.abc import Container, Mapping
from typing import Any

import torch
from torch import Tensor

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_backbone.initialization import scale_branch_outputs
from eva_backbone.rotary import TABLE_NAME, Rotation, rotation_of
from eva_classification.heads import build_head

VISUAL = "visual."  # prefix of the image tower's names in the state dict of a full model


class ImageTower(VisionTransformer):
    """An EVA ViT with a projection of its normalised class token to the image embedding.

    Args:
        output_dim: Dimension D of the joint embedding space.
        patch_dropout: Fraction of the patches that are dropped in training, drawn anew for each image (Li et al.,
            "Scaling language-image pre-training via masking", 2023). The others keep their positions.
        backbone: Arguments of `VisionTransformer`.

    Raises:
        InputError: The backbone has no class token, which is the output of the tower, or patches cannot be dropped.
    """

    float32_parts = ("head",)

    def __init__(self, output_dim: int, *, patch_dropout: float = 0.0, **backbone: Any) -> None:
        super().__init__(**backbone)
        if self.cls_token is None:
            raise InputError("an image tower of EVA-CLIP embeds its class token; leave class_token=False out.")
        if not 0 <= patch_dropout < 1:
            raise InputError(f"patch_dropout={patch_dropout} is out of range; give 0 or more, but less than 1.")
        if patch_dropout and (backbone.get("rel_pos") or backbone.get("shared_rel_pos")):
            raise InputError("tables of relative positions need all patches; leave patch_dropout or the tables out.")
        self.patch_dropout = patch_dropout
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

    def draw_kept_patches(self, num_images: int, num_patches: int, device: torch.device) -> Tensor:
        """Draw the patches that `patch_dropout` keeps, at least one per image: indices [num_images, M], unsorted."""
        num_kept = max(1, int(num_patches * (1 - self.patch_dropout)))
        return torch.randn(num_images, num_patches, device=device).topk(num_kept, dim=1).indices

    def _tokens(self, pixels: Tensor) -> Tensor:
        """Return the output [B, 1 + N, C] of the last block, class token first; fewer patches with dropout."""
        patches, grid = self.patch_embed(pixels.to(self.patch_embed.proj.weight, non_blocking=True))
        tokens = self.add_positions(patches, grid)
        rotation = None
        if self.training and self.patch_dropout:
            num_images, num_patches, _ = patches.shape
            kept = self.draw_kept_patches(num_images, num_patches, tokens.device)
            kept = torch.cat([kept.new_zeros(len(kept), 1), 1 + kept], dim=1)  # the class token is always kept
            rotation = self._rotation_of(kept, grid)
            tokens = tokens.gather(1, kept.unsqueeze(-1).expand(-1, -1, tokens.shape[2]))
        return self.run_blocks(tokens, grid, rotation=rotation)

    def _rotation_of(self, kept: Tensor, grid: tuple[int, ...]) -> Rotation | None:
        """Return the rotation of `kept`, indices [B, M] into the class token and the patches; None without `rope`."""
        attention: Any = self.blocks[0].get_submodule("attn")
        if not attention.rope:
            return None
        num_tokens = 1 + torch.Size(grid).numel()
        rotation = rotation_of(grid, num_tokens, attention.head_dim, attention.rope_range, kept.device)
        return rotation.select(kept)


def has_vit(names: Container[str], prefix: str = "") -> bool:
    """Return whether the names are those of a ViT, in the layout of EVA or of EVA-02, after `prefix`."""
    return any(f"{prefix}blocks.0.attn.{layer}.weight" in names for layer in ("qkv", "q_proj"))


def image_tower_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Extract the image tower from the state dict of a full model, under the names of the bare backbone.

    Classifiers, detectors and models for pre-training also load files of full EVA-CLIP models: they find the image
    tower by its prefix. Tables of rotary positions are left out, since they are computed.

    Raises:
        InputError: The state dict has no image tower.
    """
    tower = {}
    for name, value in weights.items():
        if name.startswith(VISUAL) and not TABLE_NAME.search(name):
            tower[name.removeprefix(VISUAL)] = value
    if not has_vit(tower):
        example = next(iter(weights), "(none)")
        raise InputError(
            f"names such as {example} are not those of an EVA-CLIP model; give weights with "
            f"{VISUAL}blocks.0.attn.qkv.weight or {VISUAL}blocks.0.attn.q_proj.weight, such as eva_clip_psz14.pt."
        )
    return tower
