"""A classifier with another head: logits are scaled cosines between the features and a vector per class."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_classification import Classifier


class CosineHead(nn.Module):
    """Cosines of features [B, C] with K learned vectors, times a learned scale: [B, K]."""

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, dim))
        self.scale = nn.Parameter(torch.tensor([10.0]))

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.normalize(features, dim=1) @ F.normalize(self.weight, dim=1).T


class CosineClassifier(Classifier):
    """A classifier whose head is a `CosineHead`; losses, feature extraction, prediction and plans are inherited."""

    def reset_classifier(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.head = CosineHead(self.embed_dim, num_classes)
