"""Cascade R-CNN heads with soft-NMS and maskness rescoring."""

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.modeling.roi_heads import cascade_rcnn
from detectron2.structures import Instances

from eva_backbone.errors import InputError

from .box_selection import BoxSelection

# Boxes per call of the mask head: the mask features of one box take about 2 MB, and soft-NMS may keep thousands.
_MASK_CHUNK_SIZE = 128


class CascadeROIHeads(cascade_rcnn.CascadeROIHeads):
    """Box stages and an optional mask head; parameters and all other keywords are those of Detectron2.

    A box-only model sets mask_in_features, mask_pooler and mask_head to None.

    Args:
        use_soft_nms: See `BoxSelection`, as for the arguments up to `soft_nms_topk`.
        method: See `BoxSelection`.
        iou_threshold: See `BoxSelection`.
        sigma: See `BoxSelection`.
        min_score: See `BoxSelection`.
        override_score_thresh: See `BoxSelection`.
        class_wise: See `BoxSelection`.
        soft_nms_topk: See `BoxSelection`.
        maskness_thresh: If not None, multiply each score by the mean mask probability above this threshold; see
            `rescore_by_maskness`.
        kwargs: Keywords of Detectron2's `CascadeROIHeads`.

    Raises:
        InputError: `mask_in_features` is set without a mask head, `maskness_thresh` is set for a model without masks,
            or a box predictor has soft-NMS options of its own.
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
        class_wise: bool = True,
        soft_nms_topk: int | None = None,
        maskness_thresh: float | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("mask_in_features") is not None and kwargs.get("mask_head") is None:
            raise InputError(
                "mask_in_features is set but mask_head is None; set both, or set both to None for a box-only model"
            )
        super().__init__(**kwargs)
        if maskness_thresh is not None and not self.mask_on:
            raise InputError(
                f"maskness_thresh={maskness_thresh} rescores by predicted masks, but this model has no mask head; "
                "set model.roi_heads.maskness_thresh=None"
            )
        for predictor in self.box_predictor:
            if getattr(predictor, "box_selection", BoxSelection()) != BoxSelection():
                raise InputError(
                    "soft-NMS options of a box predictor have no effect in a cascade, because detections are selected "
                    "once from the averaged scores; set them as model.roi_heads.use_soft_nms, "
                    "model.roi_heads.method, ..."
                )
        self.maskness_thresh = maskness_thresh
        self.box_selection = BoxSelection(
            use_soft_nms, method, iou_threshold, sigma, min_score, override_score_thresh, class_wise, soft_nms_topk
        )

    def _forward_box(
        self,
        features: dict[str, torch.Tensor],
        proposals: list[Instances],
        targets: list[Instances] | None = None,
    ) -> dict[str, torch.Tensor] | list[Instances]:
        if self.training:
            return super()._forward_box(features, proposals, targets)
        boxes, scores = self.score_regions(features, proposals)
        image_sizes = [x.image_size for x in proposals]
        return self.box_selection.select(self.box_predictor[-1], boxes, scores, image_sizes)[0]

    def score_regions(
        self, features: dict[str, torch.Tensor], proposals: list[Instances]
    ) -> tuple[Sequence[torch.Tensor], list[torch.Tensor]]:
        """Return for each image the boxes [R, 4] or [R, K * 4] and the scores [R, K + 1] of all proposals.

        The scores are means over the stages, the boxes those of the last stage (Cai and Vasconcelos, "Cascade R-CNN",
        2018). No detection is selected yet.
        """
        levels = [features[name] for name in self.box_in_features]
        image_sizes = [x.image_size for x in proposals]
        boxes: Sequence[torch.Tensor] = []
        stage_scores: list[list[torch.Tensor]] = []
        for stage, predictor in enumerate(self.box_predictor):
            if stage > 0:
                proposals = self._create_proposals_from_boxes(boxes, image_sizes)
            predictions = self._run_stage(levels, proposals, stage)
            boxes = predictor.predict_boxes(predictions, proposals)
            stage_scores.append(predictor.predict_probs(predictions, proposals))
        # As in Detectron2 the sum is multiplied by the reciprocal, for bitwise equal scores.
        scores = []
        for image_scores in zip(*stage_scores, strict=True):
            scores.append(sum(image_scores) * (1.0 / self.num_cascade_stages))
        return boxes, scores

    def _forward_mask(
        self, features: dict[str, torch.Tensor], instances: list[Instances]
    ) -> dict[str, torch.Tensor] | list[Instances]:
        forward_mask = super()._forward_mask
        if not self.mask_on:
            return forward_mask(features, instances)
        if self.training:
            # Images whose objects have no masks train the boxes only.
            return forward_mask(features, [x if x.has("gt_masks") else x[:0] for x in instances])
        for i, detections in enumerate(instances):
            image_features = {name: level[i : i + 1] for name, level in features.items()}
            masks = []
            for start in range(0, max(len(detections), 1), _MASK_CHUNK_SIZE):
                chunk = detections[start : start + _MASK_CHUNK_SIZE]
                masks.append(forward_mask(image_features, [chunk])[0].pred_masks)
            # float32 also under autocast: half-precision probabilities would change pixels when masks are pasted.
            detections.pred_masks = torch.cat(masks).float()
        return instances

    def forward_with_given_boxes(
        self, features: dict[str, torch.Tensor], instances: list[Instances]
    ) -> list[Instances]:
        """Add `pred_masks` to given boxes; with `maskness_thresh`, also rescore and re-sort those that have scores."""
        instances = super().forward_with_given_boxes(features, instances)
        if self.maskness_thresh is None:
            return instances
        return [rescore_by_maskness(x, self.maskness_thresh) if x.has("scores") else x for x in instances]


def rescore_by_maskness(instances: Instances, threshold: float) -> Instances:
    """Multiply each score by the mean mask probability over the pixels above `threshold`, then sort by the new score.

    The mean, called maskness, is a measure of the quality of the mask. It is the rescoring of EVA-01's detector, which
    keeps the old order of the detections.

    Args:
        instances: Detections of one image with `scores` [N] and mask probabilities `pred_masks` [N, 1, M, M].
        threshold: Only pixels strictly above this probability count; a mask without such a pixel gets score 0.

    Returns:
        New Instances by descending score, with every field in that order, and the old scores as `box_scores`.
    """
    masks = instances.pred_masks.flatten(1).float()  # [N, M * M]
    foreground = masks > threshold
    # The clamp avoids 0 / 0 for a mask without foreground, whose maskness is then 0.
    maskness = (masks * foreground).sum(dim=1) / foreground.sum(dim=1).clamp(min=1)
    scores = instances.scores * maskness
    order = scores.argsort(descending=True, stable=True)
    rescored = instances[order]
    rescored.scores = scores[order]
    rescored.box_scores = instances.scores[order]
    return rescored
