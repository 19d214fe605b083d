"""The backbone's attention and MLP as Mask2Former's decoders have them, with its initial weights."""

from timm.layers import Mlp
from torch import nn

from eva_backbone.attention import Attention


def decoder_attention(dim: int, num_heads: int) -> Attention:
    """Attention over tokens of width `dim`, with one bias for query, key and value."""
    attention = Attention(dim, num_heads, qkv_bias="full")
    for layer in (attention.qkv, attention.proj):
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return attention


def decoder_mlp(dim: int, hidden: int) -> Mlp:
    """Two linear layers with a ReLU between them, over tokens of width `dim`; biases start as PyTorch's."""
    mlp = Mlp(dim, hidden, act_layer=nn.ReLU)
    for layer in (mlp.fc1, mlp.fc2):
        nn.init.xavier_normal_(layer.weight)
    return mlp
