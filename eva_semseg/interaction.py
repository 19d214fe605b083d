"""Exchange between the ViT's tokens and those of the spatial prior: injector before a group of blocks, extractor after.

`x` are the ViT's patch tokens on one grid (stride 16), `c` the prior's tokens on three (strides 8, 16 and 32), one grid
after the other.
"""

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from eva_backbone.layer_norm import LayerNorm

from .deformable_attention import MultiScaleDeformableAttention, Shapes, pixel_centres

NUM_PRIOR_LEVELS = 3


class Injector(nn.Module):
    """Details of the prior into the ViT: x + gamma * attention(x to c). gamma starts at 0: the ViT as it was."""

    def __init__(self, dim: int, num_heads: int, num_points: int = 4, value_ratio: float = 0.5) -> None:
        super().__init__()
        self.query_norm = LayerNorm(dim)
        self.feat_norm = LayerNorm(dim)
        self.attn = MultiScaleDeformableAttention(dim, num_heads, NUM_PRIOR_LEVELS, num_points, value_ratio)
        self.gamma = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, c: Tensor, grid: tuple[int, int], prior_grids: Shapes) -> Tensor:
        """x [B, N, C] and c [B, S, C] to the new x."""
        reference = pixel_centres([grid], x.device)
        attended = self.attn(self.query_norm(x), reference, self.feat_norm(c), prior_grids)
        return x + (self.gamma * attended).to(x.dtype)


class DepthwiseConv(nn.Module):
    """One 3x3 depth-wise convolution over every grid of the prior."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, c: Tensor, prior_grids: Shapes) -> Tensor:
        """[B, S, C] to [B, S, C]."""
        parts = c.split([height * width for height, width in prior_grids], dim=1)
        maps = [part.transpose(1, 2).unflatten(2, grid) for part, grid in zip(parts, prior_grids, strict=True)]
        return torch.cat([self.dwconv(m.contiguous()).flatten(2).transpose(1, 2) for m in maps], dim=1)


class ConvFFN(nn.Module):
    """Feed-forward layer with the depth-wise convolution in its middle."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, c: Tensor, prior_grids: Shapes) -> Tensor:
        """[B, S, C] to [B, S, C]."""
        return self.fc2(self.act(self.dwconv(self.fc1(c), prior_grids)))


class Extractor(nn.Module):
    """What the ViT has understood into the prior: c + attention(c to x), then a feed-forward layer.

    drop_path is the probability that a sample skips the feed-forward layer in training.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_points: int = 4,
        value_ratio: float = 0.5,
        ffn_ratio: float = 0.25,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.query_norm = LayerNorm(dim)
        self.feat_norm = LayerNorm(dim)
        self.attn = MultiScaleDeformableAttention(dim, num_heads, 1, num_points, value_ratio)
        self.ffn = ConvFFN(dim, int(dim * ffn_ratio))
        self.ffn_norm = LayerNorm(dim)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, c: Tensor, x: Tensor, prior_grids: Shapes, grid: tuple[int, int]) -> Tensor:
        """c [B, S, C] and x [B, N, C] to the new c."""
        reference = pixel_centres(prior_grids, c.device)
        c = c + self.attn(self.query_norm(c), reference, self.feat_norm(x), [grid])
        return c + self.drop_path(self.ffn(self.ffn_norm(c), prior_grids))


class Interaction(nn.Module):
    """The exchange around one group of blocks; the last group is followed by further extractors.

    Args:
        dim, num_heads, num_points, value_ratio: see `MultiScaleDeformableAttention`.
        ffn_ratio: hidden width of the extractors' feed-forward layers over `dim`.
        drop_path: see `Extractor`.
        num_extra_extractors: extractors behind the first one, each with weights of its own.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        num_points: int = 4,
        value_ratio: float = 0.5,
        ffn_ratio: float = 0.25,
        drop_path: float = 0.0,
        num_extra_extractors: int = 0,
    ) -> None:
        super().__init__()
        extractor = (dim, num_heads, num_points, value_ratio, ffn_ratio, drop_path)
        self.injector = Injector(dim, num_heads, num_points, value_ratio)
        self.extractor = Extractor(*extractor)
        self.extra_extractors = nn.ModuleList(Extractor(*extractor) for _ in range(num_extra_extractors))
