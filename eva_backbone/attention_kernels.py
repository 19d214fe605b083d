"""Interchangeable attention kernels with one signature, and the automatic choice between them.

    kernel(query, key, value, scale, bias) -> output

query and output are [B, heads, N, head_dim], key and value are [B, heads, M, head_dim]; M equals N in self-attention.
The query is not scaled. `bias` is None, a dense bias of the logits that broadcasts to [B, heads, N, M], or a
`DecomposedBias`. Every kernel computes softmax(scale * q k^T + bias) v; tests compare each kernel with
`eager_attention`, including gradients. `flex` has no gradients on the CPU. `eager` and `sdpa` also accept a boolean
mask as the bias, True where a query may attend to a key.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Literal, cast

import torch
import torch.nn.functional as F

from .chunked_attention import chunked_attention
from .relative_position import DecomposedBias

Bias = torch.Tensor | DecomposedBias | None
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float, Bias], torch.Tensor]
KernelName = Literal["auto", "eager", "chunked", "sdpa", "xformers", "flex"]

# Kernel that "auto" uses on CUDA for decomposed biases. "sdpa" folds them into the heads (88 -> 248 columns on 80 x 80
# tokens), "flex" adds them element by element. `python -m benchmarks.compile` compares the two on a GPU; it has not run
# on one yet, so nothing is known in favour of "flex".
CUDA_DECOMPOSED: KernelName = "sdpa"
# Device type for which "auto" chooses; None stands for the device of the query.
_device_type: ContextVar[str | None] = ContextVar("device_type", default=None)


def dense_bias(bias: DecomposedBias) -> torch.Tensor:
    """Expand a decomposed bias to dense logits [B, heads, N, H * W]; for small grids and for comparison only."""
    return (bias.rel_h[..., :, None] + bias.rel_w[..., None, :]).flatten(-2)


def eager_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, bias: Bias = None
) -> torch.Tensor:
    """Compute attention directly from its formula, for [B, heads, N, head_dim]; memory grows with N * M.

    This is the reference for the other kernels.
    """
    logits = (query * scale) @ key.transpose(-2, -1)
    if bias is not None:
        bias = dense_bias(bias) if isinstance(bias, DecomposedBias) else bias
        # exp(-inf) is 0, so masked keys get no weight and no gradient.
        logits = logits.masked_fill(~bias, -torch.inf) if bias.dtype == torch.bool else logits + bias
    return logits.softmax(dim=-1) @ value


def fold_bias(
    query: torch.Tensor, key: torch.Tensor, scale: float, bias: DecomposedBias
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fold a decomposed bias into the dot product: [scale q | rel_h | rel_w] . [k | one-hot row | one-hot column].

    The one-hot columns of a key select the entries rel_h[row] and rel_w[column], so the product is exactly the biased
    logit. Fused kernels then need no bias argument, which would be an N x N tensor. The price is a head that is wider
    by H + W columns (248 instead of 88 on an 80 x 80 grid).

    Returns:
        Scaled query and key, each [B, heads, N, head_dim + H + W].
    """
    height, width = bias.rel_h.shape[-1], bias.rel_w.shape[-1]
    position = torch.arange(height * width, device=key.device)  # keys are the grid in row-major order
    one_hot = torch.cat([F.one_hot(position // width, height), F.one_hot(position % width, width)], dim=-1)
    one_hot = one_hot.to(key.dtype).expand(*key.shape[:2], -1, -1)
    query = torch.cat([query * scale, bias.rel_h.to(query.dtype), bias.rel_w.to(query.dtype)], dim=-1)
    return query, torch.cat([key, one_hot], dim=-1)


def sdpa_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, bias: Bias = None
) -> torch.Tensor:
    """Call PyTorch's fused attention, for [B, heads, N, head_dim]."""
    if isinstance(bias, DecomposedBias):
        query, key = fold_bias(query, key, scale, bias)
        # Flash kernels require that query, key and value have the same head width. Padding the value with zeros adds
        # output columns, which are dropped again. The scale is 1 because the query is scaled already.
        padded = F.pad(value, (0, query.shape[-1] - value.shape[-1]))
        return F.scaled_dot_product_attention(query, key, padded, scale=1.0)[..., : value.shape[-1]]
    mask = bias if bias is None or bias.dtype == torch.bool else bias.to(query.dtype)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


def xformers_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, bias: Bias = None
) -> torch.Tensor:
    """Call xFormers' memory-efficient attention, for [B, heads, N, head_dim] (optional extra `xformers`)."""
    from xformers.ops import memory_efficient_attention

    mask = None
    if isinstance(bias, DecomposedBias):
        query, key = fold_bias(query, key, scale, bias)
        scale = 1.0
    elif bias is not None:
        mask = bias.to(query.dtype).expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
        # xFormers requires that rows start at multiples of 8 elements: allocate padded rows and pass a view of them.
        mask = F.pad(mask, (0, -key.shape[2] % 8))[..., : key.shape[2]]
    heads_last = (x.transpose(1, 2) for x in (query, key, value))  # [B, N, heads, head_dim]
    return memory_efficient_attention(*heads_last, attn_bias=mask, scale=scale).transpose(1, 2)


def flex_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, bias: Bias = None
) -> torch.Tensor:
    """Call FlexAttention, which adds the bias element by element and never allocates N x N logits; compiled on CUDA."""
    from torch.nn.attention import flex_attention as flex

    kernel = _compiled_flex() if query.is_cuda else cast("Callable[..., torch.Tensor]", flex.flex_attention)
    add_bias = None
    if isinstance(bias, DecomposedBias):
        add_bias = _add_decomposed(bias)
    elif bias is not None:
        add_bias = _add_dense(bias.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2]))
    return kernel(query.contiguous(), key.contiguous(), value.contiguous(), score_mod=add_bias, scale=scale)


ScoreMod = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _add_decomposed(bias: DecomposedBias) -> ScoreMod:
    """Return FlexAttention's score modification for a decomposed bias; a key is row // W, row % W of the grid."""
    rel_h, rel_w, width = bias.rel_h, bias.rel_w, bias.rel_w.shape[-1]

    def add_bias(
        score: torch.Tensor, batch: torch.Tensor, head: torch.Tensor, row: torch.Tensor, column: torch.Tensor
    ) -> torch.Tensor:
        return score + rel_h[batch, head, row, column // width] + rel_w[batch, head, row, column % width]

    return add_bias


def _add_dense(table: torch.Tensor) -> ScoreMod:
    """Return FlexAttention's score modification for a dense bias [B, heads, N, M]."""

    def add_bias(
        score: torch.Tensor, batch: torch.Tensor, head: torch.Tensor, row: torch.Tensor, column: torch.Tensor
    ) -> torch.Tensor:
        return score + table[batch, head, row, column]

    return add_bias


@cache
def _compiled_flex() -> Callable[..., torch.Tensor]:
    from torch.nn.attention import flex_attention as flex

    return torch.compile(flex.flex_attention, dynamic=False)


KERNELS: dict[str, Kernel] = {
    "eager": eager_attention,
    "chunked": chunked_attention,
    "sdpa": sdpa_attention,
    "xformers": xformers_attention,
    "flex": flex_attention,
}


@contextmanager
def choose_kernels_for(device_type: str) -> Iterator[None]:
    """Let "auto" choose as it would on `device_type` ("cuda" or "cpu"), regardless of the device of the tensors.

    The memory planner needs this: it plans for a GPU with fake tensors on the CPU.
    """
    token = _device_type.set(device_type)
    try:
        yield
    finally:
        _device_type.reset(token)


def choose_kernel(name: KernelName, query: torch.Tensor, bias: Bias) -> Kernel:
    """Return the kernel called `name`, or for "auto" the best one for this device, dtype and bias.

    On the CPU in full precision, attention with a bias is computed in chunks of query rows: nearly at the speed of a
    matrix product, with bounded memory and with gradients for the bias. So is all attention in lower precision that
    needs no gradients; PyTorch's fused kernel multiplies bfloat16 on the CPU at a fraction of the speed of a matrix
    product. Everything else uses PyTorch's fused kernels, including boolean masks, and including exported programs: an
    export would fix the number of chunks for the batch size that it was traced with.

    Raises:
        ValueError: If `name` is unknown, or if the kernel does not support the boolean mask it is given.
    """
    is_boolean = isinstance(bias, torch.Tensor) and bias.dtype == torch.bool
    if name != "auto":
        if name not in KERNELS:
            raise ValueError(f"unknown attention kernel {name!r}: expected auto or one of {', '.join(KERNELS)}")
        if is_boolean and name not in ("eager", "sdpa"):
            raise ValueError(f"attention kernel {name!r} does not support a boolean bias: choose auto, eager or sdpa")
        return KERNELS[name]
    device_type = _device_type.get() or query.device.type
    full_precision = query.dtype in (torch.float32, torch.float64)
    # In full precision for biases; in lower precision always, but without gradients, which it would compute slowly.
    chunks = bias is not None if full_precision else not torch.is_grad_enabled()
    if chunks and device_type == "cpu" and not is_boolean and not torch.compiler.is_exporting():
        return chunked_attention
    if device_type == "cuda" and isinstance(bias, DecomposedBias):
        return KERNELS[CUDA_DECOMPOSED]
    return sdpa_attention
