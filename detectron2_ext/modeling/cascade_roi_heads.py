"""Cascade R-CNN heads with soft-NMS and maskness re-scoring."""

from typing import Any

import torch
from detectron2.modeling.roi_heads import cascade_rcnn
from detectron2.structures import Instances

from eva_backbone.errors import InputError

from .box_selection import BoxSelection

# Mask features of one box take about 2 MB; soft-NMS may keep thousands of boxes.
_MASK_BOXES_AT_ONCE = 128


class CascadeROIHeads(cascade_rcnn.CascadeROIHeads):
    """Box stages and an optional mask head; parameters and all other keywords as in Detectron2.

    A model for boxes only sets mask_in_features, mask_pooler and mask_head to None.

    Args:
        use_soft_nms, method, iou_threshold, sigma, min_score, override_score_thresh, soft_nms_topk: see `BoxSelection`.
        maskness_thresh: if not None, scores are multiplied by the mean mask probability above this threshold.
    """

    def __init__(
        self,
        *,
        use_soft_nms: bool = False,
        method: str = "linear",
        iou_threshold: float = 0.3,
        sigma: float = 0.5,
        min_score: float = 1e-3,
        override_score_thresh: float | None = None,
        soft_nms_topk: int | None = None,
        maskness_thresh: float | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("mask_in_features") is not None and kwargs.get("mask_head") is None:
            raise InputError("mask_in_features is set but mask_head is None; set both, or both to None for boxes only")
        super().__init__(**kwargs)
        if maskness_thresh is not None and not self.mask_on:
            raise InputError(
                f"maskness_thresh={maskness_thresh} re-scores by predicted masks, but this model has no mask head; "
                "set model.roi_heads.maskness_thresh=None"
            )
        if any(getattr(stage, "box_selection", BoxSelection()) != BoxSelection() for stage in self.box_predictor):
            raise InputError(
                "soft-NMS options of a box predictor have no effect in a cascade, whose stages are averaged first; "
                "set them as model.roi_heads.use_soft_nms, model.roi_heads.method, ..."
            )
        self.maskness_thresh = maskness_thresh
        self.box_selection = BoxSelection(
            use_soft_nms, method, iou_threshold, sigma, min_score, override_score_thresh, soft_nms_topk
        )

    def _forward_box(
        self,
        features: dict[str, torch.Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> dict[str, torch.Tensor] | list[Instances]:
        if self.training:
            return super()._forward_box(features, proposals, targets)
        levels = [features[name] for name in self.box_in_features]
        image_sizes = [x.image_size for x in proposals]
        boxes: list[torch.Tensor] = []
        stage_scores: list[list[torch.Tensor]] = []
        for stage, predictor in enumerate(self.box_predictor):
            if stage > 0:
                proposals = self._create_proposals_from_boxes(boxes, image_sizes)
            predictions = self._run_stage(levels, proposals, stage)
            boxes = predictor.predict_boxes(predictions, proposals)
            stage_scores.append(predictor.predict_probs(predictions, proposals))
        scores = [
            sum(image_scores) * (1.0 / self.num_cascade_stages) for image_scores in zip(*stage_scores, strict=True)
        ]
        return self.box_selection.select(predictor, boxes, scores, image_sizes)[0]

    def _forward_mask(
        self, features: dict[str, torch.Tensor], instances: list[Instances]
    ) -> dict[str, torch.Tensor] | list[Instances]:
        forward_mask = super()._forward_mask
        if not self.mask_on:
            return forward_mask(features, instances)
        if self.training:  # images whose objects have no masks train the boxes only
            return forward_mask(features, [x if x.has("gt_masks") else x[:0] for x in instances])
        for i, found in enumerate(instances):
            image_features = {name: level[i : i + 1] for name, level in features.items()}
            parts = [found[k : k + _MASK_BOXES_AT_ONCE] for k in range(0, max(len(found), 1), _MASK_BOXES_AT_ONCE)]
            masks = [forward_mask(image_features, [part])[0].pred_masks for part in parts]
            found.pred_masks = torch.cat(masks).float()  # float32 also under autocast: pasting would lose pixels
        return instances

    def forward_with_given_boxes(
        self, features: dict[str, torch.Tensor], instances: list[Instances]
    ) -> list[Instances]:
        """Add `pred_masks` to known boxes; with `maskness_thresh`, re-score and re-sort those that have scores."""
        instances = super().forward_with_given_boxes(features, instances)
        if self.maskness_thresh is None:
            return instances
        return [rescore_by_maskness(x, self.maskness_thresh) if x.has("scores") else x for x in instances]


def rescore_by_maskness(instances: Instances, threshold: float) -> Instances:
    """Multiply each score by the mean mask probability over the pixels above `threshold`, then sort by the new score.

    Args:
        instances: detections of one image with `scores` [N] and `pred_masks` [N, 1, M, M] probabilities.
        threshold: only pixels strictly above it count; a mask without such a pixel scores 0.

    Returns:
        New Instances in falling order of score, every field in that order.
        Source: EVA-01 det, which leaves the old order.
    """
    masks = instances.pred_masks.flatten(1).float()  # [N, M * M]
    foreground = masks > threshold
    maskness = (masks * foreground).sum(dim=1) / foreground.sum(dim=1).clamp(min=1)
    scores = instances.scores * maskness
    order = scores.argsort(descending=True, stable=True)
    rescored = instances[order]
    rescored.scores = scores[order]
    return rescored
