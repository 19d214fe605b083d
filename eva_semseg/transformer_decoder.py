"""Mask2Former's transformer decoder: queries that look at the image where their own masks are."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.layer_norm import LayerNorm

from .decoder_parts import decoder_attention, decoder_mlp
from .pixel_decoder import NORM_EPSILON


class DecoderLayer(nn.Module):
    """Attention to the image, attention among the queries, feed-forward; each normalised behind its shortcut."""

    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.cross_attn = decoder_attention(dim, num_heads)
        self.self_attn = decoder_attention(dim, num_heads)
        self.ffn = decoder_mlp(dim, hidden)
        self.norm1 = LayerNorm(dim, eps=NORM_EPSILON)
        self.norm2 = LayerNorm(dim, eps=NORM_EPSILON)
        self.norm3 = LayerNorm(dim, eps=NORM_EPSILON)

    def forward(self, x: Tensor, positions: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> Tensor:
        """Queries [B, Q, C] to [B, Q, C].

        Args:
            x: the queries.
            positions: added to them where they ask or are asked, [1, Q, C].
            key, value: of the image, [B, N, C].
            allowed: the tokens that each query may look at, bool [B, Q, N].
        """
        allowed = allowed[:, None]  # one for all heads, never copied for them
        x = self.norm1(x + self.cross_attn(x + positions, bias=allowed, key=key, value=value))
        asking = x + positions
        x = self.norm2(x + self.self_attn(asking, key=asking, value=x))
        return self.norm3(x + self.ffn(x))


class TransformerDecoder(nn.Module):
    """The layers, and the normalisation in front of every prediction.

    Args:
        dim: token width, C.
        num_heads: of both attentions.
        num_layers: how many layers; the levels of the image take turns.
        hidden: width of the feed-forward layers.
    """

    def __init__(self, dim: int = 1024, *, num_heads: int = 32, num_layers: int = 8, hidden: int = 4096) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(dim, num_heads, hidden) for _ in range(num_layers))
        self.post_norm = LayerNorm(dim, eps=NORM_EPSILON)


def attended_tokens(mask_logits: Tensor, grid: tuple[int, int]) -> Tensor:
    """Where the next layer may look: bool [B, Q, H * W], true where the mask is at least one half.

    A query whose mask is nowhere that large may look everywhere.

    Args:
        mask_logits: [B, Q, h, w] of any size.
        grid: (H, W) of the level that the next layer looks at.
    """
    with torch.no_grad():
        logits = mask_logits.detach().float()
        if logits.shape[2:] != grid:
            logits = F.interpolate(logits, size=grid, mode="bilinear", align_corners=False)
        allowed = logits.flatten(2).sigmoid() >= 0.5
        return allowed | ~allowed.any(-1, keepdim=True)
