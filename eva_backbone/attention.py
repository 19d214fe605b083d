"""The attention module of all models: multi-head, with the biases and relative positions of the EVA releases."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from .attention_kernels import Bias, KernelName, choose_kernel, eager_attention
from .errors import InputError, check_choice
from .relative_position import DecomposedBias, RelPosResize, decomposed_bias
from .relative_position_bias import (
    DecoupledRelativePositionBias,
    joint_bias,
    joint_table_rows,
    resize_joint_table,
)

QKVBias = Literal["qv", "full", "none"]
RelPos = Literal["decomposed", "joint", "decoupled"]


class Attention(nn.Module):
    """Multi-head self-attention or cross-attention over token sequences [B, N, C].

    Parameters have BEiT's names: `qkv` projects to query, key and value at once, `proj` projects back to C.

    Args:
        dim: Token width, C.
        num_heads: Number of heads.
        head_dim: Width of each head; C / num_heads by default.
        qkv_bias: "qv" learns `q_bias` and `v_bias` and leaves the key unbiased (BEiT, EVA); "full" learns one bias of
            length 3 * num_heads * head_dim; "none" adds no bias.
        rel_pos: Layout of this block's own relative position tables, or None. "decomposed" depends on the query and
            requires that there is no class token; "joint" and "decoupled" are tables of logits in BEiT's layout and
            require exactly one class token.
        grid: (H, W) in tokens for which the relative position tables are created; ignored without `rel_pos`.
        rel_pos_resize: Method that resizes decomposed and joint tables for another grid.
        kernel: Name of the attention kernel, see `attention_kernels`.

    Raises:
        InputError: If an option has an unknown value, or if `dim` is not divisible by `num_heads`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        head_dim: int | None = None,
        qkv_bias: QKVBias = "qv",
        rel_pos: RelPos | None = None,
        grid: tuple[int, int] | None = None,
        rel_pos_resize: RelPosResize = "vitdet",
        kernel: KernelName = "auto",
    ) -> None:
        super().__init__()
        check_choice("qkv_bias", qkv_bias, get_args(QKVBias))
        check_choice("rel_pos_resize", rel_pos_resize, get_args(RelPosResize))
        if rel_pos is not None:
            check_choice("rel_pos", rel_pos, get_args(RelPos))
        if not head_dim and dim % num_heads:
            raise InputError(
                f"dim={dim} is not divisible by num_heads={num_heads}: give a number of heads that divides it"
            )
        self.num_heads = num_heads
        self.head_dim = head_dim or dim // num_heads
        # The product of two random unit-variance vectors of length head_dim has the variance head_dim. The scale brings
        # it back to 1, so that the softmax is not saturated at the start.
        self.scale = self.head_dim**-0.5
        self.rel_pos_resize = rel_pos_resize
        self.kernel = kernel
        inner = self.num_heads * self.head_dim
        self.q_bias: nn.Parameter | None = None
        self.v_bias: nn.Parameter | None = None
        if qkv_bias == "qv":
            self.q_bias = nn.Parameter(torch.zeros(inner))
            self.v_bias = nn.Parameter(torch.zeros(inner))
        self.rel_pos = rel_pos
        if rel_pos is not None:
            self._add_tables(rel_pos, grid)
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias == "full")
        self.proj = nn.Linear(inner, dim)

    def _add_tables(self, rel_pos: RelPos, grid: tuple[int, int] | None) -> None:
        # Along an axis of n tokens, distances range from -(n - 1) to n - 1: a decomposed table has 2 * n - 1 rows. All
        # tables start at zero, so a model that was pre-trained without them computes the same as before.
        height, width = self.grid = _check_grid(grid)
        if rel_pos == "decomposed":
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * height - 1, self.head_dim))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * width - 1, self.head_dim))
        elif rel_pos == "joint":
            self.relative_position_bias_table = nn.Parameter(torch.zeros(joint_table_rows(self.grid), self.num_heads))
        else:
            self.rel_pos_bias = DecoupledRelativePositionBias(self.grid, self.num_heads)

    def _own_bias(self, query: torch.Tensor, grid: tuple[int, ...] | None) -> Bias:
        """Return the bias of this module's own relative position tables, for unscaled queries [B, heads, N, head_dim].

        Only the decomposed bias depends on the queries. It takes them unscaled, as ViTDet does: 1 / sqrt(head_dim)
        scales the product with the keys alone.
        """
        if self.rel_pos is None:
            return None
        sides = _check_grid(grid)
        if self.rel_pos == "decomposed":
            return decomposed_bias(query, self.rel_pos_h, self.rel_pos_w, sides, self.rel_pos_resize)
        if self.rel_pos == "joint":
            table = resize_joint_table(self.relative_position_bias_table, self.grid, sides, self.rel_pos_resize)
            return joint_bias(table, sides)
        return self.rel_pos_bias(sides)

    def _qkv_bias(self) -> torch.Tensor | None:
        """Return the bias of query, key and value, [3 * inner], or None."""
        if self.q_bias is None or self.v_bias is None:
            return self.qkv.bias
        # A bias of the key adds the same number to all logits of a query, which the softmax cancels. BEiT therefore
        # has none, and zeros stand in for it.
        return torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        """Project [B, N, C] to query, key and value, concatenated in [B, N, 3 * inner]."""
        if type(self.qkv) is nn.Linear:
            return F.linear(x, self.qkv.weight, self._qkv_bias())
        # A layer that replaces `qkv`, a low-rank adapter for example, computes more than its weight alone, so it must
        # be called. It adds `qkv.bias` itself; only BEiT's separate biases are missing.
        qkv = self.qkv(x)
        if self.q_bias is None:
            return qkv
        bias = self._qkv_bias()
        assert bias is not None
        return qkv + bias.to(qkv.dtype)

    def _project_each(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Project the inputs of query, key and value, each [B, N, C], by their thirds of `qkv` to [B, N, inner]."""
        if type(self.qkv) is not nn.Linear:
            # The parts of a replaced layer are unknown: compute all three and keep the one that is needed.
            return [self._project(x).chunk(3, dim=-1)[i] for i, x in enumerate(inputs)]
        bias = self._qkv_bias()
        weights = self.qkv.weight.chunk(3)
        biases = (None, None, None) if bias is None else bias.chunk(3)
        return [F.linear(x, weight, part) for x, weight, part in zip(inputs, weights, biases, strict=True)]

    def _split_heads(self, x: torch.Tensor) -> torch.Tensor:
        """Reshape [B, N, heads * head_dim] to [B, heads, N, head_dim]."""
        return x.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)

    def forward(
        self,
        x: torch.Tensor,
        grid: tuple[int, ...] | None = None,
        bias: torch.Tensor | None = None,
        *,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the attended tokens, [B, N, C].

        Args:
            x: Query tokens [B, N, C]; also keys and values unless given.
            grid: (H, W) of the patch tokens; required with `rel_pos`.
            bias: Bias of the logits, for example a relative position that all blocks share, [heads, N, N]. In modules
                without `rel_pos`, alternatively a mask, bool [B, 1, N, M], that is True where a query may attend to a
                key, for at least one key of each query.
            key, value: Tokens to attend to, each [B, M, C]; give both or neither.
        """
        if key is None or value is None:
            qkv = list(self._project(x).chunk(3, dim=-1))
        else:
            qkv = self._project_each(x, key, value)
        query, key, value = (self._split_heads(part) for part in qkv)
        logit_bias = _sum_of(self._own_bias(query, grid), bias)
        attend = choose_kernel(self.kernel, query, logit_bias)
        out = attend(query, key, value, self.scale, logit_bias)
        return self.proj(out.transpose(1, 2).flatten(2))

    def attention_map(
        self, x: torch.Tensor, grid: tuple[int, ...] | None = None, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the self-attention weights of the tokens [B, N, C], [B, heads, N, N]; each row sums to 1.

        The arguments are those of `forward`. Memory grows with N ** 2.
        """
        query, key, _ = (self._split_heads(part) for part in self._project(x).chunk(3, dim=-1))
        # With the i-th unit vector as the value of token i, the output is the matrix of weights itself.
        units = torch.eye(x.shape[1], dtype=query.dtype, device=query.device).expand(*query.shape[:2], -1, -1)
        return eager_attention(query, key, units, self.scale, _sum_of(self._own_bias(query, grid), bias))


def _check_grid(grid: tuple[int, ...] | None) -> tuple[int, int]:
    if grid is None or len(grid) != 2:
        raise ValueError(f"relative positions need a grid (H, W) of patches, got {grid}")
    height, width = grid
    return height, width


def _sum_of(own: Bias, given: torch.Tensor | None) -> Bias:
    if own is None:
        return given
    if given is None:
        return own
    if isinstance(own, DecomposedBias):
        # The sum would have to be dense, [B, heads, N, N], which the decomposition exists to avoid.
        raise ValueError("a decomposed relative position cannot be combined with another bias")
    return own + given
