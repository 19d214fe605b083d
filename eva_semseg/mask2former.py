"""The segmentation model: a backbone of four maps and the Mask2Former head."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eva_backbone.errors import InputError

from .head import Mask2FormerHead
from .losses import SetCriterion
from .segmentation_targets import IGNORED, check_labels, masks_of_labels
from .state_dict_adapter import from_published

STRIDE = 32  # of the coarsest map


class Mask2Former(nn.Module):
    """Scores of classes for every pixel, or in training the losses of all layers.

    Args:
        backbone: pixels [B, 3, H, W] to maps "res2" to "res5" at strides 4 to 32; sides that are no multiples of 32 it
            pads at the bottom and right.
        decode_head: makes class and mask predictions of them.
        criterion: losses of the predictions.
    """

    def __init__(
        self, backbone: nn.Module, decode_head: Mask2FormerHead, criterion: SetCriterion | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head
        self.criterion = criterion or SetCriterion()

    @property
    def num_classes(self) -> int:
        """K."""
        return self.decode_head.num_classes

    def forward(self, batch: Tensor | Mapping[str, Any]) -> Tensor | dict[str, Tensor]:
        """Scores [B, K, H, W] in float32, or in training the losses.

        Scores are the sum over queries of class probability times mask probability: 0 and more, and not normalised.

        Args:
            batch: normalised pixels [B, 3, H, W] of any size, for scores; or {"image": pixels, "label": class numbers
                [B, H, W], 255 where there is none}, for the losses in training and scores in evaluation, where no label
                is needed. Pixels may be of any floating type; tensors may be on any device.

        Raises:
            InputError: labels of another size than the pixels or, as far as they are on the CPU, of another number of
                classes.
        """
        pixels = batch if isinstance(batch, Tensor) else batch["image"]
        if self.training and not isinstance(batch, Tensor):
            return self._losses(pixels, batch["label"])
        return self._scores(pixels)

    def _losses(self, pixels: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if labels.shape != (len(pixels), *pixels.shape[2:]):
            raise InputError(
                f"the label maps have shape {list(labels.shape)}, the images {list(pixels.shape)}: give label maps "
                "[images, height, width] as large as the images."
            )
        if labels.device.type == "cpu":
            check_labels(labels, self.num_classes)
        height, width = labels.shape[1:]
        device = self.decode_head.cls_embed.weight.device
        labels = F.pad(labels.to(device, non_blocking=True), (0, -width % STRIDE, 0, -height % STRIDE), value=IGNORED)
        # the option that train.activation_checkpointing sets
        recompute = getattr(self.backbone, "checkpoint_blocks", False)
        predictions = self.decode_head(self.backbone(pixels), recompute=recompute)
        return self.criterion(predictions, [masks_of_labels(image) for image in labels])

    def _scores(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        padded = (height + -height % STRIDE, width + -width % STRIDE)
        scores = semantic_scores(*self.decode_head.predict(self.backbone(pixels)))
        scores = F.interpolate(scores, size=padded, mode="bilinear", align_corners=False)
        return scores[..., :height, :width]

    def convert_state_dict(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`weights` of a published file under the names of this model; called when a file is loaded."""
        return from_published(weights)


def semantic_scores(class_logits: Tensor, mask_logits: Tensor) -> Tensor:
    """[B, Q, K + 1] and [B, Q, H, W] to [B, K, H, W] in float32: classes of the queries, weighted by their masks."""
    with torch.autocast(class_logits.device.type, enabled=False):
        classes = class_logits.float().softmax(-1)[..., :-1]
        return torch.einsum("bqk,bqhw->bkhw", classes, mask_logits.float().sigmoid())
