"""Select the detections of an image from its class scores and boxes: score threshold, then hard NMS or soft-NMS."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers, fast_rcnn_inference_single_image
from detectron2.structures import Boxes, Instances

from eva_backbone.errors import InputError

from .soft_nms import batched_soft_nms
from .soft_nms_decay import DecayRule


@dataclass(frozen=True)
class BoxSelection:
    """Settings for selecting detections among the (box, class) pairs of an image.

    Args:
        use_soft_nms: Use soft-NMS instead of hard NMS with the predictor's `test_nms_thresh`.
        method: "naive", "linear" or "gaussian"; see `batched_soft_nms`.
        iou_threshold: IoU from which soft-NMS acts (not used by "gaussian").
        sigma: Width of "gaussian".
        min_score: Soft-NMS drops boxes whose score falls below this value.
        override_score_thresh: Replaces the predictor's `test_score_thresh` if not None.
        class_wise: Let soft-NMS compare boxes of one class only, as EVA-01 and the published commands of EVA-02 do;
            otherwise a region keeps at most one class, because its boxes of all classes overlap entirely.
        soft_nms_topk: Largest number of detections that soft-NMS returns for an image; None returns all, as EVA-01's
            detector does (the predictor's `test_topk_per_image` applies to hard NMS only).

    Raises:
        InputError: The method is unknown, `sigma` is not positive although the method is "gaussian", or `soft_nms_topk`
            is negative.
    """

    use_soft_nms: bool = False
    method: str = "linear"
    iou_threshold: float = 0.3
    sigma: float = 0.5
    min_score: float = 1e-3
    override_score_thresh: float | None = None
    class_wise: bool = True
    soft_nms_topk: int | None = None

    def __post_init__(self) -> None:
        DecayRule(self.method, self.iou_threshold, self.sigma)  # raises an error for wrong options
        if self.soft_nms_topk is not None and self.soft_nms_topk < 0:
            raise InputError(f"soft_nms_topk={self.soft_nms_topk} is negative; give a count, or None for no limit")

    def select(
        self,
        predictor: FastRCNNOutputLayers,
        boxes: Sequence[torch.Tensor],
        scores: Sequence[torch.Tensor],
        image_sizes: Sequence[tuple[int, int]],
    ) -> tuple[list[Instances], list[torch.Tensor]]:
        """Select the detections of every image.

        Args:
            predictor: Box predictor whose `test_score_thresh`, `test_nms_thresh` and `test_topk_per_image` apply.
            boxes: Corners in pixels for each image, [R, 4] or [R, K * 4].
            scores: Probabilities [R, K + 1] for each image, background last.
            image_sizes: (height, width) of each image.

        Returns:
            For each image Instances with `pred_boxes`, `scores` and `pred_classes` by descending score, and the rows
            [N] of its boxes that they come from. Rows with a non-finite box or score are left out.
        """
        score_thresh = self.override_score_thresh
        if score_thresh is None:
            score_thresh = predictor.test_score_thresh
        detections, rows = [], []
        for image_boxes, image_scores, image_size in zip(boxes, scores, image_sizes, strict=True):
            is_finite = image_boxes.isfinite().all(dim=1) & image_scores.isfinite().all(dim=1)
            finite_rows = is_finite.nonzero()[:, 0]
            image_boxes, image_scores = image_boxes[finite_rows], image_scores[finite_rows].float()
            if self.use_soft_nms:
                selected, kept = self._select_by_soft_nms(image_boxes, image_scores, image_size, score_thresh)
            else:
                selected, kept = fast_rcnn_inference_single_image(
                    image_boxes,
                    image_scores,
                    image_size,
                    score_thresh,
                    predictor.test_nms_thresh,
                    predictor.test_topk_per_image,
                )
            detections.append(selected)
            rows.append(finite_rows[kept])
        return detections, rows

    def _select_by_soft_nms(
        self, boxes: torch.Tensor, scores: torch.Tensor, image_size: tuple[int, int], score_thresh: float
    ) -> tuple[Instances, torch.Tensor]:
        # Every (box, class) pair above the threshold is a candidate; the last column is the background.
        row, class_id = (scores[:, :-1] > score_thresh).nonzero(as_tuple=True)
        # Class-agnostic regression gives one box per row, otherwise there is one per row and class.
        is_class_agnostic = boxes.shape[1] == 4
        boxes = boxes.view(len(boxes), boxes.shape[1] // 4, 4)
        candidates = Boxes(boxes[row, 0] if is_class_agnostic else boxes[row, class_id])
        candidates.clip(image_size)
        keep, decayed = batched_soft_nms(
            candidates.tensor,
            scores[row, class_id],
            class_id if self.class_wise else torch.zeros_like(class_id),
            method=self.method,
            iou_threshold=self.iou_threshold,
            sigma=self.sigma,
            min_score=self.min_score,
            topk=self.soft_nms_topk,
        )
        selected = Instances(image_size, pred_boxes=candidates[keep], scores=decayed, pred_classes=class_id[keep])
        return selected, row[keep]
