"""A classifier with the parameter names of the published ones: the backbone itself, and a head beside its blocks."""

import torch
from torch import Tensor, nn

from eva_backbone import VisionTransformer
from eva_backbone.layer_norm import LayerNorm


class Classifier(VisionTransformer):
    """`head` on `fc_norm` of the mean patch token, or on the class token behind a final norm."""

    def __init__(self, num_classes: int, smoothing: float = 0.0, **backbone) -> None:
        super().__init__(**backbone)
        self.fc_norm = LayerNorm(self.embed_dim) if isinstance(self.norm, nn.Identity) else None
        self.head = nn.Linear(self.embed_dim, num_classes)
        self.smoothing = smoothing

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Loss of (images [B, 3, H, W], labels [B])."""
        pixels, labels = batch
        tokens = super().forward(pixels)
        features = tokens[:, 0] if self.fc_norm is None else self.fc_norm(tokens[:, 1:].mean(1))
        return nn.functional.cross_entropy(self.head(features), labels, label_smoothing=self.smoothing)


class MaskedImageModel(VisionTransformer):
    """The parameters of the pre-training model: `mask_token` and `lm_head` beside the backbone's."""

    def __init__(self, **backbone) -> None:
        super().__init__(**backbone)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dim))
        self.lm_head = nn.Linear(self.embed_dim, 768)
