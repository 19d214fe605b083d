"""The segmentation model with the Mask2Former head."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .feature_maps import COARSEST, pad_sides
from .head import Mask2FormerHead
from .inference import ViewInference
from .losses import SetCriterion
from .segmentation_targets import IGNORE_LABEL, target_from_labels
from .segmenter import Segmenter
from .state_dict_adapter import from_published


class Mask2Former(Segmenter):
    """Predicts a class and a mask for each of a number of queries; its losses are those of all decoder layers.

    The scores of a pixel are the sum over queries of class probability times mask probability: not negative, and not
    normalised.

    Args:
        backbone: See `Segmenter`.
        decode_head: Predicts classes and masks from the maps.
        criterion: Losses of the predictions; by default those of the published models.
        inference: See `Segmenter`.
    """

    def __init__(
        self,
        backbone: nn.Module,
        decode_head: Mask2FormerHead,
        criterion: SetCriterion | None = None,
        *,
        inference: ViewInference | None = None,
    ) -> None:
        super().__init__(backbone, decode_head, inference)
        self.criterion = criterion or SetCriterion()

    def _losses(self, features: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        # Predicted masks cover the padded image; the padding of the labels is ignored.
        labels = pad_sides(labels, COARSEST, value=IGNORE_LABEL)
        # the option that train.activation_checkpointing sets
        use_checkpoint = getattr(self.backbone, "checkpoint_blocks", False)
        predictions = self.decode_head(features, use_checkpoint=use_checkpoint)
        return self.criterion(predictions, [target_from_labels(image) for image in labels])

    def _class_scores(self, features: Mapping[str, Tensor]) -> Tensor:
        return semantic_scores(*self.decode_head.predict(features))

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
