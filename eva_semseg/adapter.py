"""ViT-Adapter: a ViT that exchanges features with a spatial prior around four groups of its blocks.

Its output is a feature pyramid, maps at strides 4, 8, 16 and 32.
"""

import math
from collections.abc import Callable, Iterable, Sequence
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
from .feature_maps import COARSEST, FEATURE_NAMES, STRIDES, pad_sides
from .interaction import Interaction
from .spatial_prior import SpatialPrior

NUM_EXTRA_EXTRACTORS = 2


class ViTAdapter(nn.Module):
    """The adapter, a base class to list before that of a ViT with patches of 16 x 16 pixels.

    Such a backbone turns normalised images [B, 3, H, W] of any size into maps of C channels at strides 4 to 32.

    Args:
        prior_width: Channels of the spatial prior at stride 4.
        deform_heads: Heads of the deformable attention between ViT and prior.
        deform_points: Sampling points per map and head of this attention.
        deform_ratio: Width of the values of this attention as a multiple of C.
        ffn_ratio: Hidden width of the extractors' feed-forward layers as a multiple of C.
        block_groups: (first, last) block of each of the four groups; by default groups of equal size.
        drop_path_rate: Stochastic depth of the last block, growing from 0 at the first block, and of every extractor.
        backbone: Further arguments of the ViT. If its `checkpoint_blocks` is true, only the inputs of blocks, injectors
            and extractors are kept for the backward pass.

    Raises:
        InputError: Groups that do not cover all blocks in order.
    """

    # What the adapter uses of the ViT.
    embed_dim: int
    depth: int
    num_prefix_tokens: int
    checkpoint_blocks: bool
    embed: Callable[[Tensor], tuple[Tensor, Any]]
    run_blocks: Callable[..., Tensor]

    def __init__(
        self,
        *,
        prior_width: int = 64,
        deform_heads: int = 16,
        deform_points: int = 4,
        deform_ratio: float = 0.5,
        ffn_ratio: float = 0.25,
        block_groups: Sequence[tuple[int, int]] | None = None,
        drop_path_rate: float = 0.0,
        **backbone: Any,
    ) -> None:
        super().__init__(drop_path_rate=drop_path_rate, **backbone)
        self.block_groups = _check_groups(block_groups, self.depth)
        dim = self.embed_dim
        self.level_embed = nn.Parameter(torch.zeros(3, dim))
        self.spm = SpatialPrior(dim, prior_width)
        options = (dim, deform_heads, deform_points, deform_ratio, ffn_ratio, drop_path_rate)
        # As in the original model, more extractors follow the last group.
        self.interactions = nn.ModuleList(
            [
                *(Interaction(*options) for _ in FEATURE_NAMES[:-1]),
                Interaction(*options, num_extra_extractors=NUM_EXTRA_EXTRACTORS),
            ]
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
                    # He initialisation with fan-out, which in a grouped convolution is that of one group.
                    fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
                    nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        for module in self.interactions.modules():
            if isinstance(module, MultiScaleDeformableAttention):
                module.init_weights()

    def _interact(self, x: Tensor, c: Tensor, grid: tuple[int, int]) -> tuple[list[Tensor], Tensor]:
        """Run the blocks and the interactions.

        Args:
            x: Tokens of the ViT [B, prefix + N, C].
            c: Tokens of the prior [B, S, C].
            grid: (height, width) of the patches.

        Returns:
            The patch tokens [B, N, C] after every group, and the updated c.
        """
        prefix = self.num_prefix_tokens
        height, width = grid
        prior_grids = ((2 * height, 2 * width), grid, (height // 2, width // 2))
        group_outputs = []
        interactions = cast("Iterable[Interaction]", self.interactions)
        for interaction, (first, last) in zip(interactions, self.block_groups, strict=True):
            patches = run_layer(
                interaction.injector, x[:, prefix:], c, grid, prior_grids, use_checkpoint=self.checkpoint_blocks
            )
            x = self.run_blocks(torch.cat([x[:, :prefix], patches], dim=1), grid, first, last + 1)
            patches = x[:, prefix:]
            for extractor in (interaction.extractor, *interaction.extra_extractors):
                c = run_layer(extractor, c, patches, prior_grids, grid, use_checkpoint=self.checkpoint_blocks)
            group_outputs.append(patches)
        return group_outputs, c

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Compute the maps "res2" to "res5" of normalised pixels [B, 3, H, W].

        Sides are padded with zeros at the bottom and right to the next multiples of 32, H' and W'.

        Args:
            pixels: Of any floating-point type and on any device.

        Returns:
            Maps [B, C, H' / s, W' / s] for strides s = 4, 8, 16, 32, with the type and the device of the parameters.
        """
        pixels = pad_sides(pixels.to(self.level_embed, non_blocking=True), COARSEST)
        c1, *prior = self.spm(pixels)
        c = torch.cat([tokens + level for tokens, level in zip(prior, self.level_embed, strict=True)], dim=1)
        tokens, grid = self.embed(pixels)
        group_outputs, c = self._interact(tokens, c, grid)

        height, width = pixels.shape[2:]
        parts = c.split([tokens.shape[1] for tokens in prior], dim=1)
        prior_maps = []
        for part, stride in zip(parts, STRIDES[1:], strict=True):
            prior_maps.append(part.transpose(1, 2).unflatten(2, (height // stride, width // stride)).contiguous())
        # The interactions do not reach stride 4, where attention would be expensive; its map gets their result from
        # stride 8.
        prior_maps.insert(0, self.up(prior_maps[0]) + c1)

        result = {}
        norms = (self.norm1, self.norm2, self.norm3, self.norm4)
        # The output of an early group has more detail and goes to a fine map, that of the last one to the coarsest.
        for name, norm, fine, tokens in zip(FEATURE_NAMES, norms, prior_maps, group_outputs, strict=True):
            vit_map = tokens.transpose(1, 2).unflatten(2, grid).contiguous()
            if vit_map.shape[2:] != fine.shape[2:]:
                vit_map = F.interpolate(vit_map, size=fine.shape[2:], mode="bilinear", align_corners=False)
            result[name] = norm(fine + vit_map)
        return result


class AdapterBackbone(ViTAdapter, VisionTransformer):
    """`VisionTransformer` with the adapter.

    Parameter names are those of the published segmentation models without their `backbone.` prefix. The class token
    takes part in attention without a position embedding; the first entry of the position table, which would be that of
    the class token, is not used.

    Args:
        img_size: Image side, or (height, width), of the position tables; they are resized for images of other sizes.
        patch_size: Must be 16.
        options: Further arguments of `ViTAdapter` and `VisionTransformer`. `rel_pos="joint"` and `layer_scale=1.0` give
            the variant with relative positions.

    Raises:
        InputError: A patch size other than 16, or groups that do not cover all blocks in order.
    """

    def __init__(self, *, img_size: int | tuple[int, int] = 896, patch_size: int = 16, **options: Any) -> None:
        super().__init__(img_size=img_size, patch_size=patch_size, final_norm=False, **options)
        if patch_size != 16:
            raise InputError(
                f"patch_size={patch_size} does not fit the adapter, whose maps have strides {STRIDES}; give 16."
            )

    def embed(self, pixels: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return the tokens [B, prefix + N, C] of pixels [B, 3, H, W] before the blocks, and the grid of patches."""
        patches, grid = self.patch_embed(pixels)
        return self.add_positions(patches, grid), grid

    def add_positions(self, patches: Tensor, grid: Sequence[int]) -> Tensor:
        """Add position embeddings to patch tokens [B, N, C] on `grid` and prepend the class token: [B, prefix + N, C].

        The class token has no position embedding in the published models.
        """
        if self.pos_embed is not None:
            table = resize_pos_embed(self.pos_embed, grid, self.pos_prefix_tokens, self.pos_grid)
            patches = (patches + table[:, self.pos_prefix_tokens :]).to(self.patch_embed.proj.weight.dtype)
        if self.cls_token is None:
            return patches
        return torch.cat([self.cls_token.expand(patches.shape[0], -1, -1).to(patches.dtype), patches], dim=1)


def _check_groups(groups: Sequence[tuple[int, int]] | None, depth: int) -> tuple[tuple[int, int], ...]:
    num_groups = len(FEATURE_NAMES)
    if groups is None:
        ends = [depth * i // num_groups for i in range(num_groups + 1)]
        groups = [(first, end - 1) for first, end in pairwise(ends)]
    groups = tuple((first, last) for first, last in groups)
    next_block = 0
    consecutive = True
    for first, last in groups:
        consecutive = consecutive and first == next_block
        next_block = last + 1
    if len(groups) != num_groups or not consecutive or next_block != depth:
        raise InputError(
            f"block_groups={groups} are not {num_groups} groups that follow each other through {depth} blocks; give "
            "the first and the last block of each group."
        )
    return groups
