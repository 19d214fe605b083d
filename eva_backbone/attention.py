"""Multi-head self-attention with the biases and position terms of the published EVA models."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import nn

from .attention_kernels import Bias, KernelName, choose_kernel
from .relative_position import RelPosResize, decomposed_bias
from .relative_position_bias import (
    DecoupledRelativePositionBias,
    joint_bias,
    joint_table_rows,
    resize_joint_table,
)

QKVBias = Literal["qv", "full", "none"]
RelPos = Literal["decomposed", "joint", "decoupled"]


class Attention(nn.Module):
    """Self-attention over token sequences [B, N, C].

    Args:
        dim: token width, C.
        num_heads: heads; each is `head_dim` wide, C / num_heads unless given.
        qkv_bias: "qv" stores `q_bias` and `v_bias` and never biases the key (EVA, BEiT); "full" is one bias of 3 C.
        rel_pos: relative position owned by this block, or None. "decomposed" goes through the query and takes no class
            token; "joint" and "decoupled" are logit tables in BEiT's layout and take exactly one.
        grid: (H, W) the relative position tables are made for.
        rel_pos_resize: how decomposed and joint tables are resized for another grid.
        kernel: attention kernel, see `attention_kernels`.
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
        self.num_heads = num_heads
        self.head_dim = head_dim or dim // num_heads
        self.scale = self.head_dim**-0.5
        self.grid = grid
        self.rel_pos_resize = rel_pos_resize
        self.kernel = kernel
        inner = self.num_heads * self.head_dim
        if qkv_bias == "qv":
            self.q_bias = nn.Parameter(torch.zeros(inner))
            self.v_bias = nn.Parameter(torch.zeros(inner))
        else:
            self.q_bias = self.v_bias = None
        if rel_pos == "decomposed":
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * grid[0] - 1, self.head_dim))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * grid[1] - 1, self.head_dim))
        elif rel_pos == "joint":
            self.relative_position_bias_table = nn.Parameter(torch.zeros(joint_table_rows(grid), num_heads))
        elif rel_pos == "decoupled":
            self.rel_pos_bias = DecoupledRelativePositionBias(grid, num_heads)
        self.rel_pos = rel_pos
        self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias == "full")
        self.proj = nn.Linear(inner, dim)

    def _own_bias(self, query: torch.Tensor, grid: tuple[int, int]) -> Bias:
        if self.rel_pos == "decomposed":
            return decomposed_bias(query, self.rel_pos_h, self.rel_pos_w, grid, self.rel_pos_resize)
        if self.rel_pos == "joint":
            table = resize_joint_table(self.relative_position_bias_table, self.grid, grid, self.rel_pos_resize)
            return joint_bias(table, grid)
        if self.rel_pos == "decoupled":
            return self.rel_pos_bias(grid)
        return None

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        """[B, N, C] to query, key and value [B, N, 3 * inner], biases added."""
        bias = self.qkv.bias
        if self.q_bias is not None:
            bias = torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])
        if type(self.qkv) is nn.Linear:
            return F.linear(x, self.qkv.weight, bias)
        # A layer put in the place of `qkv`, a low-rank adapter for example, knows more than its weight.
        qkv = self.qkv(x)
        return qkv if self.q_bias is None else qkv + bias.to(qkv.dtype)

    def forward(self, x: torch.Tensor, grid: tuple[int, ...], shared_bias: torch.Tensor | None = None) -> torch.Tensor:
        """[B, N, C] to [B, N, C]; `grid` lays out the patch tokens, `shared_bias` [heads, N, N] is the model's own."""
        batch, tokens, _ = x.shape
        qkv = self._project(x).view(batch, tokens, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, N, head_dim]
        logit_bias = self._own_bias(query, grid)
        if shared_bias is not None:
            logit_bias = shared_bias if logit_bias is None else logit_bias + shared_bias
        attend = choose_kernel(self.kernel, query, logit_bias)
        out = attend(query, key, value, self.scale, logit_bias)
        return self.proj(out.transpose(1, 2).reshape(batch, tokens, -1))
