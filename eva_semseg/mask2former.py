"""The segmentation model: a backbone with four output maps and the Mask2Former head."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.backbone_delegate import BackboneDelegate
from eva_backbone.errors import InputError

from .head import Mask2FormerHead
from .losses import SetCriterion
from .segmentation_targets import IGNORE_LABEL, check_labels, target_from_labels
from .state_dict_adapter import from_published

STRIDE = 32  # of the coarsest map


class Mask2Former(BackboneDelegate, nn.Module):
    """Predicts class scores for every pixel, or in training computes the losses of all decoder layers.

    Args:
        backbone: Computes maps "res2" to "res5" at strides 4 to 32 from pixels [B, 3, H, W]; it pads sides that are not
            multiples of 32 at the bottom and right.
        decode_head: Predicts classes and masks from these maps.
        criterion: Losses of the predictions; by default those of the published models.
    """

    def __init__(
        self, backbone: nn.Module, decode_head: Mask2FormerHead, criterion: SetCriterion | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head
        self.criterion = criterion or SetCriterion()

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the layer that predicts the class of each query with a new one for `num_classes` classes."""
        self.decode_head.reset_classifier(num_classes)

    @property
    def num_classes(self) -> int:
        """Number of classes, K, without "no object"."""
        return self.decode_head.num_classes

    def forward(self, batch: Tensor | Mapping[str, Any]) -> Tensor | dict[str, Tensor]:
        """Return scores [B, K, H, W] in float32, or in training the losses.

        Scores are the sum over queries of class probability times mask probability: not negative, and not normalised.

        Args:
            batch: Normalised pixels [B, 3, H, W] of any size, for scores; or {"image": pixels, "label": class indices
                [B, H, W], 255 for unlabelled pixels}, for the losses in training, and for scores in evaluation, which
                does not need the labels. Pixels may be of any floating-point type; tensors may be on any device.

        Raises:
            InputError: Labels whose size is not that of the pixels or, for labels on the CPU, values outside the
                model's classes.
        """
        pixels = batch if isinstance(batch, Tensor) else batch["image"]
        if self.training and not isinstance(batch, Tensor):
            return self._losses(pixels, batch["label"])
        return self._scores(pixels)

    def _losses(self, pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if labels.shape != (len(pixels), *pixels.shape[2:]):
            raise InputError(
                f"the label maps have shape {list(labels.shape)}, the images {list(pixels.shape)}: give label maps "
                "[images, height, width] of the same size as the images."
            )
        if labels.device.type == "cpu":
            check_labels(labels, self.num_classes)
        height, width = labels.shape[1:]
        device = self.decode_head.cls_embed.weight.device
        # Predicted masks cover the padded image; the padding of the labels is ignored.
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        labels = F.pad(labels.to(device, non_blocking=True), padding, value=IGNORE_LABEL)
        # the option that train.activation_checkpointing sets
        use_checkpoint = getattr(self.backbone, "checkpoint_blocks", False)
        predictions = self.decode_head(self.backbone(pixels), use_checkpoint=use_checkpoint)
        return self.criterion(predictions, [target_from_labels(image) for image in labels])

    def _scores(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        padded = (height + -height % STRIDE, width + -width % STRIDE)
        scores = semantic_scores(*self.decode_head.predict(self.backbone(pixels)))
        scores = F.interpolate(scores, size=padded, mode="bilinear", align_corners=False)
        return scores[..., :height, :width]

    def convert_state_dict(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename the weights of a published file to this model's names; called when a file is loaded."""
        return from_published(weights)


def semantic_scores(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """Combine class logits [B, Q, K + 1] and mask logits [B, Q, H, W] to class scores [B, K, H, W] in float32.

    The score of a class is the sum of the queries' masks, weighted by their probabilities of the class. "No object" is
    left out: it is not a class of a pixel, and a query that is sure of it contributes almost nothing.
    """
    with torch.autocast(class_logits.device.type, enabled=False):
        classes = class_logits.float().softmax(-1)[..., :-1]
        return torch.einsum("bqk,bqhw->bkhw", classes, mask_logits.float().sigmoid())
