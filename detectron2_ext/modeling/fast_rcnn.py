"""Detectron2's box predictor with soft-NMS and with a sigmoid / federated loss that handles the corner cases."""

from collections.abc import Callable
from typing import Any

import torch
from detectron2.data.datasets.lvis_v1_category_image_count import LVIS_CATEGORY_IMAGE_COUNT
from detectron2.layers import ShapeSpec
from detectron2.modeling.roi_heads import fast_rcnn
from detectron2.structures import Instances

from .box_selection import BoxSelection

Predictions = tuple[torch.Tensor, torch.Tensor]  # class logits [R, K + 1], box deltas [R, 4] or [R, K * 4]


class FastRCNNOutputLayers(fast_rcnn.FastRCNNOutputLayers):
    """Predict class scores and box deltas of regions; parameters and all other keywords are those of Detectron2.

    Args:
        input_shape: Shape of the region features.
        get_fed_loss_cls_weights: With `use_fed_loss`, the sampling weights [num_classes] or a function that returns
            them.
        use_soft_nms: See `BoxSelection`, as for the arguments up to `soft_nms_topk`.
        method: See `BoxSelection`.
        iou_threshold: See `BoxSelection`.
        sigma: See `BoxSelection`.
        min_score: See `BoxSelection`.
        override_score_thresh: See `BoxSelection`.
        class_wise: See `BoxSelection`.
        soft_nms_topk: See `BoxSelection`.
        kwargs: Keywords of Detectron2's `FastRCNNOutputLayers`.
    """

    def __init__(
        self,
        input_shape: ShapeSpec,
        *,
        get_fed_loss_cls_weights: Callable[[], torch.Tensor] | torch.Tensor | None = None,
        use_soft_nms: bool = False,
        method: str = "linear",
        iou_threshold: float = 0.3,
        sigma: float = 0.5,
        min_score: float = 1e-3,
        override_score_thresh: float | None = None,
        class_wise: bool = True,
        soft_nms_topk: int | None = None,
        **kwargs: Any,
    ) -> None:
        weights = get_fed_loss_cls_weights
        # Detectron2 expects a function, but a LazyConfig passes the tensor that the function has returned.
        get_weights = weights if callable(weights) else lambda: weights
        super().__init__(input_shape, get_fed_loss_cls_weights=get_weights, **kwargs)
        self.box_selection = BoxSelection(
            use_soft_nms, method, iou_threshold, sigma, min_score, override_score_thresh, class_wise, soft_nms_topk
        )

    def losses(self, predictions: Predictions, proposals: list[Instances]) -> dict[str, torch.Tensor]:
        """Return `loss_cls` and `loss_box_reg` and log accuracies; `proposals` have the fields of Detectron2."""
        scores, deltas = predictions
        if self.use_sigmoid_ce:
            # The sigmoid loss does not train the background column, so the logged accuracy must not depend on it. With
            # logit 0 in that column, the argmax is "background" exactly if no class has a probability above
            # sigmoid(0) = 0.5. The loss ignores the column.
            scores = torch.cat([scores[:, :-1], torch.zeros_like(scores[:, -1:])], dim=1)
        return super().losses((scores, deltas), proposals)

    def sigmoid_cross_entropy_loss(self, pred_class_logits: torch.Tensor, gt_classes: torch.Tensor) -> torch.Tensor:
        """Return the binary cross-entropy [], summed over the K class columns and divided by the number of regions."""
        if pred_class_logits.numel() == 0:
            # Keeps every parameter in the graph, which DistributedDataParallel requires.
            return pred_class_logits.sum() * 0
        return super().sigmoid_cross_entropy_loss(pred_class_logits, gt_classes)

    def get_fed_loss_classes(
        self, gt_classes: torch.Tensor, num_fed_loss_classes: int, num_classes: int, weight: torch.Tensor
    ) -> torch.Tensor:
        """Sample the classes of the federated loss: all that are present, plus absent ones.

        The loss treats a class as negative only if it was sampled, because LVIS images are not annotated exhaustively.

        Args:
            gt_classes: Classes of the regions [R]; `num_classes` means background.
            num_fed_loss_classes: Number of classes to return, unless more are present or fewer are available.
            num_classes: Number of classes, background excluded.
            weight: Relative frequency [num_classes] at which absent classes are sampled.

        Returns:
            Distinct class indices [M], including background if a region has it.
        """
        present = torch.unique(gt_classes)
        absent_weight = weight.clone()
        absent_weight[present[present < num_classes]] = 0
        # Sampling without replacement fails if more classes are requested than have a positive weight.
        available = len(present) + int(absent_weight.count_nonzero())
        return super().get_fed_loss_classes(gt_classes, min(num_fed_loss_classes, available), num_classes, weight)

    def predict_probs(self, predictions: Predictions, proposals: list[Instances]) -> list[torch.Tensor]:
        """Return the probabilities [R, K + 1] of each image, in float32 also under autocast."""
        scores, deltas = predictions
        return super().predict_probs((scores.float(), deltas), proposals)

    def inference(
        self, predictions: Predictions, proposals: list[Instances]
    ) -> tuple[list[Instances], list[torch.Tensor]]:
        """Return the detections of each image and the rows they come from; see `BoxSelection.select`."""
        return self.box_selection.select(
            self,
            self.predict_boxes(predictions, proposals),
            self.predict_probs(predictions, proposals),
            [x.image_size for x in proposals],
        )


def lvis_v1_federated_weights(power: float = 0.5) -> torch.Tensor:
    """Return the sampling weights [1203] of the LVIS v1 classes: (number of training images) ** `power`.

    The classes are in the order of their category ids. Pass the function itself to
    `FastRCNNOutputLayers(get_fed_loss_cls_weights=...)` or, in a LazyConfig, `L(lvis_v1_federated_weights)(power=0.5)`.
    Source: Zhou et al., "Probabilistic two-stage detection", 2021.

    Args:
        power: Exponent; 0 samples all classes equally often, 1 in proportion to their number of images.
    """
    by_id = sorted(LVIS_CATEGORY_IMAGE_COUNT, key=lambda entry: entry["id"])
    counts = [entry["image_count"] for entry in by_id]
    return torch.tensor(counts, dtype=torch.float32) ** power
