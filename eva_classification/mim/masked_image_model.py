"""The pre-training model: a backbone that sees some patches and predicts a frozen model's features of the others."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError
from eva_backbone.initialization import init_weights, scale_branch_outputs

from .block_masking import BlockMasking, alternating_mask
from .teacher import FrozenTeacher

INIT_STD = 0.015
LIVE_SHARE = 0.1  # of the patch embedding's gradient, where it is slowed down


class MaskedImageModel(VisionTransformer):
    """A backbone with `mask_token` and `lm_head`, named as the published pre-training weights are.

    Hidden patches are replaced by the mask token, none are left out; predictions are made for hidden ones only.

    Args:
        target: gives the features to predict, [B, N, `target_dim`] for normalised pixels; any `nn.Module`. It is not
            saved, so a run that goes on has to make the same one again. Not needed for predictions alone.
        target_dim: width of those features. CLIP L/14 has 768.
        masking: draws the hidden patches in training; not needed where batches bring them.
        slow_patch_embed: pass a tenth of the gradient to the patch embedding. Off in the published pre-training.
        backbone: arguments of `VisionTransformer`.
    """

    def __init__(
        self,
        *,
        target: nn.Module | None = None,
        target_dim: int = 768,
        masking: BlockMasking | None = None,
        slow_patch_embed: bool = False,
        **backbone: Any,
    ) -> None:
        super().__init__(**backbone)
        self.target = None if target is None else FrozenTeacher(target)
        self.masking = masking
        self.slow_patch_embed = slow_patch_embed
        self.lm_head = nn.Linear(self.embed_dim, target_dim)
        positions = self.pos_embed
        del self.pos_embed
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dim))
        self.pos_embed = positions  # behind the mask token, as in the published files
        self._init_weights(post_norm=backbone.get("post_norm", False))

    def _init_weights(self, post_norm: bool) -> None:
        init_weights(self, INIT_STD, limit=INIT_STD)
        for weight in (self.mask_token, self.patch_embed.proj.weight):
            nn.init.trunc_normal_(weight, std=INIT_STD, a=-INIT_STD, b=INIT_STD)
        nn.init.zeros_(self.get_parameter("patch_embed.proj.bias"))
        scale_branch_outputs(self)
        if post_norm:
            for block in self.blocks:
                nn.init.zeros_(block.get_parameter("norm1.weight"))
                nn.init.zeros_(block.get_parameter("norm2.weight"))

    def forward_features(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Normalised pixels [B, 3, H, W], of which patches `mask` [B, N] are hidden, to tokens [B, 1 + N, C]."""
        patches, grid = self.patch_embed(pixels)
        if self.slow_patch_embed:
            patches = patches.detach() * (1 - LIVE_SHARE) + patches * LIVE_SHARE
        patches = torch.where(mask.unsqueeze(-1), self.mask_token.to(patches.dtype), patches)
        return self.norm(self.run_blocks(self.add_positions(patches, grid), grid))

    def predict(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Features of the hidden patches, [number hidden, target_dim], by image and then in row order."""
        return self.lm_head(self.forward_features(pixels, mask)[:, self.num_prefix_tokens :][mask])

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor] | Tensor:
        """{"loss_mim": minus the mean cosine over hidden patches} in training, the same for each image [B] otherwise.

        Args:
            batch: {"image": normalised pixels [B, 3, H, W]}, on any device, and if they should not be drawn the hidden
                patches, "mask": bool [B, N] or [B, H, W]. Validation hides every second patch.

        Raises:
            InputError: no target or no mask, or a target with features of another shape.
        """
        pixels = batch["image"].to(self.lm_head.weight.device, non_blocking=True)
        mask = self._mask(batch).to(pixels.device, non_blocking=True)
        targets = self._targets(pixels, mask)
        cosines = F.cosine_similarity(self.predict(pixels, mask).float(), targets.float(), dim=-1)
        if self.training:
            return {"loss_mim": -cosines.mean()}
        per_image = torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, cosines)
        return -per_image.sum(1) / mask.sum(1)

    def _mask(self, batch: Mapping[str, Any]) -> Tensor:
        if batch.get("mask") is not None:
            return batch["mask"].flatten(1)
        size = len(batch["image"])
        num_patches = (batch["image"].shape[2] // self.patch_size) * (batch["image"].shape[3] // self.patch_size)
        if not self.training:
            return alternating_mask(num_patches).expand(size, -1)
        if self.masking is None:
            raise InputError("the batch has no mask and the model none to draw: give it masking=BlockMasking(...).")
        return self.masking.draw_batch(size)

    def _targets(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """What should be predicted, [number hidden, target_dim]."""
        if self.target is None:
            raise InputError("this model has nothing to predict: give it a target, for example ClipTeacher(weights).")
        features = self.target(pixels)
        expected = (*mask.shape, self.lm_head.out_features)
        if features.shape != expected:
            raise InputError(
                f"the target gives features of shape {list(features.shape)}, the model predicts {list(expected)}: "
                "choose target_dim and an image and patch size that give both the same grid."
            )
        return features[mask]
