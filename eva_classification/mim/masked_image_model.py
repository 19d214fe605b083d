"""The pre-training model: it sees the visible patches and predicts a frozen teacher's features of the masked ones."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_backbone.errors import InputError, check_choice
from eva_backbone.initialization import init_weights, init_weights_xavier, scale_branch_outputs

from .block_masking import BlockMasking, alternating_mask
from .teacher import FrozenTeacher

InitKind = Literal["truncated_normal", "xavier"]
INIT_STD = 0.015
PATCH_EMBED_GRADIENT_SCALE = 0.1  # with `slow_patch_embed`


class MaskedImageModel(VisionTransformer):
    """A backbone with `mask_token` and `lm_head`, whose parameters are named as in the published weights.

    The mask token replaces masked patches; no patch is dropped from the sequence. Features are predicted for masked
    patches only.

    Args:
        teacher: Gives the features to predict, [B, N, `teacher_dim`] for normalised pixels; any `nn.Module`. It is not
            saved, so a resumed run must be given the same teacher again. Not needed by `predict`.
        teacher_dim: Width of the teacher's features; 768 for CLIP ViT-L/14.
        masking: Draws the mask in training; not needed if batches contain one.
        slow_patch_embed: Scale the gradient of the patch embedding by 0.1. Off in the pre-training of EVA, on in that
            of EVA-02.
        init: Initialisation: "truncated_normal", as EVA, or "xavier", as EVA-02.
        backbone: Arguments of `VisionTransformer`.

    Raises:
        InputError: An unknown `init`.
    """

    def __init__(
        self,
        *,
        teacher: nn.Module | None = None,
        teacher_dim: int = 768,
        masking: BlockMasking | None = None,
        slow_patch_embed: bool = False,
        init: InitKind = "truncated_normal",
        **backbone: Any,
    ) -> None:
        check_choice("init", init, get_args(InitKind))
        super().__init__(**backbone)
        self.teacher = None if teacher is None else FrozenTeacher(teacher)
        self.masking = masking
        self.slow_patch_embed = slow_patch_embed
        self.lm_head = nn.Linear(self.embed_dim, teacher_dim)
        # The published files list the position table after the mask token; registering it again restores that order.
        pos_embed = self.pos_embed
        del self.pos_embed
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dim))
        self.pos_embed = pos_embed
        if init == "xavier":
            init_weights_xavier(self)
        else:
            self._init_weights(post_norm=backbone.get("post_norm", False))

    def _init_weights(self, post_norm: bool) -> None:
        init_weights(self, INIT_STD, limit=INIT_STD)
        for weight in (self.mask_token, self.patch_embed.proj.weight):
            nn.init.trunc_normal_(weight, std=INIT_STD, a=-INIT_STD, b=INIT_STD)
        nn.init.zeros_(self.get_parameter("patch_embed.proj.bias"))
        scale_branch_outputs(self)
        if post_norm:
            # The norms end the residual branches: with zero weights, every block starts as the identity.
            for block in self.blocks:
                nn.init.zeros_(block.get_parameter("norm1.weight"))
                nn.init.zeros_(block.get_parameter("norm2.weight"))

    def forward_features(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Return the normalised tokens [B, 1 + N, C], class token first.

        Args:
            pixels: Normalised pixels [B, 3, H, W].
            mask: True for masked patches, bool [B, N].
        """
        patches, grid = self.patch_embed(pixels)
        if self.slow_patch_embed:
            # The value stays the same (up to rounding); only a tenth of the gradient passes.
            scale = PATCH_EMBED_GRADIENT_SCALE
            patches = patches.detach() * (1 - scale) + patches * scale
        patches = torch.where(mask.unsqueeze(-1), self.mask_token.to(patches.dtype), patches)
        return self.norm(self.run_blocks(self.add_positions(patches, grid), grid))

    def predict(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Predict the features of the masked patches, [M, teacher_dim], ordered by image, then row-major."""
        return self.lm_head(self.forward_features(pixels, mask)[:, self.num_prefix_tokens :][mask])

    def forward(self, batch: Mapping[str, Any]) -> dict[str, Tensor] | Tensor:
        """Return {"loss_mim": negative mean cosine over masked patches} in training, that of each image [B] otherwise.

        Args:
            batch: {"image": normalised pixels [B, 3, H, W]} on any device, and optionally "mask", bool [B, N] or
                [B, H, W]. Without a mask, training draws one, and evaluation masks every second patch.

        Raises:
            InputError: There is no teacher or no mask, or the teacher's features have an unexpected shape.
        """
        pixels = batch["image"].to(self.lm_head.weight.device, non_blocking=True)
        mask = self._mask(batch).to(pixels.device, non_blocking=True)
        targets = self._targets(pixels, mask)
        # The cosine ignores the norm of the features, which differs between teachers and patches.
        cosines = F.cosine_similarity(self.predict(pixels, mask).float(), targets.float(), dim=-1)
        if self.training:
            return {"loss_mim": -cosines.mean()}
        # The cosines of all images are in one vector: put them back where the mask is True to average by image.
        per_patch = torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, cosines)
        return -per_patch.sum(1) / mask.sum(1)

    def _mask(self, batch: Mapping[str, Any]) -> Tensor:
        if batch.get("mask") is not None:
            return batch["mask"].flatten(1)
        batch_size, _, height, width = batch["image"].shape
        if not self.training:
            num_patches = (height // self.patch_size) * (width // self.patch_size)
            return alternating_mask(num_patches).expand(batch_size, -1)
        if self.masking is None:
            raise InputError("the batch has no mask and the model cannot draw one: pass masking=BlockMasking(...).")
        return self.masking.draw_batch(batch_size)

    def _targets(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """Return the teacher's features of the masked patches, [M, teacher_dim]."""
        if self.teacher is None:
            raise InputError("this model has no teacher: pass one to compute the loss, such as ClipTeacher(weights).")
        features = self.teacher(pixels)
        expected = (*mask.shape, self.lm_head.out_features)
        if features.shape != expected:
            raise InputError(
                f"the teacher gives features of shape {list(features.shape)}, but the model predicts {list(expected)}: "
                "set teacher_dim to the teacher's width, and choose an image size and patch size that give both the "
                "same grid."
            )
        return features[mask]
