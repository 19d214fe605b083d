"""The one attention module: multi-head, with the biases and position terms of the published EVA models."""

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
    """Multi-head attention over token sequences [B, N, C], of the tokens to themselves or to others.

    Parameters have BEiT's names: `qkv` is one layer for query, key and value, `proj` leads back to the token width.

    Args:
        dim: token width, C.
        num_heads: heads; each is `head_dim` wide, C / num_heads unless given.
        qkv_bias: "qv" stores `q_bias` and `v_bias` and never biases the key (EVA, BEiT); "full" is one bias of 3 C;
            "none" is none.
        rel_pos: relative position owned by this block, or None. "decomposed" goes through the query and takes no class
            token; "joint" and "decoupled" are logit tables in BEiT's layout and take exactly one.
        grid: (H, W) in tokens that the relative position tables are made for; not needed without them.
        rel_pos_resize: how decomposed and joint tables are resized for another grid.
        kernel: attention kernel, see `attention_kernels`.

    Raises:
        InputError: a word that is none of those above, or a width that the heads cannot share.
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
            raise InputError(f"{num_heads} heads cannot share a width of {dim}: give num_heads that divide it")
        self.num_heads = num_heads
        self.head_dim = head_dim or dim // num_heads
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
        height, width = self.grid = _check_grid(grid)
        if rel_pos == "decomposed":
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * height - 1, self.head_dim))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * width - 1, self.head_dim))
        elif rel_pos == "joint":
            self.relative_position_bias_table = nn.Parameter(torch.zeros(joint_table_rows(self.grid), self.num_heads))
        else:
            self.rel_pos_bias = DecoupledRelativePositionBias(self.grid, self.num_heads)

    def _own_bias(self, query: torch.Tensor, grid: tuple[int, ...] | None) -> Bias:
        """What this module's relative position adds to the logits of unscaled queries [B, heads, N, head_dim]."""
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
        """[3 * inner], or None."""
        if self.q_bias is None or self.v_bias is None:
            return self.qkv.bias
        return torch.cat([self.q_bias, torch.zeros_like(self.v_bias), self.v_bias])

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        """[B, N, C] to query, key and value side by side [B, N, 3 * inner], biases added."""
        if type(self.qkv) is nn.Linear:
            return F.linear(x, self.qkv.weight, self._qkv_bias())
        # A layer put in the place of `qkv`, a low-rank adapter for example, knows more than its weight.
        qkv, bias = self.qkv(x), self._qkv_bias()
        return qkv if self.q_bias is None or bias is None else qkv + bias.to(qkv.dtype)

    def _project_each(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Inputs of query, key and value, each [B, N, C], through their own thirds of `qkv` to [B, N, inner]."""
        if type(self.qkv) is not nn.Linear:
            return [self._project(x).chunk(3, dim=-1)[i] for i, x in enumerate(inputs)]
        bias = self._qkv_bias()
        biases = (None,) * 3 if bias is None else bias.chunk(3)
        return [F.linear(*part) for part in zip(inputs, self.qkv.weight.chunk(3), biases, strict=True)]

    def forward(
        self,
        x: torch.Tensor,
        grid: tuple[int, ...] | None = None,
        bias: torch.Tensor | None = None,
        *,
        key: torch.Tensor | None = None,
        value: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """[B, N, C] to [B, N, C].

        Args:
            x: the tokens that ask, and those that are asked unless `key` and `value` are given.
            grid: (H, W) of the patch tokens, for modules with a relative position.
            bias: added to the logits, such as a relative position that all blocks share [heads, N, N]; or, in modules
                without a relative position, the keys that a query may attend to, bool [B, 1, N, M], at least one each.
            key, value: other tokens [B, M, C], both or neither.
        """
        if key is None or value is None:
            qkv = list(self._project(x).chunk(3, dim=-1))
        else:
            qkv = self._project_each(x, key, value)
        heads = (part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for part in qkv)
        query, key, value = heads  # each [B, heads, N or M, head_dim]
        logit_bias = _sum_of(self._own_bias(query, grid), bias)
        attend = choose_kernel(self.kernel, query, logit_bias)
        out = attend(query, key, value, self.scale, logit_bias)
        return self.proj(out.transpose(1, 2).flatten(2))

    def attention_map(
        self, x: torch.Tensor, grid: tuple[int, ...] | None = None, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the attention weights of the tokens [B, N, C] to each other, [B, heads, N, N]; rows sum to 1.

        The arguments are those of `forward`. Memory grows with N ** 2.
        """
        query, key, _ = (
            part.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for part in self._project(x).chunk(3, dim=-1)
        )
        # The value of token i is the i-th unit vector, so that the output holds the weights themselves.
        units = torch.eye(x.shape[1], dtype=query.dtype, device=query.device).expand(*query.shape[:2], -1, -1)
        return eager_attention(query, key, units, self.scale, _sum_of(self._own_bias(query, grid), bias))


def _check_grid(grid: tuple[int, ...] | None) -> tuple[int, int]:
    if grid is None or len(grid) != 2:
        raise ValueError(f"relative positions are laid out for a grid (H, W) of patches, not for {grid}")
    height, width = grid
    return height, width


def _sum_of(own: Bias, given: torch.Tensor | None) -> Bias:
    if own is None or given is None:
        return given if own is None else own
    if isinstance(own, DecomposedBias):
        raise ValueError("a decomposed relative position goes with no other bias")
    return own + given
