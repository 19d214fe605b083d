"""Decomposed relative position (MViTv2, ViTDet): one learned table per axis, multiplied with the query.

A table has 2 n - 1 rows for n tokens along its axis; row r belongs to the distance (query - key) = r - (n - 1). Tables
of another length are resized by one of two methods: "vitdet" interpolates linearly; "beit" fits a cubic spline through
geometrically spaced points, as in BEiT's transfer to larger images.
"""

from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .constant_cache import cached_constant

RelPosResize = Literal["vitdet", "beit"]
# Ratio of the geometric series of points. BEiT searches it for each pair of sizes; this is its result for 14 -> 24
# tokens, which the published EVA results use for all sizes.
BEIT_RATIO = 1.0903078


class DecomposedBias(NamedTuple):
    """A bias of the logits as one term for the row and one for the column of a key.

    The bias of query i and the key in row y and column x is rel_h[i, y] + rel_w[i, x]. Kept apart, the terms take
    N * (H + W) numbers per head instead of the N * H * W of a dense bias.
    """

    rel_h: torch.Tensor  # [B, heads, N, H]
    rel_w: torch.Tensor  # [B, heads, N, W]


@cached_constant(maxsize=64)
def beit_resize_matrix(length: int, num_tokens: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return the constant matrix [2 num_tokens - 1, length] that resizes a table of odd `length` by the "beit" method.

    Interpolation is linear in the table values, so the spline through each unit vector gives one column of a matrix,
    and a matrix product is differentiable where SciPy is not. The rows of the table become points at the distances 0,
    1, 1 + q, 1 + q + q^2, ... to both sides, q = BEIT_RATIO: short distances keep nearly their rows, and long ones are
    stretched to cover the larger grid. Beyond the outermost points, the end polynomials of the spline extrapolate.
    """
    from scipy.interpolate import make_interp_spline  # slow to import

    half = length // 2
    positive = np.cumsum(BEIT_RATIO ** np.arange(half))  # 1, 1 + q, 1 + q + q^2, ...
    source = np.concatenate([-positive[::-1], [0.0], positive])
    target = np.arange(-(num_tokens - 1), num_tokens, dtype=np.float64)
    spline = make_interp_spline(source, np.eye(length), k=min(3, length - 1))
    # The result is cached. A tensor made in inference mode could not be used by a training step later.
    with torch.inference_mode(False):
        return torch.from_numpy(np.ascontiguousarray(spline(target))).to(device, dtype)


# For exported programs: SciPy cannot be traced. `torch.compiler.assume_constant_result` does the same, but imports the
# compiler first, which takes seconds.
beit_resize_matrix._dynamo_marked_constant = True  # type: ignore[attr-defined]


# For compiled programs, which call it as it is: a constant would have to be compiled again for every grid.
@torch.library.custom_op("eva_backbone::beit_resize_matrix", mutates_args=())
def _beit_resize_matrix_op(table: torch.Tensor, num_tokens: int) -> torch.Tensor:
    # A copy, because the result of an operator must be its own and the cached matrix belongs to all callers.
    return beit_resize_matrix(len(table), num_tokens, table.device, table.dtype).clone()


@_beit_resize_matrix_op.register_fake
def _(table: torch.Tensor, num_tokens: int) -> torch.Tensor:
    return table.new_empty(2 * num_tokens - 1, len(table))


def resize_rel_pos(table: torch.Tensor, num_tokens: int, method: RelPosResize) -> torch.Tensor:
    """Resize a table [L, head_dim] to [2 num_tokens - 1, head_dim], differentiably; unchanged if L fits already."""
    length = 2 * num_tokens - 1
    if table.shape[0] == length:
        return table
    if method == "vitdet":
        return F.interpolate(table.T[None].float(), size=length, mode="linear")[0].T.to(table.dtype)
    # The original computes in float64, which Apple's GPUs do not support.
    wide = table.to(torch.float32 if table.device.type == "mps" else torch.float64)
    if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
        matrix = _beit_resize_matrix_op(wide.detach(), num_tokens)
    else:
        matrix = beit_resize_matrix(len(wide), num_tokens, table.device, wide.dtype)
    return (matrix @ wide).to(table.dtype)


def axis_embeddings(table: torch.Tensor, num_tokens: int, method: RelPosResize) -> torch.Tensor:
    """Return the row of the (resized) table for each query and key position of one axis, [n, n, head_dim]."""
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
    """Return the bias of unscaled queries [B, heads, H * W, head_dim] on `grid` (H, W).

    The embedding of an offset is the sum of one for its rows and one for its columns, so the product of the query with
    it splits into a row term and a column term.
    """
    height, width = grid
    batch, heads, tokens, dim = query.shape
    query = query.reshape(batch * heads, height, width, dim)
    rel_h = axis_embeddings(table_h, height, method).to(query.dtype)  # [H, H, d]
    rel_w = axis_embeddings(table_w, width, method).to(query.dtype)  # [W, W, d]
    # For each query at row h and column w: its product with the embedding of each key row k, and each key column k.
    terms_h = torch.einsum("bhwd,hkd->bhwk", query, rel_h)
    terms_w = torch.einsum("bhwd,wkd->bhwk", query, rel_w)
    return DecomposedBias(
        terms_h.reshape(batch, heads, tokens, height),
        terms_w.reshape(batch, heads, tokens, width),
    )
