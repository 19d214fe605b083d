"""Mask2Former's transformer decoder: queries that attend to the image only inside their own predicted masks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.attention import Attention
from eva_backbone.layer_norm import LayerNorm

from .pixel_decoder import NORM_EPSILON, decoder_mlp


def decoder_attention(dim: int, num_heads: int) -> Attention:
    """Return attention over tokens of width `dim` with Mask2Former's initialisation and biases for q, k and v."""
    attention = Attention(dim, num_heads, qkv_bias="full")
    for layer in (attention.qkv, attention.proj):
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return attention


class DecoderLayer(nn.Module):
    """Masked cross-attention to the image, self-attention among the queries, and a feed-forward layer.

    Each of them has a shortcut and normalisation after it. Cross-attention comes first, so that queries, which are the
    same for all images at the start, have seen the image before they attend to each other.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.cross_attn = decoder_attention(dim, num_heads)
        self.self_attn = decoder_attention(dim, num_heads)
        self.ffn = decoder_mlp(dim, hidden)
        self.norm1 = LayerNorm(dim, eps=NORM_EPSILON)
        self.norm2 = LayerNorm(dim, eps=NORM_EPSILON)
        self.norm3 = LayerNorm(dim, eps=NORM_EPSILON)

    def forward(self, x: Tensor, positions: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor) -> Tensor:
        """Update the queries, [B, Q, C] to [B, Q, C].

        Args:
            x: The queries.
            positions: Learned position embeddings of the queries, [1, Q, C], which are added to the queries and keys
                of attention but not to the values.
            key, value: Keys (with positions) and values (without) of the image, [B, N, C].
            attention_mask: bool [B, Q, N], true for the tokens of the image that a query may attend to.
        """
        # Values carry no positions: a query collects what is there, and only where to look depends on the position.
        attention_mask = attention_mask[:, None]  # broadcast over the heads, never copied for them
        x = self.norm1(x + self.cross_attn(x + positions, bias=attention_mask, key=key, value=value))
        query_and_key = x + positions
        x = self.norm2(x + self.self_attn(query_and_key, key=query_and_key, value=x))
        return self.norm3(x + self.ffn(x))


class TransformerDecoder(nn.Module):
    """The layers, and the normalisation before every prediction.

    Args:
        dim: Token width, C.
        num_heads: Heads of both attentions.
        num_layers: Number of layers; they attend to the levels of the image in turn.
        hidden: Width of the feed-forward layers.
    """

    def __init__(self, dim: int = 1024, *, num_heads: int = 32, num_layers: int = 8, hidden: int = 4096) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, num_heads, hidden) for _ in range(num_layers))
        self.post_norm = LayerNorm(dim, eps=NORM_EPSILON)


def cross_attention_mask(mask_logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return the attention mask of the next layer: bool [B, Q, H * W], true where a mask's probability is at least 0.5.

    A query whose mask is empty may attend to every token: softmax over no token at all would give NaN.

    Args:
        mask_logits: [B, Q, h, w] of any size.
        grid: (H, W) of the level that the next layer attends to.
    """
    # A threshold has no gradient. Interpolation comes before it, so that the edges of masks follow the logits instead
    # of a coarse grid of zeros and ones.
    with torch.no_grad():
        logits = mask_logits.detach().float()
        if logits.shape[2:] != grid:
            logits = F.interpolate(logits, size=grid, mode="bilinear", align_corners=False)
        inside = logits.flatten(2).sigmoid() >= 0.5
        is_empty = ~inside.any(-1, keepdim=True)
        return inside | is_empty
