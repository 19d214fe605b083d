"""From class scores and boxes of one image to its detections: threshold, then hard NMS or soft-NMS."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers, fast_rcnn_inference_single_image
from detectron2.structures import Boxes, Instances

from eva_backbone.errors import InputError

from .soft_nms import DecayRule, batched_soft_nms


@dataclass(frozen=True)
class BoxSelection:
    """How detections are chosen among the (box, class) pairs of an image.

    Args:
        use_soft_nms: soft-NMS instead of the hard NMS at the predictor's `test_nms_thresh`.
        method: "naive", "linear" or "gaussian"; see `batched_soft_nms`.
        iou_threshold: overlap from which soft-NMS acts (not used by "gaussian").
        sigma: width of "gaussian".
        min_score: soft-NMS drops boxes whose score falls below it.
        override_score_thresh: replaces the predictor's `test_score_thresh` if not None.
        soft_nms_topk: most detections that soft-NMS returns for an image; None returns every survivor, as EVA-01's
            detector does (the predictor's `test_topk_per_image` belongs to hard NMS).
    """

    use_soft_nms: bool = False
    method: str = "linear"
    iou_threshold: float = 0.3
    sigma: float = 0.5
    min_score: float = 1e-3
    override_score_thresh: float | None = None
    soft_nms_topk: int | None = None

    def __post_init__(self) -> None:
        DecayRule(self.method, self.iou_threshold, self.sigma)  # for its checks
        if self.soft_nms_topk is not None and self.soft_nms_topk < 0:
            raise InputError(f"soft_nms_topk={self.soft_nms_topk} is negative; give a count, or None for no limit")

    def select(
        self,
        predictor: FastRCNNOutputLayers,
        boxes: Sequence[torch.Tensor],
        scores: Sequence[torch.Tensor],
        image_sizes: Sequence[tuple[int, int]],
    ) -> tuple[list[Instances], list[torch.Tensor]]:
        """Detections of every image.

        Args:
            predictor: the settings `test_score_thresh`, `test_nms_thresh`, `test_topk_per_image` are read from it.
            boxes: for each image [R, 4] or [R, K * 4], corners in pixels.
            scores: for each image [R, K + 1] probabilities, background last.
            image_sizes: (height, width) of each image.

        Returns:
            For each image Instances with `pred_boxes`, `scores`, `pred_classes` in falling order of score, and the rows
            [N] they came from. Rows with a box or score that is not finite are left out.
        """
        score_thresh = predictor.test_score_thresh if self.override_score_thresh is None else self.override_score_thresh
        detections, rows = [], []
        for image_boxes, image_scores, image_size in zip(boxes, scores, image_sizes, strict=True):
            finite = (image_boxes.isfinite().all(dim=1) & image_scores.isfinite().all(dim=1)).nonzero()[:, 0]
            image_boxes, image_scores = image_boxes[finite], image_scores[finite].float()
            if self.use_soft_nms:
                found, kept = self._soft_select(image_boxes, image_scores, image_size, score_thresh)
            else:
                found, kept = fast_rcnn_inference_single_image(
                    image_boxes,
                    image_scores,
                    image_size,
                    score_thresh,
                    predictor.test_nms_thresh,
                    predictor.test_topk_per_image,
                )
            detections.append(found)
            rows.append(finite[kept])
        return detections, rows

    def _soft_select(
        self, boxes: torch.Tensor, scores: torch.Tensor, image_size: tuple[int, int], score_thresh: float
    ) -> tuple[Instances, torch.Tensor]:
        row, class_id = (scores[:, :-1] > score_thresh).nonzero(as_tuple=True)
        candidates = Boxes(boxes.view(len(boxes), boxes.shape[1] // 4, 4)[row, class_id if boxes.shape[1] > 4 else 0])
        candidates.clip(image_size)
        keep, decayed = batched_soft_nms(
            candidates.tensor,
            scores[row, class_id],
            class_id,
            method=self.method,
            iou_threshold=self.iou_threshold,
            sigma=self.sigma,
            min_score=self.min_score,
            topk=self.soft_nms_topk,
        )
        found = Instances(image_size, pred_boxes=candidates[keep], scores=decayed, pred_classes=class_id[keep])
        return found, row[keep]
