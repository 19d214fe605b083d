"""Decomposed relative position (MViTv2, ViTDet): one learned table per axis, added to the logits through the query.

A table has 2 n - 1 rows for n tokens on its axis; row r stands for the distance (query - key) = r - (n - 1). Tables of
another length are resized, in one of two ways: "vitdet", linear, or "beit", a cubic spline over geometrically spaced
abscissae as in BEiT's transfer to larger images.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .constant_cache import cached_constant

RelPosResize = Literal["vitdet", "beit"]
BEIT_RATIO = 1.0903078  # BEiT's search for 14 -> 24 tokens; published EVA figures use it for every size


class DecomposedBias(NamedTuple):
    """Logit terms per query: rel_h [B, heads, N, H] for each key row, rel_w [B, heads, N, W] for each key column."""

    rel_h: torch.Tensor
    rel_w: torch.Tensor


@torch.compiler.assume_constant_result  # SciPy cannot be traced
@cached_constant(maxsize=64)
def beit_resize_matrix(length: int, num_tokens: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The constant matrix [2 num_tokens - 1, length] that resizes a table of odd `length` in the "beit" way.

    Interpolation is linear in the table, so the spline through each unit vector gives one column. Source abscissae grow
    as a geometric series with BEIT_RATIO; outside their range the end polynomials go on.
    """
    from scipy.interpolate import make_interp_spline  # slow to import

    half = length // 2
    positive = np.cumsum(BEIT_RATIO ** np.arange(half))  # 1, 1 + q, 1 + q + q^2, ...
    source = np.concatenate([-positive[::-1], [0.0], positive])
    target = np.arange(-(num_tokens - 1), num_tokens, dtype=np.float64)
    spline = make_interp_spline(source, np.eye(length), k=min(3, length - 1))
    with torch.inference_mode(False):  # training in the same process may use it later
        return torch.from_numpy(np.ascontiguousarray(spline(target))).to(device, dtype)


def resize_rel_pos(table: torch.Tensor, num_tokens: int, method: RelPosResize) -> torch.Tensor:
    """Resize a table [L, head_dim] to [2 num_tokens - 1, head_dim]; differentiable, unchanged where L fits already."""
    length = 2 * num_tokens - 1
    if table.shape[0] == length:
        return table
    if method == "vitdet":
        return F.interpolate(table.T[None].float(), size=length, mode="linear")[0].T.to(table.dtype)
    # float64 as in the original where the device has it
    dtype = torch.float32 if table.device.type == "mps" else torch.float64
    matrix = beit_resize_matrix(table.shape[0], num_tokens, table.device, dtype)
    return (matrix @ table.to(dtype)).to(table.dtype)


def axis_embeddings(table: torch.Tensor, num_tokens: int, method: RelPosResize) -> torch.Tensor:
    """Rows of the (resized) table for each query and key position of one axis: [n, n, head_dim]."""
    table = resize_rel_pos(table, num_tokens, method)
    position = torch.arange(num_tokens, device=table.device)
    return table[position[:, None] - position[None, :] + num_tokens - 1]


def decomposed_bias(
    query: torch.Tensor,
    table_h: torch.Tensor,
    table_w: torch.Tensor,
    grid: tuple[int, int],
    method: RelPosResize,
) -> DecomposedBias:
    """Logit terms of unscaled queries [B, heads, H * W, head_dim] on `grid` (H, W)."""
    height, width = grid
    batch, heads, tokens, dim = query.shape
    query = query.reshape(batch * heads, height, width, dim)
    rel_h = axis_embeddings(table_h, height, method).to(query.dtype)  # [H, H, d]
    rel_w = axis_embeddings(table_w, width, method).to(query.dtype)  # [W, W, d]
    terms_h = torch.einsum("bhwd,hkd->bhwk", query, rel_h)
    terms_w = torch.einsum("bhwd,wkd->bhwk", query, rel_w)
    return DecomposedBias(
        terms_h.reshape(batch, heads, tokens, height),
        terms_w.reshape(batch, heads, tokens, width),
    )
