"""Multi-scale deformable attention in plain PyTorch: a few learned places per query instead of all keys.

One module serves the adapter around the ViT and the pixel decoder. Sampling is bilinear, with half-pixel centres and
zeros outside a map, in float32 whatever the precision around it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eva_backbone.errors import InputError

Shapes = Sequence[tuple[int, int]]


def pixel_centres(shapes: Shapes, device: torch.device | None = None) -> Tensor:
    """Places of the pixels of maps (H, W), one map after the other: [1, sum of H * W, 1, 2], (x, y) in 0 .. 1."""
    places = []
    for height, width in shapes:
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
        places.append(torch.stack(torch.broadcast_tensors(x, y[:, None]), -1).flatten(0, 1))
    return torch.cat(places)[None, :, None]


def deformable_attention(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Weighted sums of `value` at `locations`.

    Args:
        value: [B, S, heads, D], the tokens of all maps one after the other, row by row.
        shapes: (H, W) of the L maps; their areas add up to S.
        locations: [B, N, heads, L, P, 2], (x, y) with 0 .. 1 from edge to edge of a map.
        weights: [B, N, heads, L, P].

    Returns:
        [B, N, heads * D] in the dtype of `value`.

    Raises:
        ValueError: the areas of the maps do not add up to S.
    """
    if sum(height * width for height, width in shapes) != value.shape[1]:
        raise ValueError(f"{value.shape[1]} tokens are not those of maps of {list(shapes)}")
    dtype = value.dtype
    if dtype != torch.float64:
        value, locations, weights = value.float(), locations.float(), weights.float()
    with torch.autocast(value.device.type, enabled=False):
        return _WeightedSamples.apply(value, locations, weights, tuple(shapes)).to(dtype)


def _sample(maps: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class _WeightedSamples(torch.autograd.Function):
    """Samples are summed as they come and taken anew for the backward pass, one level at a time.

    Kept for the backward pass they would be heads * P * L times the size of a map's head: most of the memory of the
    whole pixel decoder.
    """

    @staticmethod
    def _arrange(
        value: Tensor, locations: Tensor, weights: Tensor, shapes: Shapes
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """By level: maps [B * heads, D, H, W], grids [B * heads, P, N, 2] in -1 .. 1, weights [B * heads, P, N]."""
        maps = value.permute(0, 2, 3, 1).flatten(0, 1)  # [B * heads, D, S]
        levels = maps.split([height * width for height, width in shapes], dim=2)
        grids = (2 * locations - 1).permute(3, 0, 2, 4, 1, 5).flatten(1, 2)
        weights = weights.permute(3, 0, 2, 4, 1).flatten(1, 2)
        return [level.unflatten(2, shape) for level, shape in zip(levels, shapes, strict=True)], grids, weights

    @staticmethod
    def forward(ctx: Any, value: Tensor, locations: Tensor, weights: Tensor, shapes: Shapes) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = shapes
        batch, _, heads, dim = value.shape
        total = value.new_zeros(batch * heads, dim, locations.shape[1])
        for level in zip(*_WeightedSamples._arrange(value, locations, weights, shapes), strict=True):
            maps, grid, weight = level
            samples = _sample(maps, grid)  # [B * heads, D, P, N]
            for point in range(samples.shape[2]):
                total.addcmul_(samples[:, :, point], weight[:, None, point])
            del samples
        return total.view(batch, heads * dim, -1).transpose(1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        value, locations, weights = ctx.saved_tensors
        batch, num_tokens, heads, dim = value.shape
        grad_output = grad_output.transpose(1, 2).reshape(batch * heads, dim, -1).contiguous()
        arranged = _WeightedSamples._arrange(value, locations, weights, ctx.shapes)
        grad_maps, grad_grids, grad_weights = [], [], []
        for maps, grid, weight in zip(*arranged, strict=True):
            samples = _sample(maps, grid)
            grad_weight = torch.empty_like(weight)
            for point in range(samples.shape[2]):
                grad_weight[:, point] = (samples[:, :, point] * grad_output).sum(1)
                torch.mul(grad_output, weight[:, None, point], out=samples[:, :, point])  # now their gradient
            needed = [ctx.needs_input_grad[0], ctx.needs_input_grad[1]]
            grad_map, grad_grid = torch.ops.aten.grid_sampler_2d_backward(samples, maps, grid, 0, 0, False, needed)
            grad_maps.append(grad_map)
            grad_grids.append(grad_grid)
            grad_weights.append(grad_weight)
            del samples
        grad_value = grad_location = None
        if ctx.needs_input_grad[0]:
            flat = torch.cat([grad.flatten(2) for grad in grad_maps], dim=2)
            grad_value = flat.view(batch, heads, dim, num_tokens).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            grids = torch.stack(grad_grids).unflatten(1, (batch, heads))  # [L, B, heads, P, N, 2]
            grad_location = 2 * grids.permute(1, 4, 2, 0, 3, 5)
        by_level = torch.stack(grad_weights).unflatten(1, (batch, heads))
        return grad_value, grad_location, by_level.permute(1, 4, 2, 0, 3), None


class MultiScaleDeformableAttention(nn.Module):
    """Queries look at `num_points` places of every map, which they choose around a reference point of their own.

    Args:
        dim: width of queries, tokens and output, C.
        num_heads: heads; each chooses its own places and weights.
        num_levels: maps, L.
        num_points: places per map and head.
        value_ratio: width of the values over C.

    Raises:
        InputError: heads that do not divide the width of the values.
    """

    def __init__(
        self, dim: int, num_heads: int, num_levels: int, num_points: int = 4, value_ratio: float = 1.0
    ) -> None:
        super().__init__()
        inner = int(dim * value_ratio)
        if inner % num_heads:
            raise InputError(
                f"values of width {inner} cannot be shared out to {num_heads} heads; give a number of heads that "
                "divides the width."
            )
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        num_places = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(dim, 2 * num_places)
        self.attention_weights = nn.Linear(dim, num_places)
        self.value_proj = nn.Linear(dim, inner)
        self.output_proj = nn.Linear(inner, dim)
        self.init_weights()

    def init_weights(self) -> None:
        """Equal weights; head k looks 1, 2, ... pixels away in its own direction, clockwise from the right."""
        for layer in (self.sampling_offsets, self.attention_weights):
            nn.init.zeros_(layer.weight)
        for layer in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.attention_weights, self.value_proj, self.output_proj):
            nn.init.zeros_(layer.bias)
        offsets = []
        for head in range(self.num_heads):
            angle = 2 * math.pi * head / self.num_heads
            x, y = math.cos(angle), math.sin(angle)
            longest = max(abs(x), abs(y))
            steps = [(x / longest * point, y / longest * point) for point in range(1, self.num_points + 1)]
            offsets += [step for _ in range(self.num_levels) for step in steps]
        bias = self.sampling_offsets.bias
        with torch.no_grad():
            bias.copy_(torch.tensor(offsets, device=bias.device).flatten())

    def forward(self, query: Tensor, reference_points: Tensor, value_tokens: Tensor, shapes: Shapes) -> Tensor:
        """[B, N, C] of queries to [B, N, C].

        Args:
            query: [B, N, C].
            reference_points: [B or 1, N, L or 1, 2], (x, y) in 0 .. 1 of each map.
            value_tokens: [B, S, C], the tokens of all maps one after the other.
            shapes: (H, W) of the maps.
        """
        batch, num_queries, _ = query.shape
        places = (batch, num_queries, self.num_heads, self.num_levels, self.num_points)
        value = self.value_proj(value_tokens).unflatten(2, (self.num_heads, -1))
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        offsets = self.sampling_offsets(query).to(dtype).view(*places, 2)
        weights = self.attention_weights(query).to(dtype).view(*places[:3], -1).softmax(-1).view(places)
        sizes = torch.tensor([(width, height) for height, width in shapes], dtype=dtype, device=query.device)
        locations = reference_points.to(dtype)[:, :, None, :, None] + offsets / sizes[:, None]
        return self.output_proj(deformable_attention(value, shapes, locations, weights))
