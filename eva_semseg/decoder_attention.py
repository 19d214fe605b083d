"""Attention of the queries, to parts of the image or to each other."""

import torch.nn.functional as F
from torch import Tensor, nn


class DecoderAttention(nn.Module):
    """Multi-head attention whose mask is one for all heads and is never copied for them.

    Args:
        dim: token width, C.
        num_heads: heads of C / num_heads.
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.in_proj = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)
        for layer in (self.in_proj, self.out_proj):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor | None = None) -> Tensor:
        """Query [B, Q, C], key and value [B, N, C] to [B, Q, C].

        allowed: which keys a query may attend to, bool [B, Q, N], at least one for each; None allows all.
        """
        heads = [
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # [B, heads, N, C // heads]
            for x in self._project(query, key, value)
        ]
        mask = None if allowed is None else allowed[:, None]
        out = F.scaled_dot_product_attention(*heads, attn_mask=mask)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def _project(self, *inputs: Tensor) -> list[Tensor]:
        """Query, key and value, each through its third of the layer."""
        if type(self.in_proj) is nn.Linear:
            parts = zip(inputs, self.in_proj.weight.chunk(3), self.in_proj.bias.chunk(3), strict=True)
            return [F.linear(x, weight, bias) for x, weight, bias in parts]
        # A layer put in the place of `in_proj`, a low-rank adapter for example, knows more than its weight.
        return [self.in_proj(x).chunk(3, dim=-1)[i] for i, x in enumerate(inputs)]
