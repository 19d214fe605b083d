"""The segmentation model with UperNet's heads."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .inference import ViewInference
from .segmentation_targets import IGNORE_LABEL
from .segmenter import Segmenter, resize_to_pixels
from .uper_head import FCNHead, UPerHead


class UperNet(Segmenter):
    """Predicts the class logits of every pixel; its losses are the cross entropies of two heads.

    Args:
        backbone: See `Segmenter`.
        decode_head: Predicts the class logits.
        auxiliary_head: Predicts class logits for an additional loss in training.
        auxiliary_weight: Factor of that loss.
        inference: See `Segmenter`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        decode_head: UPerHead,
        auxiliary_head: FCNHead,
        *,
        auxiliary_weight: float = 0.4,
        inference: ViewInference | None = None,
    ) -> None:
        super().__init__(backbone, decode_head, inference)
        self.auxiliary_head = auxiliary_head
        self.auxiliary_weight = auxiliary_weight

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layers of both heads with new ones for `num_classes` classes."""
        super().reset_classifier(num_classes)
        self.auxiliary_head.reset_classifier(num_classes)

    def _losses(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        loss = pixel_cross_entropy(self.decode_head(features), labels, UPerHead.stride)
        auxiliary_loss = pixel_cross_entropy(self.auxiliary_head(features), labels, FCNHead.stride)
        return {"loss_ce": loss, "aux.loss_ce": self.auxiliary_weight * auxiliary_loss}

    def _class_scores(self, features: Mapping[str, Tensor]) -> Tensor:
        return self.decode_head(features).float()


def pixel_cross_entropy(logits: Tensor, labels: Tensor, stride: int) -> Tensor:
    """Return the sum of the cross entropies of all labelled pixels, divided by the number of all pixels.

    Unlabelled pixels count in the divisor, as in the release: every labelled pixel has the same weight, whichever image
    it is in. The computation is in float32, under autocast too.

    Args:
        logits: [B, K, h, w] of the padded pixels; they are resized to the pixels.
        labels: Class indices [B, H, W], 255 for unlabelled pixels.
        stride: Pixels per logit along an axis.
    """
    with torch.autocast(logits.device.type, enabled=False):
        height, width = labels.shape[1:]
        logits = resize_to_pixels(logits.float(), height, width, stride)
        losses = F.cross_entropy(logits, labels.long(), ignore_index=IGNORE_LABEL, reduction="none")
        return losses.mean()
