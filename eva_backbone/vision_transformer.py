"""The EVA vision transformer: composes patch embedding, positions and blocks, and nothing of a task.

Every task's model is this class or holds one: the detector takes `forward_map` without a class token, classifiers and
CLIP read class or patch tokens of `forward`, the video model embeds tubelets, segmentation runs the blocks in groups.
Parameter names are those of the published checkpoints.
"""

from collections.abc import Collection, Sequence
from typing import Any, Literal, get_args

import torch
from torch import nn

from .attention import Attention, QKVBias, RelPos
from .attention_kernels import KernelName
from .block import Block, run_layer
from .errors import InputError, check_choice
from .initialization import init_weights
from .layer_norm import LayerNorm
from .patch_embed import PatchEmbed
from .position import resize_pos_embed
from .relative_position import RelPosResize
from .relative_position_bias import DecoupledRelativePositionBias, JointRelativePositionBias

SharedRelPos = Literal["joint", "decoupled"]


class VisionTransformer(nn.Module):
    """A plain ViT over images [B, in_chans, H, W] or clips [B, in_chans, T, H, W].

    Args:
        img_size: image side in pixels, or (height, width), that relative position tables are made for; other sizes are
            resized at run time where the tables allow it ("decomposed", and "joint" of the blocks).
        patch_size: patch side in pixels.
        in_chans: input channels.
        embed_dim: token width, C.
        depth: number of blocks.
        num_heads: attention heads.
        head_dim: width of a head; C / num_heads unless given.
        mlp_ratio: MLP width over C, truncated to an integer.
        qkv_bias: see `Attention`.
        class_token: put a learned token in front of the patches.
        abs_pos: learn an absolute position table `pos_embed`.
        pos_img_size: image side in pixels, or (height, width), the position table is stored for; `img_size` unless
            given.
        pos_prefix_tokens: entries of the table in front of the patches; 1 with a class token unless given. The detector
            has such an entry without the token: it is stored and not used.
        num_frames, tubelet_size: length of a clip and frames per patch; None takes images.
        rel_pos: relative position of every block, see `Attention`.
        shared_rel_pos: layout of one table `rel_pos_bias` for all blocks, beside `rel_pos`.
        rel_pos_resize: how decomposed and joint tables of the blocks are resized for another size.
        window_size, window_blocks: window side in tokens, and the blocks that use it.
        residual_blocks: blocks that end in a residual bottleneck.
        layer_scale: initial per-channel factor of every branch; None leaves them out.
        post_norm: blocks normalise their branches' outputs.
        drop_path_rate: stochastic depth of the last block; grows linearly from 0 at the first.
        final_norm: end with a LayerNorm called `norm`.
        checkpoint_blocks: keep only the blocks' inputs for the backward pass.
        attention: kernel of every block, see `attention_kernels`.
    """

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
        mlp_ratio: float = 6144 / 1408,
        qkv_bias: QKVBias = "qv",
        class_token: bool = True,
        abs_pos: bool = True,
        pos_img_size: int | tuple[int, int] | None = None,
        pos_prefix_tokens: int | None = None,
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
            raise ValueError("windows, residual blocks and decomposed positions need images and no class token")
        if not class_token and (shared_rel_pos or rel_pos in ("joint", "decoupled")):
            raise ValueError("joint and decoupled relative positions are laid out for a class token: add one")
        self.embed_dim, self.depth, self.patch_size = embed_dim, depth, patch_size
        self.checkpoint_blocks = checkpoint_blocks
        grid = _patch_grid(img_size, patch_size)
        self.pos_grid: tuple[int, ...] = _patch_grid(pos_img_size or img_size, patch_size)
        if tubelet_size is not None:
            if num_frames is None:
                raise ValueError(f"tubelet_size={tubelet_size} takes clips: give their num_frames")
            self.pos_grid = (num_frames // tubelet_size, *self.pos_grid)
        self.pos_prefix_tokens = int(class_token) if pos_prefix_tokens is None else pos_prefix_tokens

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
        drop_path = torch.linspace(0, drop_path_rate, depth, device="cpu").tolist()
        for i in range(depth):
            window = window_size if i in window_blocks else 0
            attn = Attention(
                embed_dim,
                num_heads,
                head_dim=head_dim,
                qkv_bias=qkv_bias,
                rel_pos=rel_pos,
                grid=(window, window) if window else grid,
                rel_pos_resize=rel_pos_resize,
                kernel=attention,
            )
            self.blocks.append(
                Block(
                    attn,
                    embed_dim,
                    int(embed_dim * mlp_ratio),
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
    def num_features(self) -> int:
        """Width of the tokens, C; timm's name for `embed_dim`."""
        return self.embed_dim

    @property
    def num_prefix_tokens(self) -> int:
        """Tokens in front of the patches: 1 with a class token, else 0."""
        return int(self.cls_token is not None)

    def add_positions(self, patches: torch.Tensor, grid: Sequence[int]) -> torch.Tensor:
        """Patch tokens [B, N, C] on `grid` to [B, prefix + N, C]: the class token put in front, positions added."""
        x = patches
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1).to(x.dtype), x], dim=1)
        if self.pos_embed is not None:
            table = resize_pos_embed(self.pos_embed, grid, self.pos_prefix_tokens, self.pos_grid)
            # an entry without a class token is not used; a class token without an entry gets no position
            unused = self.pos_prefix_tokens - self.num_prefix_tokens
            x = x + (table[:, unused:] if unused >= 0 else nn.functional.pad(table, (0, 0, -unused, 0)))
        return x

    def run_blocks(
        self, x: torch.Tensor, grid: tuple[int, ...], start: int = 0, stop: int | None = None
    ) -> torch.Tensor:
        """Tokens [B, prefix + N, C], patches on `grid` (H, W) or (T, H, W), through blocks start .. stop - 1."""
        shared_bias = None if self.rel_pos_bias is None else self.rel_pos_bias(grid)
        for block in self.blocks[start:stop]:
            x = run_layer(block, x, grid, shared_bias, use_checkpoint=self.checkpoint_blocks)
        return x

    def forward(self, pixels: Any) -> Any:
        """`forward_tokens`; the models of the tasks, which inherit, give it a meaning of their own."""
        return self.forward_tokens(pixels)

    def forward_tokens(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels to tokens [B, prefix + N, C], patches in (time,) row, column order."""
        patches, grid = self.patch_embed(pixels)
        return self.norm(self.run_blocks(self.add_positions(patches, grid), grid))

    def forward_map(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised images to the map of their patch tokens, [B, C, H / patch_size, W / patch_size]."""
        tokens = self.forward_tokens(pixels)[:, self.num_prefix_tokens :]
        return tokens.transpose(1, 2).unflatten(2, tuple(side // self.patch_size for side in pixels.shape[2:]))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of the blocks for the backward pass, and recompute the rest there."""
        self.checkpoint_blocks = enable

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters, besides vectors and biases, that recipes exclude from weight decay."""
        return {"pos_embed", "cls_token"}

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:  # noqa: ARG002
        """Assign parameters to layers by regular expressions, as timm's layer decay reads them.

        Position and patch embedding are layer 0, block i is layer i + 1, everything else the last layer.

        Args:
            coarse: part of timm's interface; blocks are the finest groups here.
        """
        return {"stem": r"^(?:cls_token|mask_token|pos_embed|patch_embed)", "blocks": r"^blocks\.(\d+)"}

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | Sequence[int] | None = None,
        *,
        return_prefix_tokens: bool = False,
        return_attention: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: Literal["NCHW", "NLC"] = "NCHW",
        intermediates_only: bool = False,
    ) -> Any:
        """Return the final tokens and the features after chosen blocks, with timm's arguments.

        Args:
            x: normalised images [B, in_chans, H, W] or clips [B, in_chans, T, H, W].
            indices: numbers of blocks, negative ones counted from the end; a number takes that many last blocks, None
                all.
            return_prefix_tokens: pair each feature map with its prefix tokens [B, prefix, C].
            return_attention: also return the attention maps of the chosen blocks, [B, heads, N, N] with prefix tokens
                first; blocks with windows give [B * num_windows, heads, window ** 2, window ** 2].
            norm: apply the final norm to every feature map.
            stop_early: do not run the blocks after the last chosen one.
            output_fmt: "NCHW" for maps [B, C, H / patch_size, W / patch_size] ([B, C, T, H, W] of clips), "NLC" for
                patch tokens [B, N, C].
            intermediates_only: leave out the final tokens.

        Returns:
            The final tokens [B, prefix + N, C] after the norm, then a list of features; then a list of attention maps
            if asked for. With `intermediates_only`, without the first.
        """
        check_choice("output_fmt", output_fmt, ("NCHW", "NLC"))
        chosen = _block_numbers(indices, self.depth)
        patches, grid = self.patch_embed(x)
        tokens = self.add_positions(patches, grid)
        features: list[torch.Tensor] = []
        maps: list[torch.Tensor] = []
        for number in range(max(chosen) + 1 if stop_early else self.depth):
            record = maps if return_attention and number in chosen else None
            tokens = self._run_block(number, tokens, grid, record)
            if number in chosen:
                features.append(self.norm(tokens) if norm else tokens)
        outputs = [self._as_intermediate(feature, grid, return_prefix_tokens, output_fmt) for feature in features]
        result: list[Any] = [] if intermediates_only else [self.norm(tokens)]
        result.append(outputs)
        if return_attention:
            result.append(maps)
        return result[0] if len(result) == 1 else tuple(result)

    def _run_block(
        self, number: int, tokens: torch.Tensor, grid: tuple[int, ...], attention_maps: list[torch.Tensor] | None
    ) -> torch.Tensor:
        if attention_maps is None:
            return self.run_blocks(tokens, grid, number, number + 1)
        attention = self.blocks[number].attn

        def record(module: Attention, args: tuple[Any, ...]) -> None:
            attention_maps.append(module.attention_map(*args))

        hook = attention.register_forward_pre_hook(record)
        try:
            return self.run_blocks(tokens, grid, number, number + 1)
        finally:
            hook.remove()

    def _as_intermediate(
        self, tokens: torch.Tensor, grid: tuple[int, ...], with_prefix: bool, output_fmt: str
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        prefix, patches = tokens[:, : self.num_prefix_tokens], tokens[:, self.num_prefix_tokens :]
        if output_fmt == "NCHW":
            patches = patches.transpose(1, 2).unflatten(2, grid)
        return (patches, prefix) if with_prefix else patches


def _block_numbers(indices: int | Sequence[int] | None, depth: int) -> list[int]:
    if indices is None:
        return list(range(depth))
    if isinstance(indices, int):
        indices = range(depth - indices, depth)
    outside = [index for index in indices if not -depth <= index < depth]
    if outside or not len(indices):
        raise InputError(f"indices={list(indices)} does not name blocks of this model; choose from 0 to {depth - 1}")
    return [index % depth for index in indices]


def _patch_grid(img_size: int | tuple[int, int], patch_size: int) -> tuple[int, int]:
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    return height // patch_size, width // patch_size
