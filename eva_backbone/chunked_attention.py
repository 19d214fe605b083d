"""Exact attention in chunks of query rows: bounded memory forward and backward, nearly matrix-product speed on CPU.

The forward pass keeps only its output. The backward pass recomputes the attention probabilities tile by tile, where a
tile is some query rows of some heads, so neither pass ever holds all N x M logits.

Shapes: G = batch * heads, N queries, M keys, d the width of a head.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any, NamedTuple

import torch

from .relative_position import DecomposedBias

# Size of the logits of one tile: large enough for full matrix-product speed, small enough for the last-level cache.
CHUNK_BYTES = 16 * 2**20

_num_computed: ContextVar[int | None] = ContextVar("num_computed", default=None)


@contextmanager
def only_memory_counts() -> Iterator[None]:
    """Leave out most of the computation in the block, whose results are meaningless but take the same memory.

    Tiles are computed one after the other, each in as much memory as the first. On tensors without values, thousands
    of tiles take minutes.
    """
    token = _num_computed.set(2)  # while the second is computed, the first may not be freed yet
    try:
        yield
    finally:
        _num_computed.reset(token)


class _Tile(NamedTuple):
    """A range of heads and a range of query rows; a tuple, so that `x[tile]` selects them from [G, N, ...]."""

    heads: slice  # of the flattened batch * heads axis, G
    rows: slice  # of the query axis, N


def _tiles(query: torch.Tensor, key: torch.Tensor, heads_per_image: int) -> Iterator[_Tile]:
    """Yield the tiles to compute: all of them, except in `only_memory_counts`."""
    return islice(_all_tiles(query, key, heads_per_image), _num_computed.get())


def _all_tiles(query: torch.Tensor, key: torch.Tensor, heads_per_image: int) -> Iterator[_Tile]:
    """Cut the query [G, N, d] into tiles whose logits against the key [G, M, d] take about CHUNK_BYTES.

    A tile stays within one image, because a dense bias that images share is indexed by the heads of one image.
    """
    num_heads, num_queries = query.shape[:2]
    row_bytes = key.shape[1] * query.element_size()
    # Prefer many rows of one head to a few rows of many heads: larger matrix products are faster.
    rows_per_tile = max(1, min(num_queries, CHUNK_BYTES // row_bytes))
    heads_per_tile = max(1, min(heads_per_image, CHUNK_BYTES // (rows_per_tile * row_bytes)))
    for first_head in range(0, num_heads, heads_per_image):
        last_head = first_head + heads_per_image
        for head in range(first_head, last_head, heads_per_tile):
            heads = slice(head, min(head + heads_per_tile, last_head))
            for row in range(0, num_queries, rows_per_tile):
                yield _Tile(heads, slice(row, min(row + rows_per_tile, num_queries)))


class _FlatBias(NamedTuple):
    """A bias with batch and heads flattened: `dense` alone, `rel_h` and `rel_w` together, or nothing."""

    dense: torch.Tensor | None  # [G, N, M], or [heads, N, M] if all images share it
    rel_h: torch.Tensor | None  # [G, N, H]
    rel_w: torch.Tensor | None  # [G, N, W], M = H * W


def _dense_index(dense: torch.Tensor, tile: _Tile) -> tuple[slice, slice]:
    """Return the index of a tile in a dense bias, which may have the heads of one image only."""
    start = tile.heads.start % len(dense)
    return slice(start, start + tile.heads.stop - tile.heads.start), tile.rows


def _probabilities(query: torch.Tensor, key_t: torch.Tensor, bias: _FlatBias, tile: _Tile) -> torch.Tensor:
    """Return the attention probabilities of one tile, [heads, rows, M].

    Args:
        query: Scaled query, [G, N, d].
        key_t: Transposed key, [G, d, M].
        bias: Bias of all logits.
        tile: Heads and query rows to compute.
    """
    q, k = query[tile], key_t[tile.heads]
    if bias.dense is not None:
        logits = torch.baddbmm(bias.dense[_dense_index(bias.dense, tile)], q, k)
    elif bias.rel_h is not None and bias.rel_w is not None:
        # The bias is dense only within the tile; the product is added in place, into the same memory.
        dense_tile = bias.rel_h[tile].unsqueeze(-1) + bias.rel_w[tile].unsqueeze(-2)
        logits = dense_tile.flatten(-2).baddbmm_(q, k)
    else:
        logits = torch.bmm(q, k)
    return torch.softmax(logits, dim=-1, out=logits)


def _attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: _FlatBias, heads: int) -> torch.Tensor:
    """Return the attention of the scaled query, key and value [G, N or M, d], with `heads` heads per image."""
    key_t = key.transpose(1, 2)
    output = _empty_output(query, value)
    for tile in _tiles(query, key, heads):
        torch.bmm(_probabilities(query, key_t, bias, tile), value[tile.heads], out=output[tile])
    return output


def _empty_output(query: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return value.new_empty(value.shape[0], query.shape[1], value.shape[2])


class _Gradients(NamedTuple):
    """Gradients of the query, key and value, and of those parts of the bias that need one."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    dense: torch.Tensor | None
    rel_h: torch.Tensor | None
    rel_w: torch.Tensor | None


def _zero_gradients(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: _FlatBias, needs_grad: Sequence[bool]
) -> _Gradients:
    """Allocate the gradients; `needs_grad` has an entry for each part of the bias."""
    of_bias = []
    for part, is_needed in zip(bias, needs_grad, strict=True):
        of_bias.append(torch.zeros_like(part) if part is not None and is_needed else None)
    # Each query row belongs to one tile, which writes its gradient. Keys and values take part in all tiles of their
    # head, whose contributions are summed; so does a dense bias that images share.
    return _Gradients(torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value), *of_bias)


def _differentiate(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: _FlatBias,
    output: torch.Tensor,
    heads_per_image: int,
    needs_grad: Sequence[bool],
) -> _Gradients:
    """Return the gradients, given that of the output of `_attend`."""
    key_t = key.transpose(1, 2)
    grad = grad.contiguous()
    # With p = softmax(z) and the gradient g of p, the gradient of z is p * (g - sum(p * g)) in each row. Here
    # g = grad v^T, so sum(p * g) = grad . (p v) = grad . output: the correction, [G, N, 1], needs no probabilities
    # and is computed once for all tiles.
    correction = (grad * output).sum(-1, keepdim=True)
    of = _zero_gradients(query, key, value, bias, needs_grad)
    for tile in _tiles(query, key, heads_per_image):
        heads = tile.heads
        p = _probabilities(query, key_t, bias, tile)
        of.value[heads].baddbmm_(p.transpose(1, 2), grad[tile])
        # From here on p is the gradient of the logits: a tile is the largest tensor of this pass, so reuse it.
        p.mul_(torch.bmm(grad[tile], value[heads].transpose(1, 2)).sub_(correction[tile]))
        of.query[tile] = torch.bmm(p, key[heads])
        of.key[heads].baddbmm_(p.transpose(1, 2), query[tile])
        if of.dense is not None:
            of.dense[_dense_index(of.dense, tile)] += p
        # rel_h adds one number to all logits of a key row, so its gradient is summed over columns; likewise rel_w.
        if of.rel_h is not None:
            of.rel_h[tile] = p.unflatten(-1, (of.rel_h.shape[-1], -1)).sum(-1)
        if of.rel_w is not None:
            of.rel_w[tile] = p.unflatten(-1, (-1, of.rel_w.shape[-1])).sum(-2)
    return of


class _ChunkedAttention(torch.autograd.Function):
    """Attention of the scaled query, key and value [G, N or M, d] with the parts of a `_FlatBias`."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        dense: torch.Tensor | None,
        rel_h: torch.Tensor | None,
        rel_w: torch.Tensor | None,
        heads_per_image: int,
    ) -> torch.Tensor:
        output = _attend(query, key, value, _FlatBias(dense, rel_h, rel_w), heads_per_image)
        _save_for_backward(ctx, (query, key, value, dense, rel_h, rel_w, heads_per_image), output)
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, dense, rel_h, rel_w, output = ctx.saved_tensors
        bias, needs_grad = _FlatBias(dense, rel_h, rel_w), ctx.needs_input_grad[3:6]
        return *_differentiate(grad, query, key, value, bias, output, ctx.heads_per_image, needs_grad), None


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    *tensors, ctx.heads_per_image = inputs
    ctx.save_for_backward(*tensors, output)


# For compiled programs, the two passes are operators that the compiler calls as they are. It would unroll the loops
# over tiles instead: hundreds of operations per block, another program for every size, and no bound on the memory.
@torch.library.custom_op("eva_backbone::chunked_attention", mutates_args=())
def _attend_op(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dense: torch.Tensor | None,
    rel_h: torch.Tensor | None,
    rel_w: torch.Tensor | None,
    heads_per_image: int,
) -> torch.Tensor:
    return _attend(query, key, value, _FlatBias(dense, rel_h, rel_w), heads_per_image)


@_attend_op.register_fake
def _(query: torch.Tensor, _: torch.Tensor, value: torch.Tensor, *__: Any) -> torch.Tensor:
    return _empty_output(query, value)


@torch.library.custom_op("eva_backbone::chunked_attention_backward", mutates_args=())
def _differentiate_op(
    grad: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    dense: torch.Tensor | None,
    rel_h: torch.Tensor | None,
    rel_w: torch.Tensor | None,
    output: torch.Tensor,
    heads_per_image: int,
    needs_grad: list[bool],
) -> list[torch.Tensor]:
    bias = _FlatBias(dense, rel_h, rel_w)
    gradients = _differentiate(grad, query, key, value, bias, output, heads_per_image, needs_grad)
    return [gradient for gradient in gradients if gradient is not None]


@_differentiate_op.register_fake
def _(_: torch.Tensor, *inputs: Any) -> list[torch.Tensor]:
    query, key, value, dense, rel_h, rel_w, _, _, needs_grad = inputs
    gradients = _zero_gradients(query, key, value, _FlatBias(dense, rel_h, rel_w), needs_grad)
    return [gradient for gradient in gradients if gradient is not None]


def _backward_of_op(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    *inputs, output = ctx.saved_tensors
    # Only parts that exist have a gradient, so the list that the operator returns is shorter than that of the inputs.
    needs_grad = [part is not None and needed for part, needed in zip(inputs, ctx.needs_input_grad[:6], strict=True)]
    needs_grad[:3] = [True] * 3
    gradients = iter(_differentiate_op(grad, *inputs, output, ctx.heads_per_image, needs_grad[3:]))
    return *(next(gradients) if is_needed else None for is_needed in needs_grad), None


_attend_op.register_autograd(_backward_of_op, setup_context=_save_for_backward)


def chunked_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    bias: torch.Tensor | DecomposedBias | None = None,
) -> torch.Tensor:
    """Compute softmax(scale * q k^T + bias) v for [B, heads, N, head_dim], about CHUNK_BYTES of logits at a time."""
    batch, heads = query.shape[:2]
    flat_bias = _FlatBias(None, None, None)
    if isinstance(bias, DecomposedBias):
        flat_bias = _FlatBias(None, bias.rel_h.flatten(0, 1), bias.rel_w.flatten(0, 1))
    elif bias is not None:
        images = 1 if bias.dim() < 4 else bias.shape[0]  # a bias that images share is not repeated
        dense = bias.expand(images, heads, query.shape[2], key.shape[2]).flatten(0, 1)
        # Under autocast the bias may still be in float32, but baddbmm requires the same dtype.
        flat_bias = _FlatBias(dense.to(query.dtype), None, None)
    query, key, value = (query * scale).flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1)
    # An exported program contains basic operations only, so that it runs without this package.
    is_compiling = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    attend = _attend_op if is_compiling else _ChunkedAttention.apply
    return attend(query, key, value, *flat_bias, heads).unflatten(0, (batch, heads))
