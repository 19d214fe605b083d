"""Exact attention in blocks of query rows: memory bounded in both directions, near the matrix rate on CPU.

The forward pass keeps no probabilities; the backward pass computes those of one tile, some rows of some heads, at a
time again.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch

from .relative_position import DecomposedBias

# logits alive at a time: enough for the matrix rate, and small enough for the last-level cache
BLOCK_BYTES = 16 * 2**20


class _Tile(NamedTuple):
    heads: slice  # of the flattened batch x heads axis
    rows: slice  # of the query axis


def _tiles(num_heads: int, num_queries: int, num_keys: int, element_size: int, heads_per_image: int) -> Iterator[_Tile]:
    """Cut [num_heads, num_queries] into tiles whose logits take about BLOCK_BYTES; a tile stays within one image."""
    rows = max(1, min(num_queries, BLOCK_BYTES // (num_keys * element_size)))
    heads = max(1, min(heads_per_image, BLOCK_BYTES // (rows * num_keys * element_size)))
    for image in range(0, num_heads, heads_per_image):
        for head in range(image, image + heads_per_image, heads):
            for row in range(0, num_queries, rows):
                yield _Tile(
                    slice(head, min(head + heads, image + heads_per_image)), slice(row, min(row + rows, num_queries))
                )


class _Terms(NamedTuple):
    """A flattened bias: `first` alone is dense, [G or heads, N, N]; both are rel_h [G, N, H] and rel_w [G, N, W]."""

    first: torch.Tensor | None
    second: torch.Tensor | None


def _dense_heads(num_heads: int, tile: _Tile) -> slice:
    """The heads of a dense bias, which images may share."""
    start = tile.heads.start % num_heads
    return slice(start, start + tile.heads.stop - tile.heads.start)


def _probabilities(query: torch.Tensor, key_t: torch.Tensor, terms: _Terms, tile: _Tile) -> torch.Tensor:
    """Softmax of one tile: [heads, rows, keys]. `query` is scaled already."""
    q, k = query[tile], key_t[tile.heads]
    if terms.first is None:
        logits = torch.bmm(q, k)
    elif terms.second is None:
        logits = torch.baddbmm(terms.first[_dense_heads(len(terms.first), tile), tile.rows], q, k)
    else:
        logits = (terms.first[tile].unsqueeze(-1) + terms.second[tile].unsqueeze(-2)).flatten(-2).baddbmm_(q, k)
    return torch.softmax(logits, dim=-1, out=logits)


class _ChunkedAttention(torch.autograd.Function):
    """Takes query (scaled), key and value flattened to [G, N, d], G = B * heads, and the bias terms."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        first: torch.Tensor | None,
        second: torch.Tensor | None,
        heads_per_image: int,
    ) -> torch.Tensor:
        terms, key_t = _Terms(first, second), key.transpose(1, 2)
        output = torch.empty_like(value[:, :1].expand(-1, query.shape[1], -1), memory_format=torch.contiguous_format)
        for tile in _tiles(len(query), query.shape[1], key.shape[1], query.element_size(), heads_per_image):
            torch.bmm(_probabilities(query, key_t, terms, tile), value[tile.heads], out=output[tile])
        ctx.save_for_backward(query, key, value, first, second, output)
        ctx.heads_per_image = heads_per_image
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, first, second, output = ctx.saved_tensors
        terms, key_t = _Terms(first, second), key.transpose(1, 2)
        grad = grad.contiguous()
        # [G, N, 1]: what the softmax subtracts from the gradient of every logit of a row
        correction = (grad * output).sum(-1, keepdim=True)
        grad_query = torch.empty_like(query)
        grad_key, grad_value = torch.zeros_like(key), torch.zeros_like(value)
        grad_first = torch.zeros_like(first) if ctx.needs_input_grad[3] else None
        grad_second = torch.zeros_like(second) if ctx.needs_input_grad[4] else None
        for tile in _tiles(len(query), query.shape[1], key.shape[1], query.element_size(), ctx.heads_per_image):
            heads = tile.heads
            p = _probabilities(query, key_t, terms, tile)
            grad_value[heads].baddbmm_(p.transpose(1, 2), grad[tile])
            # p becomes the gradient of the logits
            p.mul_(torch.bmm(grad[tile], value[heads].transpose(1, 2)).sub_(correction[tile]))
            grad_query[tile] = torch.bmm(p, key[heads])
            grad_key[heads].baddbmm_(p.transpose(1, 2), query[tile])
            if second is None and grad_first is not None:
                grad_first[_dense_heads(len(grad_first), tile), tile.rows] += p
            elif second is not None:
                grid = p.unflatten(-1, (first.shape[-1], second.shape[-1]))
                if grad_first is not None:
                    grad_first[tile] = grid.sum(-1)
                if grad_second is not None:
                    grad_second[tile] = grid.sum(-2)
        return grad_query, grad_key, grad_value, grad_first, grad_second, None


def chunked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    bias: torch.Tensor | DecomposedBias | None = None,
) -> torch.Tensor:
    """softmax(scale * q k^T + bias) v for [B, heads, N, head_dim], with about BLOCK_BYTES of logits alive at a time."""
    batch, heads = query.shape[:2]
    first: torch.Tensor | None = None
    second: torch.Tensor | None = None
    if isinstance(bias, DecomposedBias):
        first, second = bias.rel_h.flatten(0, 1), bias.rel_w.flatten(0, 1)
    elif bias is not None:
        images = 1 if bias.dim() < 4 else bias.shape[0]  # a bias that images share is not repeated
        first = bias.expand(images, heads, query.shape[2], key.shape[2]).flatten(0, 1).to(query.dtype)  # autocast
    flat = ((query * scale).flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
    return _ChunkedAttention.apply(*flat, first, second, heads).unflatten(0, (batch, heads))
