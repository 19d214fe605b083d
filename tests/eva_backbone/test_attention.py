"""Cross-attention of the attention module."""

import pytest
import torch
from torch import nn

from eva_backbone.attention import Attention

DIM, HEADS = 24, 4


class Wrapped(nn.Module):
    """A layer that replaces `qkv`, like a low-rank adapter."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.bias = layer, layer.bias

    def forward(self, x):
        return self.layer(x)


def make(qkv_bias, wrapped=False):
    attention = Attention(DIM, HEADS, qkv_bias=qkv_bias).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter, std=0.3)
    if wrapped:
        attention.qkv = Wrapped(attention.qkv)
    return attention


@pytest.mark.parametrize("qkv_bias", ["qv", "full", "none"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_cross_attention(qkv_bias, wrapped):
    """Cross-attention equals PyTorch's own module with the same weights."""
    attention = make(qkv_bias, wrapped)
    query, key, value = (torch.randn(2, tokens, DIM, dtype=torch.float64) for tokens in (3, 5, 5))
    allowed = torch.rand(2, 3, 5) > 0.4
    allowed[..., 0] = True
    qkv = attention.qkv.layer if wrapped else attention.qkv
    bias = {"full": qkv.bias, "none": torch.zeros(3 * DIM, dtype=torch.float64)}.get(qkv_bias)
    if bias is None:
        bias = torch.cat([attention.q_bias, torch.zeros(DIM, dtype=torch.float64), attention.v_bias])
    theirs = nn.MultiheadAttention(DIM, HEADS, batch_first=True, dtype=torch.float64)
    weights = {"in_proj_weight": qkv.weight, "in_proj_bias": bias}
    weights |= {f"out_proj.{name}": tensor for name, tensor in attention.proj.named_parameters()}
    theirs.load_state_dict(weights)
    expected, _ = theirs(query, key, value, attn_mask=~allowed.repeat_interleave(HEADS, dim=0))
    found = attention(query, bias=allowed[:, None], key=key, value=value)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("qkv_bias", ["qv", "full", "none"])
def test_self_attention(qkv_bias):
    """Self-attention is the same whether the tokens are given as keys and values or not."""
    attention, x = make(qkv_bias), torch.randn(2, 5, DIM, dtype=torch.float64)
    torch.testing.assert_close(attention(x), attention(x, key=x, value=x), rtol=0, atol=1e-12)
