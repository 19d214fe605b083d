"""Box predictor: Detectron2's, with soft-NMS and a sigmoid / federated loss that holds in the corner cases."""

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
    """Class scores and box deltas of regions; parameters and all other keywords as in Detectron2.

    Args:
        input_shape: shape of the region features.
        get_fed_loss_cls_weights: with `use_fed_loss`, the sampling weights [num_classes] or a function that returns
            them.
        use_soft_nms, method, iou_threshold, sigma, min_score, override_score_thresh, soft_nms_topk: see `BoxSelection`.
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
        soft_nms_topk: int | None = None,
        **kwargs: Any,
    ) -> None:
        weights = get_fed_loss_cls_weights
        super().__init__(
            input_shape, get_fed_loss_cls_weights=weights if callable(weights) else lambda: weights, **kwargs
        )
        self.box_selection = BoxSelection(
            use_soft_nms, method, iou_threshold, sigma, min_score, override_score_thresh, soft_nms_topk
        )

    def losses(self, predictions: Predictions, proposals: list[Instances]) -> dict[str, torch.Tensor]:
        """`loss_cls` and `loss_box_reg`; also logs accuracies. See Detectron2 for the fields of `proposals`."""
        scores, deltas = predictions
        if self.use_sigmoid_ce:
            # The background column is not trained, so the logged accuracy must not look at it. A logit of 0 there makes
            # the prediction "background" exactly if no class reaches probability 0.5; the loss ignores the column.
            scores = torch.cat([scores[:, :-1], torch.zeros_like(scores[:, -1:])], dim=1)
        return super().losses((scores, deltas), proposals)

    def sigmoid_cross_entropy_loss(self, pred_class_logits: torch.Tensor, gt_classes: torch.Tensor) -> torch.Tensor:
        """Binary cross-entropy [] over the K class columns, summed, divided by the number of regions."""
        if pred_class_logits.numel() == 0:
            return (
                pred_class_logits.sum() * 0
            )  # keeps every parameter in the graph, which DistributedDataParallel needs
        return super().sigmoid_cross_entropy_loss(pred_class_logits, gt_classes)

    def get_fed_loss_classes(
        self, gt_classes: torch.Tensor, num_fed_loss_classes: int, num_classes: int, weight: torch.Tensor
    ) -> torch.Tensor:
        """Classes that count in this loss: those present, and sampled absent ones up to `num_fed_loss_classes` in all.

        Where fewer absent classes have a weight than would be drawn, all of them are.

        Args:
            gt_classes: of the regions [R]; `num_classes` stands for background.
            weight: how often an absent class is drawn [num_classes].

        Returns:
            Class indices [M], each once; background among them where a region has it.
        """
        present = torch.unique(gt_classes)
        absent_weight = weight.clone()
        absent_weight[present[present < num_classes]] = 0
        available = len(present) + int(absent_weight.count_nonzero())
        return super().get_fed_loss_classes(gt_classes, min(num_fed_loss_classes, available), num_classes, weight)

    def predict_probs(self, predictions: Predictions, proposals: list[Instances]) -> list[torch.Tensor]:
        """Probabilities [R, K + 1] of each image, in float32 also under autocast."""
        scores, deltas = predictions
        return super().predict_probs((scores.float(), deltas), proposals)

    def inference(
        self, predictions: Predictions, proposals: list[Instances]
    ) -> tuple[list[Instances], list[torch.Tensor]]:
        """Detections of each image and the rows they came from; see `BoxSelection.select`."""
        return self.box_selection.select(
            self,
            self.predict_boxes(predictions, proposals),
            self.predict_probs(predictions, proposals),
            [x.image_size for x in proposals],
        )


def lvis_v1_federated_weights(power: float = 0.5) -> torch.Tensor:
    """[1203] weights of the LVIS v1 classes in order of category id: number of training images to the `power`.

    Pass it to `FastRCNNOutputLayers(get_fed_loss_cls_weights=...)`, itself or, in a LazyConfig, as
    `L(lvis_v1_federated_weights)(power=0.5)`. Source: Zhou et al., "Probabilistic two-stage detection", 2021.
    """
    counts = [entry["image_count"] for entry in sorted(LVIS_CATEGORY_IMAGE_COUNT, key=lambda entry: entry["id"])]
    return torch.tensor(counts, dtype=torch.float32) ** power
