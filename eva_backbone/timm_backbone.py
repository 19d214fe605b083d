"""A plain ViT of timm with the interface that the detector's pyramid and the segmentation adapter need."""

from typing import Any

import torch
from timm.models.beit import Beit
from timm.models.eva import Eva
from torch import Tensor, nn

from .backbone_delegate import BackboneDelegate
from .block import merge_windows, partition_windows, run_layer
from .errors import InputError
from .timm_models import PATCH_SIZE, create_plain_vit


class TimmBackbone(BackboneDelegate, nn.Module):
    """A plain ViT of timm, run block by block; features are those of timm's `forward_intermediates`.

    The model is the submodule `vit`, with timm's names. Class and register tokens take part in attention as in timm.
    Patches have 16 x 16 pixels, see `create_plain_vit`. The final norm is left out, as in ViTDet.

    With windows, a block attends within squares of patches; class and register tokens are copied to every window, and
    become the mean of their copies. Stochastic depth is then drawn for each window.

    Args:
        name: Name in timm, such as "vit_small_patch16_dinov3.lvd1689m"; the tag may be left out.
        img_size: Image side in pixels, or (height, width). Models with tables of relative positions (BEiT) are built
            for this size and take no other; all others take any multiples of 16.
        pretrained: Let timm load the weights, from its cache or the Hugging Face Hub, unless those of a file are
            assigned (`train.init_checkpoint`, `--weights`, a resumed run).
        window_size: Side of the attention windows in patches; 0 for global attention in all blocks.
        num_global_blocks: Number of blocks with global attention if there are windows, spaced evenly; the last block is
            one of them.
        options: Further arguments of `timm.create_model`, such as `drop_path_rate`.

    Raises:
        InputError: An unknown name, another kind of model, a size that does not fit, or windows that do not.
    """

    backbone_name = "vit"
    vit: Any  # a `PlainViT`

    def __init__(
        self,
        name: str,
        img_size: int | tuple[int, int],
        *,
        pretrained: bool = False,
        window_size: int = 0,
        num_global_blocks: int = 4,
        **options: Any,
    ) -> None:
        super().__init__()
        height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.name, self.img_size, self.window_size = name, (height, width), window_size
        _check_sides(height, width)
        self.vit = create_plain_vit(name, (height, width), pretrained=pretrained, **options)
        # For the engine, which looks at the module with the blocks. A file that lacks some weights is that of a model
        # with another name.
        self.vit.checkpoint_blocks, self.vit.needs_all_weights = False, True
        self.num_global_blocks = num_global_blocks
        if window_size:
            if isinstance(self.vit, Beit):
                raise InputError(
                    f"{name} has positions relative to the whole image, which windows do not; give window_size=0."
                )
            if not 1 <= num_global_blocks <= self.depth:
                raise InputError(f"num_global_blocks={num_global_blocks} is out of range; give 1 to {self.depth}.")
            self._check_windows((height // PATCH_SIZE, width // PATCH_SIZE))

    @property
    def embed_dim(self) -> int:
        """Token width, C."""
        return self.vit.embed_dim

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.vit.blocks)

    @property
    def num_prefix_tokens(self) -> int:
        """Number of class and register tokens, which precede the patches."""
        return self.vit.num_prefix_tokens

    @property
    def checkpoint_blocks(self) -> bool:
        """Whether only the inputs of blocks are kept for the backward pass."""
        return self.vit.checkpoint_blocks

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Turn activation checkpointing of the blocks on or off."""
        self.vit.checkpoint_blocks = enable

    def embed(self, pixels: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return the tokens [B, prefix + N, C] of normalised images [B, 3, H, W] before the blocks, and their grid.

        Raises:
            InputError: The sides are not multiples of 16, or not those that the model was built for.
        """
        height, width = pixels.shape[2:]
        _check_sides(height, width)
        vit = self.vit
        if isinstance(vit, Beit) and (height, width) != self.img_size:
            raise InputError(
                f"{self.name} is built for images of {self.img_size[0]} x {self.img_size[1]} pixels, this one has "
                f"{height} x {width}; set img_size to the size that images are padded to, or choose a model without "
                "tables of relative positions."
            )
        patches = vit.patch_embed(pixels)
        if isinstance(vit, Beit):
            tokens = torch.cat([vit.cls_token.expand(patches.shape[0], -1, -1), patches], dim=1)
            if vit.pos_embed is not None:
                tokens = tokens + vit.pos_embed
            tokens = vit.pos_drop(tokens)
        elif isinstance(vit, Eva):
            tokens, _ = vit._pos_embed(patches)  # `run_blocks` computes the rotary positions
            tokens = vit.norm_pre(tokens)
        else:
            tokens = vit.norm_pre(vit._pos_embed(patches))
        return tokens, (height // PATCH_SIZE, width // PATCH_SIZE)

    def run_blocks(self, x: Tensor, grid: tuple[int, int], start: int = 0, stop: int | None = None) -> Tensor:
        """Run the blocks from `start` up to `stop` (exclusive) on tokens [B, prefix + N, C] of patches on `grid`.

        Raises:
            InputError: The windows do not divide the grid.
        """
        self._check_windows(grid)
        positions = self._positions(grid)
        for index in range(self.depth)[start:stop]:
            arguments = [] if positions is None else [positions[index]]
            if self.window_size and not self._is_global(index):
                x = self._run_in_windows(index, x, grid, arguments)
            else:
                x = run_layer(self.vit.blocks[index], x, *arguments, use_checkpoint=self.checkpoint_blocks)
        return x

    def forward_map(self, pixels: Tensor) -> Tensor:
        """Return the last block's map [B, C, H / 16, W / 16] of normalised images [B, 3, H, W]."""
        tokens, grid = self.embed(pixels)
        patches = self.run_blocks(tokens, grid)[:, self.num_prefix_tokens :]
        return patches.transpose(1, 2).unflatten(2, grid)

    def _positions(self, grid: tuple[int, int]) -> list[Tensor] | None:
        """Return what the attention of each block needs to know about positions on `grid`; None if it is nothing."""
        rope = getattr(self.vit, "rope", None)
        if rope is not None:
            table = rope.get_embed(shape=grid)
            return list(table) if self.vit.rope_mixed else [table] * self.depth
        shared_bias = getattr(self.vit, "rel_pos_bias", None)
        if shared_bias is not None:
            return [shared_bias()] * self.depth
        return None

    def _is_global(self, index: int) -> bool:
        """Return whether a block attends globally: the last one of each of `num_global_blocks` equal groups."""
        return (index + 1) * self.num_global_blocks // self.depth > index * self.num_global_blocks // self.depth

    def _run_in_windows(self, index: int, x: Tensor, grid: tuple[int, int], arguments: list[Tensor]) -> Tensor:
        batch, size, prefix = x.shape[0], self.window_size, self.num_prefix_tokens
        windows, padded = partition_windows(x[:, prefix:].unflatten(1, grid), size)
        num_windows = windows.shape[0] // batch
        copies = x[:, :prefix].repeat_interleave(num_windows, dim=0)
        arguments = [self._rope_of_windows(rope, grid).repeat(batch, 1, 1, 1) for rope in arguments]
        out = run_layer(
            self.vit.blocks[index],
            torch.cat([copies, windows.flatten(1, 2)], dim=1),
            *arguments,
            use_checkpoint=self.checkpoint_blocks,
        )
        patches = merge_windows(out[:, prefix:].unflatten(1, (size, size)), size, padded, grid)
        means = out[:, :prefix].unflatten(0, (batch, num_windows)).mean(1)
        return torch.cat([means, patches.flatten(1, 2)], dim=1)

    def _rope_of_windows(self, rope: Tensor, grid: tuple[int, int]) -> Tensor:
        """Partition rotary positions [N, D], or [heads, N, D], into windows: [num_windows, heads or 1, patches, D].

        Every window keeps its own: queries and keys of class and register tokens are not rotated, so what patches give
        to them depends on where the patches are in the image.
        """
        of_heads = rope.unsqueeze(0) if rope.ndim == 2 else rope
        num_heads, _, dim = of_heads.shape
        maps = of_heads.transpose(0, 1).reshape(1, *grid, num_heads * dim)
        windows, _ = partition_windows(maps, self.window_size)
        return windows.flatten(1, 2).unflatten(-1, (num_heads, dim)).transpose(1, 2)

    def _check_windows(self, grid: tuple[int, int]) -> None:
        if self.window_size and (grid[0] % self.window_size or grid[1] % self.window_size):
            raise InputError(
                f"window_size={self.window_size} does not divide the grid of {grid[0]} x {grid[1]} patches; give a "
                "common divisor, or 0 for global attention."
            )


def _check_sides(height: int, width: int) -> None:
    if height < PATCH_SIZE or width < PATCH_SIZE or height % PATCH_SIZE or width % PATCH_SIZE:
        nearest = [max(round(side / PATCH_SIZE), 1) * PATCH_SIZE for side in (height, width)]
        raise InputError(
            f"an image of {height} x {width} pixels cannot be divided into patches of {PATCH_SIZE} x {PATCH_SIZE}; "
            f"give multiples of {PATCH_SIZE}, such as {nearest[0]} x {nearest[1]}."
        )
