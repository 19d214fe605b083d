"""The transformer block: windowed or global attention, MLP, and the options of the published variants."""

from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, LayerNorm2d
from torch import nn
from torch.utils.checkpoint import checkpoint

from .attention import Attention
from .layer_norm import LayerNorm
from .rotary import Rotation


class ResidualBottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions with a shortcut: ViTDet's convolutional propagation across windows."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        hidden = dim // 2
        self.conv1 = nn.Conv2d(dim, hidden, 1, bias=False)
        self.norm1 = LayerNorm2d(hidden, eps=1e-6)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, bias=False)
        self.norm2 = LayerNorm2d(hidden, eps=1e-6)
        self.conv3 = nn.Conv2d(hidden, dim, 1, bias=False)
        self.norm3 = LayerNorm2d(dim, eps=1e-6)
        self.act = nn.GELU()
        for conv in (self.conv1, self.conv2, self.conv3):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.norm3.weight)  # starts as the identity, so that pre-trained blocks are undisturbed

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the convolutions to a map [B, C, H, W] of the same shape."""
        out = self.act(self.norm1(self.conv1(x)))
        out = self.act(self.norm2(self.conv2(out)))
        return x + self.norm3(self.conv3(out))


class Block(nn.Module):
    """Pre-norm (or post-norm) transformer block over tokens [B, N, C].

    Args:
        attention: Attention module.
        dim: Token width, C.
        mlp: MLP over tokens, see `mlp.build_mlp`.
        drop_path: Probability of dropping a branch for a sample in training.
        layer_scale: Initial value of the per-channel factors `gamma_1` and `gamma_2`; None for no factors.
        post_norm: Normalise the outputs of the branches instead of their inputs.
        window_size: Side of the attention windows in tokens; 0 for global attention.
        residual_conv: Append a `ResidualBottleneck`.
    """

    def __init__(
        self,
        attention: Attention,
        dim: int,
        mlp: nn.Module,
        *,
        drop_path: float = 0.0,
        layer_scale: float | None = None,
        post_norm: bool = False,
        window_size: int = 0,
        residual_conv: bool = False,
    ) -> None:
        super().__init__()
        # Small initial factors keep a deep network close to the identity, which makes it trainable (Touvron et al.,
        # "Going deeper with image transformers", 2021). A factor of 1 changes nothing until it is trained.
        self.gamma_1: nn.Parameter | None = None
        self.gamma_2: nn.Parameter | None = None
        if layer_scale is not None:
            self.gamma_1 = nn.Parameter(torch.full((dim,), float(layer_scale)))
            self.gamma_2 = nn.Parameter(torch.full((dim,), float(layer_scale)))
        self.norm1 = LayerNorm(dim)
        self.attn = attention
        self.norm2 = LayerNorm(dim)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()
        self.post_norm = post_norm
        self.window_size = window_size
        self.residual = ResidualBottleneck(dim) if residual_conv else None

    def _attend(
        self, x: torch.Tensor, grid: tuple[int, ...], shared_bias: torch.Tensor | None, rotation: Rotation | None
    ) -> torch.Tensor:
        """Apply attention to tokens [B, N, C], within windows if the block is windowed."""
        if not self.window_size:
            return self.attn(x, grid, shared_bias, rotation=rotation)
        # Every window is an image of its own to the attention module: the cost per token is proportional to the area
        # of a window instead of that of the image.
        batch, tokens, dim = x.shape
        height, width = grid
        windows, padded = partition_windows(x.view(batch, height, width, dim), self.window_size)
        window_grid = (self.window_size, self.window_size)
        windows = self.attn(windows.flatten(1, 2), window_grid, shared_bias)
        return merge_windows(windows, self.window_size, padded, (height, width)).reshape(batch, tokens, dim)

    def _branch(self, out: torch.Tensor, gamma: torch.Tensor | None) -> torch.Tensor:
        return self.drop_path(out if gamma is None else gamma * out)

    def forward(
        self,
        x: torch.Tensor,
        grid: tuple[int, ...],
        shared_bias: torch.Tensor | None = None,
        rotation: Rotation | None = None,
    ) -> torch.Tensor:
        """Apply the block to tokens [B, N, C].

        Args:
            x: Prefix tokens, then patches in row-major order; windows and the residual convolution support no prefix.
            grid: (H, W) or (T, H, W) in patches.
            shared_bias: Bias of the attention logits that all blocks of the model share, [heads, N, N].
            rotation: Rotation of the tokens by their positions, if they are not all patches of the grid. Windowed
                blocks ignore it.
        """
        if self.post_norm:
            # A norm at the end of a branch fixes the size of what the branch adds. With norms at the beginning, the
            # residual stream grows with depth (Liu et al., "Swin Transformer V2", 2022).
            x = x + self._branch(self.norm1(self._attend(x, grid, shared_bias, rotation)), self.gamma_1)
            x = x + self._branch(self.norm2(self.mlp(x)), self.gamma_2)
        else:
            x = x + self._branch(self._attend(self.norm1(x), grid, shared_bias, rotation), self.gamma_1)
            x = x + self._branch(self.mlp(self.norm2(x)), self.gamma_2)
        if self.residual is not None:
            maps = self.residual(x.transpose(1, 2).unflatten(2, grid))
            x = maps.flatten(2).transpose(1, 2)
        return x


def partition_windows(x: torch.Tensor, window_size: int) -> tuple[torch.Tensor, tuple[int, int]]:
    """Partition a map [B, H, W, C] into windows, padded with zeros at the bottom and right to whole windows.

    The padding is not masked in attention: its tokens take part as keys, because the published models were trained that
    way.

    Returns:
        Windows [B * num_windows, window_size, window_size, C], ordered by image, row and column, and the padded (H, W).
    """
    batch, height, width, dim = x.shape
    pad_bottom, pad_right = -height % window_size, -width % window_size
    if pad_bottom or pad_right:
        x = F.pad(x, (0, 0, 0, pad_right, 0, pad_bottom))
    padded = (height + pad_bottom, width + pad_right)
    rows, columns = padded[0] // window_size, padded[1] // window_size
    # Pixel (y, x) is row y % size of the window row y // size, and the same for x. The transpose brings the two
    # coordinates of a window together, and the two within it.
    x = x.view(batch, rows, window_size, columns, window_size, dim).transpose(2, 3)
    return x.reshape(-1, window_size, window_size, dim), padded


def merge_windows(
    windows: torch.Tensor, window_size: int, padded: tuple[int, int], grid: tuple[int, int]
) -> torch.Tensor:
    """Merge windows to a map [B, H, W, C] of size `grid` without the padding; the inverse of `partition_windows`."""
    rows, columns = padded[0] // window_size, padded[1] // window_size
    dim = windows.shape[-1]
    x = windows.view(-1, rows, columns, window_size, window_size, dim).transpose(2, 3)
    return x.reshape(-1, *padded, dim)[:, : grid[0], : grid[1]]


def run_layer(layer: nn.Module, *args: Any, use_checkpoint: bool) -> Any:
    """Return `layer(*args)`; with `use_checkpoint`, keep only the inputs and run it again in the backward pass."""
    if use_checkpoint and torch.is_grad_enabled():
        # The reentrant variant drops all gradients of the layer if no input requires one, for example after a frozen
        # patch embedding.
        return checkpoint(layer, *args, use_reentrant=False)
    return layer(*args)
