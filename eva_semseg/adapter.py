"""The ViT with an adapter: a spatial prior exchanges with it around four groups of blocks; maps at four strides out."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_backbone.block import run_layer
from eva_backbone.errors import InputError
from eva_backbone.position import resize_pos_embed

from .batch_norm import SyncBatchNorm
from .deformable_attention import MultiScaleDeformableAttention
from .interaction import Interaction
from .spatial_prior import SpatialPrior

STRIDES = (4, 8, 16, 32)
MAPS = ("res2", "res3", "res4", "res5")
NUM_EXTRA_EXTRACTORS = 2


class AdapterBackbone(VisionTransformer):
    """Normalised images [B, 3, H, W] of any size to maps of C channels at strides 4, 8, 16 and 32.

    Parameter names are those of the published segmentation models without their `backbone.`. The class token takes part
    in attention without a position; the first entry of the position table, which would be its own, is not used.

    Args:
        img_size: image side, or (height, width), that position tables are made for; at other sizes they are resized.
        patch_size: must be 16.
        prior_width: channels of the spatial prior at stride 4.
        deform_heads: heads of the deformable attention between ViT and prior.
        deform_points: its places per map and head.
        deform_ratio: width of its values over C.
        ffn_ratio: hidden width of the extractors' feed-forward layers over C.
        block_groups: (first, last) block of each of the four groups; equal groups unless given.
        drop_path_rate: stochastic depth of the last block, growing from 0 at the first, and of every extractor.
        checkpoint_blocks: keep only the inputs of blocks, injectors and extractors for the backward pass.
        backbone: further arguments of `VisionTransformer`. `rel_pos="joint"` and `layer_scale=1.0` give the variant
            with relative positions.

    Raises:
        InputError: another patch size, or groups that leave blocks out.
    """

    def __init__(
        self,
        *,
        img_size: int | tuple[int, int] = 896,
        patch_size: int = 16,
        prior_width: int = 64,
        deform_heads: int = 16,
        deform_points: int = 4,
        deform_ratio: float = 0.5,
        ffn_ratio: float = 0.25,
        block_groups: Sequence[tuple[int, int]] | None = None,
        drop_path_rate: float = 0.0,
        **backbone: Any,
    ) -> None:
        super().__init__(
            img_size=img_size, patch_size=patch_size, drop_path_rate=drop_path_rate, final_norm=False, **backbone
        )
        if patch_size != 16:
            raise InputError(
                f"patch_size={patch_size} does not fit the adapter, whose maps have strides of {STRIDES}; give 16."
            )
        self.block_groups = _check_groups(block_groups, self.depth)
        dim = self.embed_dim
        self.level_embed = nn.Parameter(torch.zeros(3, dim))
        self.spm = SpatialPrior(dim, prior_width)
        self.interactions = nn.ModuleList(
            Interaction(
                dim,
                deform_heads,
                deform_points,
                deform_ratio,
                ffn_ratio,
                drop_path_rate,
                NUM_EXTRA_EXTRACTORS if i == len(MAPS) - 1 else 0,
            )
            for i in range(len(MAPS))
        )
        self.up = nn.ConvTranspose2d(dim, dim, 2, stride=2)
        self.norm1 = SyncBatchNorm(dim)
        self.norm2 = SyncBatchNorm(dim)
        self.norm3 = SyncBatchNorm(dim)
        self.norm4 = SyncBatchNorm(dim)
        self._init_adapter()

    def _init_adapter(self) -> None:
        nn.init.normal_(self.level_embed)
        for part in (self.spm, self.interactions, self.up):
            for module in part.modules():
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02)
                    nn.init.zeros_(module.bias)
                elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                    fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                    nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        for module in self.interactions.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()

    def add_positions(self, patches: Tensor, grid: Sequence[int]) -> Tensor:
        """Patch tokens [B, N, C] on `grid` to [B, 1 + N, C]: positions added, the class token put in front without."""
        if self.pos_embed is not None:
            table = resize_pos_embed(self.pos_embed, grid, self.pos_prefix_tokens, self.pos_grid)
            patches = patches + table[:, self.pos_prefix_tokens :]
        return torch.cat(
            [self.get_parameter("cls_token").expand(len(patches), -1, -1).to(patches.dtype), patches], dim=1
        )

    def _interact(self, x: Tensor, c: Tensor, grid: tuple[int, int]) -> tuple[list[Tensor], Tensor]:
        """Tokens of the ViT [B, 1 + N, C] and of the prior [B, S, C] to patch tokens behind every group, and to c."""
        height, width = grid
        prior_grids = ((2 * height, 2 * width), grid, (height // 2, width // 2))
        behind_groups = []
        interactions = cast("Iterable[Interaction]", self.interactions)
        for interaction, (first, last) in zip(interactions, self.block_groups, strict=True):
            patches = run_layer(interaction.injector, x[:, 1:], c, grid, prior_grids, recompute=self.checkpoint_blocks)
            x = self.run_blocks(torch.cat([x[:, :1], patches], dim=1), grid, first, last + 1)
            patches = x[:, 1:]
            for extractor in (interaction.extractor, *interaction.extra_extractors):
                c = run_layer(extractor, c, patches, prior_grids, grid, recompute=self.checkpoint_blocks)
            behind_groups.append(patches)
        return behind_groups, c

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Normalised pixels [B, 3, H, W] to "res2" .. "res5", maps [B, C, H' / s, W' / s] for s = 4, 8, 16, 32.

        Pixels may be of any floating type and on any device; maps are of the parameters' type, and where those are.
        Sides that are no multiples of 32 are padded with zeros at the bottom and right to H' and W', the next ones.
        """
        coarsest = STRIDES[-1]
        pixels = pixels.to(self.patch_embed.proj.weight, non_blocking=True)
        pixels = F.pad(pixels, (0, -pixels.shape[3] % coarsest, 0, -pixels.shape[2] % coarsest))
        c1, *prior = self.spm(pixels)
        c = torch.cat([tokens + level for tokens, level in zip(prior, self.level_embed, strict=True)], dim=1)
        patches, grid = self.patch_embed(pixels)
        behind_groups, c = self._interact(self.add_positions(patches, grid), c, grid)

        parts = c.split([tokens.shape[1] for tokens in prior], dim=1)
        maps = [
            part.transpose(1, 2).unflatten(2, [side // stride for side in pixels.shape[2:]]).contiguous()
            for part, stride in zip(parts, STRIDES[1:], strict=True)
        ]
        maps.insert(0, self.up(maps[0]) + c1)
        result = {}
        for name, stride, fine, tokens in zip(MAPS, STRIDES, maps, behind_groups, strict=True):
            coarse = tokens.transpose(1, 2).unflatten(2, grid).contiguous()
            if stride != self.patch_size:
                coarse = F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=False)
            norm = getattr(self, f"norm{MAPS.index(name) + 1}")
            result[name] = norm(fine + coarse)
        return result


def _check_groups(groups: Sequence[tuple[int, int]] | None, depth: int) -> tuple[tuple[int, int], ...]:
    if groups is None:
        ends = [depth * i // len(MAPS) for i in range(len(MAPS) + 1)]
        groups = [(first, end - 1) for first, end in pairwise(ends)]
    groups = tuple((first, last) for first, last in groups)
    follow = [0, *(last + 1 for _, last in groups)]
    if len(groups) != len(MAPS) or [first for first, _ in groups] != follow[:-1] or follow[-1] != depth:
        raise InputError(
            f"block_groups={groups} are not {len(MAPS)} groups that follow each other through {depth} blocks; give the "
            "first and the last block of each group."
        )
    return groups
