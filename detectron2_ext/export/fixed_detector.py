"""The detector as a function of tensors whose sizes do not depend on their values."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.roi_heads import StandardROIHeads
from torch import Tensor, nn

from eva_backbone.errors import InputError

from ..modeling.box_selection import BoxSelection
from ..modeling.cascade_roi_heads import CascadeROIHeads
from .fixed_masks import FixedMasks, rescore
from .fixed_pooling import FixedPooler
from .fixed_proposals import FixedProposals, Proposals, clip_boxes
from .greedy_selection import GreedySelection


class FixedDetector(nn.Module):
    """The inference of a detector, with its own submodules, for any number of images of one padded size.

    Args:
        model: Detector in evaluation mode; it keeps its weights, which are not copied.
        num_detections: Number of detections per image.

    Attributes:
        outputs: Names of the outputs of `forward`.

    Raises:
        InputError: A part of the detector cannot be exported.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: GeneralizedRCNN, num_detections: int) -> None:
        super().__init__()
        roi_heads: Any = model.roi_heads
        if type(roi_heads) not in (StandardROIHeads, CascadeROIHeads) or roi_heads.keypoint_on:
            raise InputError(
                f"{type(roi_heads).__name__} cannot be exported; use StandardROIHeads or detectron2_ext's "
                "CascadeROIHeads, without keypoints."
            )
        self.backbone = model.backbone
        self.register_buffer("pixel_mean", model.pixel_mean, persistent=False)
        self.register_buffer("pixel_std", model.pixel_std, persistent=False)
        self.proposals = FixedProposals(model.proposal_generator)
        self.box_features = list(roi_heads.box_in_features)
        self.box_pooler = FixedPooler(roi_heads.box_pooler)
        if isinstance(roi_heads, CascadeROIHeads):
            heads, predictors, selecting = roi_heads.box_head, roi_heads.box_predictor, roi_heads
        else:
            heads, predictors, selecting = [roi_heads.box_head], [roi_heads.box_predictor], roi_heads.box_predictor
        self.box_heads, self.box_predictors = nn.ModuleList(heads), nn.ModuleList(predictors)
        predictor: Any = self.box_predictors[-1]
        settings = getattr(selecting, "box_selection", BoxSelection())
        self.selection = GreedySelection(
            settings, predictor.test_score_thresh, predictor.test_nms_thresh, num_detections
        )
        self.masks = FixedMasks(roi_heads) if roi_heads.mask_on else None
        self.maskness_threshold = getattr(roi_heads, "maskness_thresh", None)
        self.outputs: tuple[str, ...] = ("boxes", "scores", "classes", "is_valid", "proposals_are_full")
        if self.masks is not None:
            self.outputs += ("masks",)
        if self.maskness_threshold is not None:
            self.outputs += ("box_scores",)

    def forward(self, images: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        """Detect objects.

        Args:
            images: Pixels 0..255 in the model's channel order, float32 [B, 3, H, W]; each image is at the top left. The
                values of the padding do not matter.
            sizes: Height and width of each image in pixels, int64 [B, 2].

        Returns:
            Detections of each image, best first, with D of them at most:
            boxes: x0, y0, x1, y1 in pixels, float32 [B, D, 4].
            scores: float32 [B, D].
            classes: int64 [B, D].
            is_valid: bool [B, D]; False for rows without a detection, which come last and are to be ignored.
            proposals_are_full: bool [B]; whether there may be more objects than the number of proposals.
            masks: Probabilities within the box, float32 [B, D, M, M], of a model with masks.
            box_scores: Scores before the rescoring by masks, float32 [B, D], of a model that does it.
        """
        limits = sizes.flip(1).repeat(1, 2).to(torch.float32)
        features = self.backbone(self._normalise(images, sizes))
        proposals = self.proposals(features, limits)
        boxes, scores = self._score(features, proposals, limits)
        is_finite = boxes.isfinite().all(dim=2) & scores.isfinite().all(dim=2)
        boxes = clip_boxes(boxes.unflatten(2, (-1, 4)).flatten(1, 2), limits).unflatten(1, (boxes.shape[1], -1))
        selected = self.selection.select(boxes, scores[..., :-1], proposals.is_valid & is_finite)
        outputs: list[Tensor] = []
        if self.masks is not None:
            masks = self.masks(features, selected)
            outputs = [masks]
            if self.maskness_threshold is not None:
                selected, masks, box_scores = rescore(selected, masks, self.maskness_threshold)
                outputs = [masks, box_scores]
        # A positive logit: the region is an object rather than background. Small images have fewer anchors than that.
        are_full = (proposals.logits > 0).all(dim=1)
        if proposals.logits.shape[1] < self.proposals.num_proposals:
            are_full = torch.zeros_like(are_full)
        return selected.boxes, selected.scores, selected.classes, selected.is_valid, are_full, *outputs

    def _normalise(self, images: Tensor, sizes: Tensor) -> Tensor:
        rows = torch.arange(images.shape[2], device=images.device)[:, None]
        columns = torch.arange(images.shape[3], device=images.device)
        height, width = sizes[:, 0, None, None, None], sizes[:, 1, None, None, None]
        is_image = (rows < height) & (columns < width)
        return torch.where(is_image, (images - self.pixel_mean) / self.pixel_std, 0.0)

    def _score(self, features: dict[str, Tensor], proposals: Proposals, limits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the boxes [B, P, 4] or [B, P, K * 4] and the scores [B, P, K + 1] of the proposals."""
        maps = [features[name] for name in self.box_features]
        shape = proposals.logits.shape
        boxes = regions = proposals.boxes
        total: Any = 0
        for stage, (head, predictor) in enumerate(self._stages()):
            if stage > 0:
                regions = clip_boxes(boxes, limits)
            logits, deltas = predictor(head(self.box_pooler(maps, regions)))
            flat = predictor.box2box_transform.apply_deltas(deltas, regions.flatten(0, 1))
            boxes = flat.unflatten(0, shape)
            logits = logits.float()
            scores = logits.sigmoid() if predictor.use_sigmoid_ce else F.softmax(logits, dim=-1)
            total = total + scores
        # As in Detectron2 the sum is multiplied by the reciprocal.
        return boxes, (total * (1.0 / len(self.box_heads))).unflatten(0, shape)

    def _stages(self) -> Sequence[tuple[Any, Any]]:
        return list(zip(self.box_heads, self.box_predictors, strict=True))
