"""The MLPs of the blocks: two layers with a GELU, and the gated one of EVA-02."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from timm.layers import Mlp
from torch import nn

from .errors import check_choice
from .layer_norm import LayerNorm

MlpKind = Literal["gelu", "swiglu", "packed_swiglu"]


class NormedMlp(nn.Module):
    """Two layers with a GELU and a LayerNorm of the hidden features between them.

    Args:
        dim: Token width, C.
        hidden: Hidden width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.ffn_ln = LayerNorm(hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens [..., C] to [..., C]."""
        return self.fc2(self.ffn_ln(F.gelu(self.fc1(x))))


class SwiGLU(nn.Module):
    """Gated MLP: `w3(norm(silu(w1 x) * w2 x))` (Shazeer, "GLU variants improve transformer", 2020).

    With three matrices instead of two, a hidden width of 8/3 C has as many weights as the usual MLP of 4 C.

    Args:
        dim: Token width, C.
        hidden: Hidden width.
        packed: Store `w1` and `w2` as one matrix `w12`, `w1` first.
        norm: Normalise the hidden features (`ffn_ln`).
    """

    def __init__(self, dim: int, hidden: int, *, packed: bool, norm: bool) -> None:
        super().__init__()
        self.packed = packed
        if packed:
            self.w12 = nn.Linear(dim, 2 * hidden)
        else:
            self.w1 = nn.Linear(dim, hidden)
            self.w2 = nn.Linear(dim, hidden)
        self.ffn_ln = LayerNorm(hidden) if norm else nn.Identity()
        self.w3 = nn.Linear(hidden, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map tokens [..., C] to [..., C]."""
        gate, value = self.w12(x).chunk(2, dim=-1) if self.packed else (self.w1(x), self.w2(x))
        return self.w3(self.ffn_ln(F.silu(gate) * value))


def build_mlp(kind: MlpKind, dim: int, hidden: int, norm: bool = False) -> nn.Module:
    """Build the MLP of a block, with parameters named as in the releases.

    Args:
        kind: "gelu" for two layers (`fc1`, `fc2`), "swiglu" for the gated MLP (`w1`, `w2`, `w3`), "packed_swiglu" for
            the same with `w12` in place of `w1` and `w2`.
        dim: Token width, C.
        hidden: Hidden width.
        norm: Normalise the hidden features before the last layer (`ffn_ln`).

    Raises:
        InputError: `kind` is none of these.
    """
    check_choice("mlp", kind, get_args(MlpKind))
    if kind == "gelu":
        return NormedMlp(dim, hidden) if norm else Mlp(dim, hidden)
    return SwiGLU(dim, hidden, packed=kind == "packed_swiglu", norm=norm)
