"""The feed-forward layer of pixel decoder and transformer decoder."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class FeedForward(nn.Module):
    """Two linear layers with a ReLU between them, over tokens [B, N, C].

    Args:
        dim: token width, C.
        hidden: width between the layers.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)
        for layer in (self.fc1, self.fc2):
            nn.init.xavier_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(x)))


def run_layer(layer: nn.Module, *args, recompute: bool) -> Tensor:
    """`layer(*args)`; with `recompute` only its inputs are kept for the backward pass, which runs it again."""
    if recompute and torch.is_grad_enabled():
        return checkpoint(layer, *args, use_reentrant=False)
    return layer(*args)
