"""Exchange between the tokens of the ViT and those of the spatial prior around a group of blocks.

An injector before the blocks adds the prior's detail to the ViT; an extractor after them updates the prior. `x` are the
patch tokens of the ViT on one grid (stride 16), `c` the tokens of the prior on three grids (strides 8, 16 and 32), one
grid after the other.
"""

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from eva_backbone.layer_norm import LayerNorm

from .deformable_attention import MultiScaleDeformableAttention, Shapes, pixel_centres

NUM_PRIOR_LEVELS = 3


class Injector(nn.Module):
    """Spatial feature injector: adds details of the prior to the ViT, x + gamma * attention(x to c).

    gamma starts at 0, so that training starts from the unchanged features of the pre-trained ViT.
    """

    def __init__(self, dim: int, num_heads: int, num_points: int = 4, value_ratio: float = 0.5) -> None:
        super().__init__()
        self.query_norm = LayerNorm(dim)
        self.feat_norm = LayerNorm(dim)
        self.attn = MultiScaleDeformableAttention(dim, num_heads, NUM_PRIOR_LEVELS, num_points, value_ratio)
        self.gamma = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor, c: Tensor, grid: tuple[int, int], prior_grids: Shapes) -> Tensor:
        """Return the updated x [B, N, C], from x [B, N, C] and c [B, S, C]."""
        reference = pixel_centres([grid], x.device)
        attended = self.attn(self.query_norm(x), reference, self.feat_norm(c), prior_grids)
        return x + (self.gamma * attended).to(x.dtype)


class DepthwiseConv(nn.Module):
    """A 3x3 depth-wise convolution, with the same weights for every grid of the prior."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)

    def forward(self, c: Tensor, prior_grids: Shapes) -> Tensor:
        """Map [B, S, C] to [B, S, C]."""
        parts = c.split([height * width for height, width in prior_grids], dim=1)
        convolved = []
        for part, grid in zip(parts, prior_grids, strict=True):
            features = part.transpose(1, 2).unflatten(2, grid).contiguous()
            convolved.append(self.dwconv(features).flatten(2).transpose(1, 2))
        return torch.cat(convolved, dim=1)


class ConvFFN(nn.Module):
    """Feed-forward layer with a depth-wise convolution between its linear layers."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.dwconv = DepthwiseConv(hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, c: Tensor, prior_grids: Shapes) -> Tensor:
        """Map [B, S, C] to [B, S, C]."""
        return self.fc2(self.act(self.dwconv(self.fc1(c), prior_grids)))


class Extractor(nn.Module):
    """Multi-scale feature extractor: updates the prior with the ViT's features.

    The prior becomes c + attention(c to x), followed by a feed-forward layer with its own shortcut.

    Args:
        dim, num_heads, num_points, value_ratio: See `MultiScaleDeformableAttention`.
        ffn_ratio: Hidden width of the feed-forward layer as a multiple of `dim`.
        drop_path: Probability that a sample skips the feed-forward layer in training.
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
        """Return the updated c [B, S, C], from c [B, S, C] and x [B, N, C]."""
        reference = pixel_centres(prior_grids, c.device)
        c = c + self.attn(self.query_norm(c), reference, self.feat_norm(x), [grid])
        return c + self.drop_path(self.ffn(self.ffn_norm(c), prior_grids))


class Interaction(nn.Module):
    """The injector and the extractors around one group of blocks.

    Args:
        dim, num_heads, num_points, value_ratio: See `MultiScaleDeformableAttention`.
        ffn_ratio, drop_path: See `Extractor`.
        num_extra_extractors: Extractors after the first one, each with its own weights.
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
