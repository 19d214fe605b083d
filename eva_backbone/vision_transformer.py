"""The EVA vision transformer: patch embedding, positions and blocks, independent of any task.

The model of every task is a subclass of this class or contains one: the detector uses `forward_map` without a class
token, classifiers and CLIP use class or patch tokens, the video model embeds tubelets, and segmentation runs the blocks
in groups. Parameter names are those of the published checkpoints.
"""

from collections.abc import Collection, Sequence
from typing import Any, Literal, get_args

import torch
from torch import nn

from .attention import Attention, QKVBias, QKVLayers, RelPos
from .attention_kernels import KernelName
from .block import Block, run_layer
from .errors import InputError, check_choice
from .initialization import init_weights
from .layer_norm import LayerNorm
from .mlp import MlpKind, build_mlp
from .patch_embed import PatchEmbed
from .position import resize_pos_embed
from .relative_position import RelPosResize
from .relative_position_bias import DecoupledRelativePositionBias, JointRelativePositionBias
from .rotary import Rotation
from .timm_interface import TimmInterface

SharedRelPos = Literal["joint", "decoupled"]


class VisionTransformer(TimmInterface):
    """A plain ViT for images [B, in_chans, H, W] or clips [B, in_chans, T, H, W].

    Args:
        img_size: Image side in pixels, or (height, width), for which relative position tables are created. "decomposed"
            tables, and the blocks' own "joint" tables, are resized at run time for images of other sizes.
        patch_size: Patch side in pixels.
        in_chans: Number of input channels.
        embed_dim: Token width, C.
        depth: Number of blocks.
        num_heads: Number of attention heads.
        head_dim: Width of a head; C / num_heads by default.
        mlp: Kind of the MLP, see `mlp.build_mlp`.
        mlp_ratio: Hidden width of the MLP divided by C; the width is rounded down.
        mlp_norm: Normalise the hidden features of the MLP.
        qkv_bias: Bias of query, key and value, see `Attention`.
        qkv_layers: Layers of query, key and value, see `Attention`.
        attention_norm: Normalise the attended features before their last projection.
        class_token: Prepend a learned class token to the patches.
        abs_pos: Learn an absolute position table, `pos_embed`.
        pos_img_size: Image side in pixels, or (height, width), for which the position table is stored; `img_size` by
            default.
        pos_prefix_tokens: Number of entries of the position table before those of the patches; by default 1 with a
            class token, else 0. The detector stores an entry for a class token that it does not have.
        rope: Rotate queries and keys by the row and column of their patch (EVA-02), in addition to the position table.
        rope_range: Range of the rows and columns, by default that of a grid of 16 x 16 patches; None for no scaling.
        num_frames: Number of frames of a clip; required with `tubelet_size`.
        tubelet_size: Frames per patch for clips; None for images.
        rel_pos: Layout of the relative position tables of every block, see `Attention`.
        shared_rel_pos: Layout of a relative position table `rel_pos_bias` that all blocks share, in addition to
            `rel_pos`.
        rel_pos_resize: Method that resizes decomposed and joint tables of the blocks for other image sizes.
        window_size: Side of the attention windows in tokens.
        window_blocks: Indices of the blocks with windowed attention.
        residual_blocks: Indices of the blocks with a convolutional residual bottleneck.
        layer_scale: Initial value of the per-channel factors of all branches; None for no factors.
        post_norm: Normalise the outputs of the branches instead of their inputs.
        drop_path_rate: Stochastic depth rate of the last block; it grows linearly from 0 in the first.
        final_norm: Apply a LayerNorm, `norm`, after the blocks.
        checkpoint_blocks: Use activation checkpointing for the blocks.
        attention: Attention kernel of every block, see `attention_kernels`.

    Raises:
        InputError: An option has an unknown value or one out of range, or options cannot be combined.
    """

    float32_parts = ("pos_embed",)

    def __init__(
        self,
        *,
        img_size: int | tuple[int, int] = 224,
        patch_size: int = 14,
        in_chans: int = 3,
        embed_dim: int = 1408,
        depth: int = 40,
        num_heads: int = 16,
        head_dim: int | None = None,
        mlp: MlpKind = "gelu",
        mlp_ratio: float = 6144 / 1408,
        mlp_norm: bool = False,
        qkv_bias: QKVBias = "qv",
        qkv_layers: QKVLayers = "fused",
        attention_norm: bool = False,
        class_token: bool = True,
        abs_pos: bool = True,
        pos_img_size: int | tuple[int, int] | None = None,
        pos_prefix_tokens: int | None = None,
        rope: bool = False,
        rope_range: float | None = 16,
        num_frames: int | None = None,
        tubelet_size: int | None = None,
        rel_pos: RelPos | None = None,
        shared_rel_pos: SharedRelPos | None = None,
        rel_pos_resize: RelPosResize = "vitdet",
        window_size: int = 0,
        window_blocks: Collection[int] = (),
        residual_blocks: Collection[int] = (),
        layer_scale: float | None = None,
        post_norm: bool = False,
        drop_path_rate: float = 0.0,
        final_norm: bool = True,
        checkpoint_blocks: bool = False,
        attention: KernelName = "auto",
    ) -> None:
        super().__init__()
        if (class_token or tubelet_size) and (window_blocks or residual_blocks or rel_pos == "decomposed"):
            # All three arrange the tokens as an H x W map, which a class token or a time axis does not fit into.
            raise InputError(
                "window_blocks, residual_blocks and rel_pos='decomposed' do not work with clips or a class token; "
                "leave tubelet_size out, and give class_token=False."
            )
        if not class_token and (shared_rel_pos or rel_pos in ("joint", "decoupled")):
            # Their tables have rows for the class token.
            raise InputError("joint and decoupled relative positions need a class token; give class_token=True.")
        if rope and tubelet_size:
            raise InputError("rotary positions have rows and columns only; leave rope or tubelet_size out.")
        _check_blocks("window_blocks", window_blocks, depth)
        _check_blocks("residual_blocks", residual_blocks, depth)
        if window_blocks and window_size < 1:
            raise InputError(f"window_size={window_size} is not a side for window_blocks; give 1 or more tokens.")
        if not 0 <= drop_path_rate < 1:
            raise InputError(f"drop_path_rate={drop_path_rate} is out of range; give 0 or more, but less than 1.")
        self.embed_dim, self.depth, self.patch_size = embed_dim, depth, patch_size
        self.checkpoint_blocks = checkpoint_blocks
        grid = _patch_grid(img_size, patch_size)
        self.pos_grid: tuple[int, ...] = _patch_grid(pos_img_size or img_size, patch_size)
        if tubelet_size is not None:
            if num_frames is None:
                raise InputError(f"tubelet_size={tubelet_size} embeds clips; give num_frames, too.")
            self.pos_grid = (num_frames // tubelet_size, *self.pos_grid)
        if pos_prefix_tokens is None:
            pos_prefix_tokens = int(class_token)
        self.pos_prefix_tokens = pos_prefix_tokens

        self.cls_token = nn.Parameter(torch.zeros(1, 1, embed_dim)) if class_token else None
        self.pos_embed: nn.Parameter | None = None
        if abs_pos:
            num_positions = torch.Size(self.pos_grid).numel() + self.pos_prefix_tokens
            self.pos_embed = nn.Parameter(torch.zeros(1, num_positions, embed_dim))
        self.patch_embed = PatchEmbed(patch_size, in_chans, embed_dim, tubelet_size)
        self.rel_pos_bias: JointRelativePositionBias | DecoupledRelativePositionBias | None = None
        if shared_rel_pos is not None:
            check_choice("shared_rel_pos", shared_rel_pos, get_args(SharedRelPos))
            tables = JointRelativePositionBias if shared_rel_pos == "joint" else DecoupledRelativePositionBias
            self.rel_pos_bias = tables(grid, num_heads)
        self.blocks = nn.ModuleList()
        # Early blocks extract features that all later ones use, so they are dropped least (Huang et al., "Deep networks
        # with stochastic depth", 2016). On the CPU even when the model is built on the meta device, which has no values
        # to read.
        drop_path = torch.linspace(0, drop_path_rate, depth, device="cpu").tolist()
        for i in range(depth):
            window = window_size if i in window_blocks else 0
            attn = Attention(
                embed_dim,
                num_heads,
                head_dim=head_dim,
                qkv_bias=qkv_bias,
                qkv_layers=qkv_layers,
                norm=attention_norm,
                rope=rope,
                rope_range=rope_range,
                rel_pos=rel_pos,
                grid=(window, window) if window else grid,
                rel_pos_resize=rel_pos_resize,
                kernel=attention,
            )
            self.blocks.append(
                Block(
                    attn,
                    embed_dim,
                    build_mlp(mlp, embed_dim, int(embed_dim * mlp_ratio), mlp_norm),
                    drop_path=drop_path[i],
                    layer_scale=layer_scale,
                    post_norm=post_norm,
                    window_size=window,
                    residual_conv=i in residual_blocks,
                )
            )
        self.norm = LayerNorm(embed_dim) if final_norm else nn.Identity()
        init_weights(self)

    @property
    def num_prefix_tokens(self) -> int:
        """Number of tokens before the patches: 1 with a class token, else 0."""
        return int(self.cls_token is not None)

    def add_positions(self, patches: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
        """Prepend the class token to patch tokens [B, N, C] on `grid` and add positions: [B, prefix + N, C]."""
        x = patches
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
        if self.pos_embed is not None:
            table = resize_pos_embed(self.pos_embed, grid, self.pos_prefix_tokens, self.pos_grid)
            unused = self.pos_prefix_tokens - self.num_prefix_tokens
            if unused < 0:  # the class token has no entry in the table: add zeros to it
                table = nn.functional.pad(table, (0, 0, -unused, 0))
                unused = 0
            x = x + table[:, unused:]  # skip the entry of a class token that the model does not have
            x = x.to(self.patch_embed.proj.weight.dtype)  # the table stays in float32 in a model of lower precision
        return x

    def run_blocks(
        self,
        x: torch.Tensor,
        grid: tuple[int, ...],
        start: int = 0,
        stop: int | None = None,
        rotation: Rotation | None = None,
    ) -> torch.Tensor:
        """Run the blocks from `start` up to `stop` (exclusive) on tokens [B, prefix + N, C].

        `grid` is that of the patches, (H, W) or (T, H, W). With `rope`, `rotation` is that of the tokens if they are
        not all patches of the grid.
        """
        # Computed once: it depends on the table and the grid only, so it is the same for all blocks.
        shared_bias = None if self.rel_pos_bias is None else self.rel_pos_bias(grid)
        for block in self.blocks[start:stop]:
            x = run_layer(block, x, grid, shared_bias, rotation, use_checkpoint=self.checkpoint_blocks)
        return x

    def forward(self, pixels: Any) -> Any:
        """Return `forward_tokens(pixels)`; subclasses for tasks override this with inputs and outputs of their own."""
        return self.forward_tokens(pixels)

    def forward_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the tokens of normalised pixels, [B, prefix + N, C]; patches are in (time,) row, column order."""
        patches, grid = self.patch_embed(pixels)
        return self.norm(self.run_blocks(self.add_positions(patches, grid), grid))

    def forward_map(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the patch tokens of normalised images as a map, [B, C, H / patch_size, W / patch_size]."""
        tokens = self.forward_tokens(pixels)[:, self.num_prefix_tokens :]
        height, width = pixels.shape[2:]
        return tokens.transpose(1, 2).unflatten(2, (height // self.patch_size, width // self.patch_size))


def _check_blocks(option: str, indices: Collection[int], depth: int) -> None:
    for index in indices:
        if not 0 <= index < depth:
            raise InputError(f"{option} names block {index}, but the blocks are 0 to {depth - 1}; give some of these.")


def _patch_grid(img_size: int | tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Return (H, W) in patches of an image of side `img_size`, or of (height, width), in pixels."""
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    return height // patch_size, width // patch_size
