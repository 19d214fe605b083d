"""Multi-scale deformable attention in pure PyTorch: each query samples a few learned points instead of all keys.

The adapter around the ViT and the pixel decoder use the same module. Sampling is bilinear, with half-pixel centres and
zeros outside a map, and runs in float32 at any surrounding precision: in bfloat16, the coordinates of a large map
would be off by a considerable part of a pixel.
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
    """Return the pixel centres of maps of shapes (H, W) as (x, y) in 0 to 1.

    Returns:
        [1, sum of H * W, 1, 2], one map after the other, row by row.
    """
    centres = []
    for height, width in shapes:
        y = (torch.arange(height, device=device, dtype=torch.float32) + 0.5) / height
        x = (torch.arange(width, device=device, dtype=torch.float32) + 0.5) / width
        centres.append(torch.stack(torch.broadcast_tensors(x, y[:, None]), -1).flatten(0, 1))
    return torch.cat(centres)[None, :, None]


def deformable_attention(value: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sums of `value` at the sampling locations.

    Args:
        value: [B, S, heads, D], the tokens of all maps, one map after the other, row by row.
        shapes: (H, W) of the L maps; their areas add up to S.
        locations: [B, N, heads, L, P, 2], (x, y), where 0 and 1 are the outer edges of a map.
        weights: [B, N, heads, L, P], the attention weights.

    Returns:
        [B, N, heads * D] in the dtype of `value`.

    Raises:
        ValueError: The areas of the maps do not add up to S.
    """
    if sum(height * width for height, width in shapes) != value.shape[1]:
        raise ValueError(f"got {value.shape[1]} tokens, which do not match maps of shapes {list(shapes)}")
    dtype = value.dtype
    if dtype != torch.float64:
        value, locations, weights = value.float(), locations.float(), weights.float()
    with torch.autocast(value.device.type, enabled=False):
        return _WeightedSamples.apply(value, locations, weights, tuple(shapes)).to(dtype)


def _sample(maps: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class _WeightedSamples(torch.autograd.Function):
    """Weighted sum of samples, level by level, that recomputes the samples in the backward pass.

    Autograd would keep the samples of all levels, L * P * N vectors per head. In the pixel decoder every token is a
    query (N = S), so that they would take L * P times the memory of the value tensor: most of the memory of the whole
    pixel decoder. Sampling again is cheap in comparison.
    """

    @staticmethod
    def _split_levels(
        value: Tensor, locations: Tensor, weights: Tensor, shapes: Shapes
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return a list of maps and two tensors whose first dimension is the level.

        Heads join the batch dimension because `grid_sample` uses one grid for all channels of a map, and each head has
        a grid of its own.

        Returns:
            Maps [B * heads, D, H, W], grids [L, B * heads, P, N, 2] in -1 to 1, weights [L, B * heads, P, N].
        """
        channels_first = value.permute(0, 2, 3, 1).flatten(0, 1)  # [B * heads, D, S]
        levels = channels_first.split([height * width for height, width in shapes], dim=2)
        maps = [level.unflatten(2, shape) for level, shape in zip(levels, shapes, strict=True)]
        # grid_sample with align_corners=False puts the outer edges of a map at -1 and 1, locations have them at 0 and 1
        grids = (2 * locations - 1).permute(3, 0, 2, 4, 1, 5).flatten(1, 2)
        weights = weights.permute(3, 0, 2, 4, 1).flatten(1, 2)
        return maps, grids, weights

    @staticmethod
    def forward(ctx: Any, value: Tensor, locations: Tensor, weights: Tensor, shapes: Shapes) -> Tensor:
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = shapes
        batch, _, heads, dim = value.shape
        total = value.new_zeros(batch * heads, dim, locations.shape[1])
        levels = _WeightedSamples._split_levels(value, locations, weights, shapes)
        for maps, grid, weight in zip(*levels, strict=True):
            samples = _sample(maps, grid)  # [B * heads, D, P, N]
            # Multiplying all samples with their weights at once would need a second tensor of this size.
            for point in range(samples.shape[2]):
                total.addcmul_(samples[:, :, point], weight[:, None, point])
            # Otherwise the samples of two levels would exist at once when the next ones are taken.
            del samples
        return total.view(batch, heads * dim, -1).transpose(1, 2).contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        value, locations, weights = ctx.saved_tensors
        batch, num_tokens, heads, dim = value.shape
        grad_output = grad_output.transpose(1, 2).reshape(batch * heads, dim, -1).contiguous()
        levels = _WeightedSamples._split_levels(value, locations, weights, ctx.shapes)
        grad_maps, grad_grids, grad_weights = [], [], []
        for maps, grid, weight in zip(*levels, strict=True):
            samples = _sample(maps, grid)
            grad_weight = torch.empty_like(weight)
            for point in range(samples.shape[2]):
                # output = sum of weight * sample: each factor is the other one's derivative
                grad_weight[:, point] = (samples[:, :, point] * grad_output).sum(1)
                # This sample is no longer needed; its gradient takes its memory.
                torch.mul(grad_output, weight[:, None, point], out=samples[:, :, point])
            grad_samples = samples
            needed = [ctx.needs_input_grad[0], ctx.needs_input_grad[1]]
            # The arguments 0, 0, False mean bilinear, zeros, align_corners=False, as in `_sample`.
            grad_map, grad_grid = torch.ops.aten.grid_sampler_2d_backward(grad_samples, maps, grid, 0, 0, False, needed)
            grad_maps.append(grad_map)
            grad_grids.append(grad_grid)
            grad_weights.append(grad_weight)
            del samples, grad_samples
        grad_value = grad_locations = None
        if ctx.needs_input_grad[0]:
            flat = torch.cat([grad.flatten(2) for grad in grad_maps], dim=2)
            grad_value = flat.view(batch, heads, dim, num_tokens).permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            grids = torch.stack(grad_grids).unflatten(1, (batch, heads))  # [L, B, heads, P, N, 2]
            grad_locations = 2 * grids.permute(1, 4, 2, 0, 3, 5)  # 2: the derivative of 2 * locations - 1
        by_level = torch.stack(grad_weights).unflatten(1, (batch, heads))  # [L, B, heads, P, N]
        return grad_value, grad_locations, by_level.permute(1, 4, 2, 0, 3), None


class MultiScaleDeformableAttention(nn.Module):
    """Each query attends to `num_points` points of every map, at learned offsets from its reference point.

    Offsets and attention weights are linear functions of the query; no query is compared with a key.

    Args:
        dim: Width of queries, tokens and output, C.
        num_heads: Number of heads; each has its own offsets and weights.
        num_levels: Number of maps, L.
        num_points: Sampling points per map and head, P.
        value_ratio: Width of the values as a multiple of C.

    Raises:
        InputError: The width of the values is not divisible by the number of heads.
    """

    def __init__(
        self, dim: int, num_heads: int, num_levels: int, num_points: int = 4, value_ratio: float = 1.0
    ) -> None:
        super().__init__()
        value_dim = int(dim * value_ratio)
        if value_dim % num_heads:
            raise InputError(
                f"values of width {value_dim} cannot be divided among {num_heads} heads; give a number of heads that "
                "divides the width."
            )
        self.num_heads, self.num_levels, self.num_points = num_heads, num_levels, num_points
        total_points = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(dim, 2 * total_points)
        self.attention_weights = nn.Linear(dim, total_points)
        self.value_proj = nn.Linear(dim, value_dim)
        self.output_proj = nn.Linear(value_dim, dim)
        self.init_weights()

    def init_weights(self) -> None:
        """Start with equal attention weights and offsets that do not depend on the query.

        Head k samples at distances of 1, 2, ... pixels in its own direction, clockwise from the right, so that the
        heads together cover the surroundings of the reference point.
        """
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
            # Distances are measured by the larger coordinate: points lie on squares around the reference point.
            longest = max(abs(x), abs(y))
            steps = [(x / longest * point, y / longest * point) for point in range(1, self.num_points + 1)]
            offsets += [step for _ in range(self.num_levels) for step in steps]
        bias = self.sampling_offsets.bias
        with torch.no_grad():
            bias.copy_(torch.tensor(offsets, device=bias.device).flatten())

    def forward(self, query: Tensor, reference_points: Tensor, value_tokens: Tensor, shapes: Shapes) -> Tensor:
        """Return the attended values of every query, [B, N, C].

        Args:
            query: [B, N, C].
            reference_points: [B or 1, N, L or 1, 2], (x, y) in 0 to 1 of each map.
            value_tokens: [B, S, C], the tokens of all maps, one map after the other.
            shapes: (H, W) of the maps.
        """
        batch, num_queries, _ = query.shape
        points_shape = (batch, num_queries, self.num_heads, self.num_levels, self.num_points)
        value = self.value_proj(value_tokens).unflatten(2, (self.num_heads, -1))
        dtype = torch.float64 if query.dtype == torch.float64 else torch.float32
        offsets = self.sampling_offsets(query).to(dtype).view(*points_shape, 2)
        # One softmax over the points of all maps: a query decides how much it takes from each resolution.
        weights = self.attention_weights(query).to(dtype).view(*points_shape[:3], -1).softmax(-1).view(points_shape)
        # Offsets are in pixels of each map, locations in fractions of its sides.
        sizes = torch.tensor([(width, height) for height, width in shapes], dtype=dtype, device=query.device)
        locations = reference_points.to(dtype)[:, :, None, :, None] + offsets / sizes[:, None]
        return self.output_proj(deformable_attention(value, shapes, locations, weights))
