"""One causal transformer block of the text tower."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.layer_norm import LayerNorm

EPS = 1e-5


class CausalAttention(nn.Module):
    """Self-attention in which every token sees itself and those in front of it, [B, L, C] to [B, L, C].

    Query, key and value share one weight and one bias, under the names of `nn.MultiheadAttention`.

    Args:
        width: token width, C.
        num_heads: attention heads; they divide the width.
        num_layers: blocks of the tower, which the initial weights depend on.
    """

    def __init__(self, width: int, num_heads: int, num_layers: int) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"{num_heads} heads do not divide a width of {width}")
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.normal_(self.in_proj_weight, std=width**-0.5)
        nn.init.normal_(self.out_proj.weight, std=_branch_std(width, num_layers))
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(batch, tokens, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each [B, heads, L, C / heads]
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out_proj(out.transpose(1, 2).reshape(batch, tokens, width))


class TextBlock(nn.Module):
    """Pre-norm block, [B, L, C] to [B, L, C]; arguments as of `CausalAttention`, and the activation of the MLP."""

    def __init__(self, width: int, num_heads: int, num_layers: int, activation: nn.Module) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(width, eps=EPS)
        self.attn = CausalAttention(width, num_heads, num_layers)
        self.ln_2 = LayerNorm(width, eps=EPS)
        self.mlp = nn.Sequential()
        self.mlp.c_fc = nn.Linear(width, 4 * width)
        self.mlp.gelu = activation
        self.mlp.c_proj = nn.Linear(4 * width, width)
        nn.init.normal_(self.mlp.c_fc.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.mlp.c_proj.weight, std=_branch_std(width, num_layers))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


def _branch_std(width: int, num_layers: int) -> float:
    return width**-0.5 * (2 * num_layers) ** -0.5
