"""The attention module of all models: multi-head, with the biases and relative positions of the EVA releases."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn

from .attention_kernels import Bias, KernelName, choose_kernel, eager_attention
from .errors import InputError, check_choice
from .layer_norm import LayerNorm
from .relative_position import DecomposedBias, RelPosResize, decomposed_bias
from .relative_position_bias import (
    DecoupledRelativePositionBias,
    joint_bias,
    joint_table_rows,
    resize_joint_table,
)
from .rotary import Rotation, check_rotary, rotation_of

QKVBias = Literal["qv", "full", "none"]
QKVLayers = Literal["fused", "separate"]
RelPos = Literal["decomposed", "joint", "decoupled"]


class Attention(nn.Module):
    """Multi-head self-attention or cross-attention over token sequences [B, N, C].

    Parameters have the releases' names: `qkv` projects to query, key and value at once (BEiT, EVA), or `q_proj`,
    `k_proj` and `v_proj` do (EVA-02); `proj` projects back to C.

    Args:
        dim: Token width, C.
        num_heads: Number of heads.
        head_dim: Width of each head; C / num_heads by default.
        qkv_bias: "qv" learns `q_bias` and `v_bias` and leaves the key unbiased (BEiT, EVA); "full" learns one bias of
            length 3 * num_heads * head_dim, which "separate" layers do not have; "none" adds no bias.
        qkv_layers: "fused" for one projection `qkv`, "separate" for three.
        norm: Normalise the attended features before the last projection (`inner_attn_ln`, EVA-02's image towers).
        rope: Rotate queries and keys by the positions of their patches, see `rotary`.
        rope_range: Range of these positions, see `rotary.grid_rotation`.
        rel_pos: Layout of this block's own relative position tables, or None. "decomposed" depends on the query and
            requires that there is no class token; "joint" and "decoupled" are tables of logits in BEiT's layout and
            require exactly one class token.
        grid: (H, W) in tokens for which the relative position tables are created; ignored without `rel_pos`.
        rel_pos_resize: Method that resizes decomposed and joint tables for another grid.
        kernel: Name of the attention kernel, see `attention_kernels`.

    Raises:
        InputError: An option has an unknown value, `dim` is not divisible by `num_heads`, or options do not fit.
    """

    float32_parts = ("rel_pos_h", "rel_pos_w", "relative_position_bias_table")

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        head_dim: int | None = None,
        qkv_bias: QKVBias = "qv",
        qkv_layers: QKVLayers = "fused",
        norm: bool = False,
        rope: bool = False,
        rope_range: float | None = 16,
        rel_pos: RelPos | None = None,
        grid: tuple[int, int] | None = None,
        rel_pos_resize: RelPosResize = "vitdet",
        kernel: KernelName = "auto",
    ) -> None:
        super().__init__()
        check_choice("qkv_bias", qkv_bias, get_args(QKVBias))
        check_choice("qkv_layers", qkv_layers, get_args(QKVLayers))
        if qkv_layers == "separate" and qkv_bias == "full":
            raise InputError("qkv_bias='full' does not fit qkv_layers='separate'; choose 'qv' or 'none'.")
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
        if rope:
            check_rotary(self.head_dim)
        self.rope, self.rope_range = rope, rope_range
        inner = self.num_heads * self.head_dim
        self.q_bias: nn.Parameter | None = None
        self.v_bias: nn.Parameter | None = None
        if qkv_bias == "qv":
            self.q_bias = nn.Parameter(torch.zeros(inner))
            self.v_bias = nn.Parameter(torch.zeros(inner))
        self.rel_pos = rel_pos
        if rel_pos is not None:
            self._add_tables(rel_pos, grid)
        self.qkv_layers = qkv_layers
        if qkv_layers == "fused":
            self.qkv = nn.Linear(dim, 3 * inner, bias=qkv_bias == "full")
        else:
            self.q_proj = nn.Linear(dim, inner, bias=False)
            self.k_proj = nn.Linear(dim, inner, bias=False)
            self.v_proj = nn.Linear(dim, inner, bias=False)
        self.inner_attn_ln = LayerNorm(inner) if norm else nn.Identity()
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

    def _project_fused(self, x: torch.Tensor) -> torch.Tensor:
        """Project [B, N, C] to query, key and value, concatenated in [B, N, 3 * inner]."""
        if self.q_bias is None:
            return self.qkv(x)  # which adds a bias of its own, if it has one
        return _linear(self.qkv, x, self._qkv_bias())

    def _project(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Project the inputs of query, key and value, each [B, N, C], to [B, N, inner]."""
        if self.qkv_layers == "separate":
            layers = (self.q_proj, self.k_proj, self.v_proj)
            biases = (self.q_bias, None, self.v_bias)
            return [_linear(layer, x, bias) for layer, x, bias in zip(layers, inputs, biases, strict=True)]
        query, key, value = inputs
        if key is query and value is query:
            return list(self._project_fused(query).chunk(3, dim=-1))
        if type(self.qkv) is not nn.Linear:
            # The parts of a replaced layer are unknown: compute all three and keep the one that is needed.
            return [self._project_fused(x).chunk(3, dim=-1)[i] for i, x in enumerate(inputs)]
        bias = self._qkv_bias()
        weights = self.qkv.weight.chunk(3)
        thirds = (None, None, None) if bias is None else bias.chunk(3)
        return [F.linear(x, weight, third) for x, weight, third in zip(inputs, weights, thirds, strict=True)]

    def _rotate(
        self, query: torch.Tensor, key: torch.Tensor, grid: tuple[int, ...] | None, rotation: Rotation | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rotate query and key [B, heads, N, head_dim] by the positions of their patches, if the module does that."""
        if not self.rope:
            return query, key
        if rotation is None:
            rotation = rotation_of(grid, query.shape[2], self.head_dim, self.rope_range, query.device)
        return rotation.apply(query), rotation.apply(key)

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
        rotation: Rotation | None = None,
    ) -> torch.Tensor:
        """Return the attended tokens, [B, N, C].

        Args:
            x: Query tokens [B, N, C]; also keys and values unless given.
            grid: (H, W) of the patch tokens; required with `rel_pos` and `rope`.
            bias: Bias of the logits, for example a relative position that all blocks share, [heads, N, N]. In modules
                without `rel_pos`, alternatively a mask, bool [B, 1, N, M], that is True where a query may attend to a
                key, for at least one key of each query.
            key, value: Tokens to attend to, each [B, M, C]; give both or neither. Not with `rope`.
            rotation: Rotation of the tokens with `rope`, if they are not all tokens of the grid.
        """
        if key is None or value is None:
            key = value = x
        query, key, value = (self._split_heads(part) for part in self._project(x, key, value))
        query, key = self._rotate(query, key, grid, rotation)
        logit_bias = _sum_of(self._own_bias(query, grid), bias)
        attend = choose_kernel(self.kernel, query, logit_bias)
        out = attend(query, key, value, self.scale, logit_bias)
        return self.proj(self.inner_attn_ln(out.transpose(1, 2).flatten(2)))

    def attention_map(
        self, x: torch.Tensor, grid: tuple[int, ...] | None = None, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the self-attention weights of the tokens [B, N, C], [B, heads, N, N]; each row sums to 1.

        The arguments are those of `forward`. Memory grows with N ** 2.
        """
        query, key, _ = (self._split_heads(part) for part in self._project(x, x, x))
        query, key = self._rotate(query, key, grid, None)
        # With the i-th unit vector as the value of token i, the output is the matrix of weights itself.
        units = torch.eye(x.shape[1], dtype=query.dtype, device=query.device).expand(*query.shape[:2], -1, -1)
        return eager_attention(query, key, units, self.scale, _sum_of(self._own_bias(query, grid), bias))


def _linear(layer: nn.Module, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Apply a layer that has no bias of its own, and add `bias`."""
    if type(layer) is nn.Linear:
        return F.linear(x, layer.weight, bias)
    # A layer that replaces it, a low-rank adapter for example, computes more than its weight alone, so it must be
    # called.
    out = layer(x)
    return out if bias is None else out + bias.to(out.dtype)


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
