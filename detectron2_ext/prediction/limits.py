"""Notice when a limit of a detector leaves out detections."""

import weakref
from dataclasses import replace
from functools import partial
from typing import Any

from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Instances
from torch import nn

from ..modeling.box_selection import BoxSelection

_ROI_HEADS, _RPN = "model.roi_heads", "model.proposal_generator"


class DetectionLimits:
    """Compare the last batch of a detector with the limits on proposals and detections of its recipe.

    Args:
        model: The detector.
    """

    def __init__(self, model: GeneralizedRCNN) -> None:
        self._roi_heads = model.roi_heads
        self._num_detections, self._option = detection_limit(model.roi_heads)
        self._default = self._num_detections
        self._num_proposals = model.proposal_generator.post_nms_topk[False]  # the entry of evaluation
        self._proposals: list[Instances] = []
        hook = partial(_keep_proposals, self._proposals)
        # The model does not keep this object alive, and the hook goes with it.
        weakref.finalize(self, model.proposal_generator.register_forward_hook(hook).remove)

    def set_max_detections(self, count: int | None) -> None:
        """Make `count` the largest number of detections of an image; None for the limit that the model came with."""
        count = self._default if count is None else count
        if count != self._num_detections:
            _set_detection_limit(self._roi_heads, count)
            self._num_detections = count

    def describe_max_detections(self) -> str:
        """Return the limit on detections with the options that raise it."""
        return f"{self._num_detections} detections; raise --max-detections or {self._option}"

    def reached(self, detections: Instances, score_threshold: float, index: int = 0) -> list[str]:
        """Return descriptions of the limits without which an image of the last batch could have more detections.

        Args:
            detections: All detections that the model returned for it.
            score_threshold: Detections with lower scores are not wanted.
            index: Index of the image in the batch.
        """
        reached = []
        # Rescoring by masks comes after the limit and only lowers scores.
        scores = detections.box_scores if detections.has("box_scores") else detections.scores
        # What the limit leaves out has lower scores than what it keeps.
        if 0 <= self._num_detections <= len(scores) and (scores >= score_threshold).all():
            reached.append(self.describe_max_detections())
        # The proposal network takes a region for an object rather than for background if its logit is positive.
        logits = self._proposals[index].objectness_logits
        if len(logits) >= self._num_proposals and (logits > 0).all():
            reached.append(f"{self._num_proposals} proposals; raise {_RPN}.post_nms_topk and {_RPN}.pre_nms_topk")
        return reached


def _keep_proposals(
    kept: list[Instances], _module: nn.Module, _inputs: object, outputs: tuple[list[Instances], dict]
) -> None:
    kept[:] = outputs[0]


def detection_limit(roi_heads: nn.Module) -> tuple[int, str]:
    """Return the largest number of detections, -1 if there is no limit, and the option for it."""
    owner, predictor, option = _selecting_modules(roi_heads)
    selection = getattr(owner, "box_selection", BoxSelection())
    if not selection.use_soft_nms:
        return predictor.test_topk_per_image, f"{option}.test_topk_per_image"
    owner_option = _ROI_HEADS if owner is roi_heads else option
    count = -1 if selection.soft_nms_topk is None else selection.soft_nms_topk
    return count, f"{owner_option}.soft_nms_topk"


def _set_detection_limit(roi_heads: nn.Module, count: int) -> None:
    """Change the limit that `detection_limit` returns; -1 for none."""
    owner, predictor, _ = _selecting_modules(roi_heads)
    selection = getattr(owner, "box_selection", BoxSelection())
    if selection.use_soft_nms:
        owner.box_selection = replace(selection, soft_nms_topk=None if count < 0 else count)
    else:
        predictor.test_topk_per_image = count


def _selecting_modules(roi_heads: nn.Module) -> tuple[Any, Any, str]:
    """Return the module with `box_selection`, if it has one, the box predictor, and the option for the latter."""
    predictor: Any = roi_heads.box_predictor
    if isinstance(predictor, nn.ModuleList):  # a cascade, whose detections are selected once, after its last stage
        return roi_heads, predictor[-1], f"{_ROI_HEADS}.box_predictors.{len(predictor) - 1}"
    return predictor, predictor, f"{_ROI_HEADS}.box_predictor"
