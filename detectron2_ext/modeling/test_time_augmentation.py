"""Test-time augmentation of a detector: the same image at several sizes and mirrored, with one set of detections.

Boxes and class scores of the regions of all views, in the coordinates of the image as the recipe resizes it, go through
the model's own selection together (score threshold, NMS or soft-NMS). The score of a detection is then that which the
views give it on average: what only one of four views shows is less certain than what all show. Its mask is the mean of
those that the views nearest to the recipe's size give for its box; masks of other sizes are worse if a model was not
trained with objects of that size. With one view, the unchanged image, the result is that of the model.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.data import transforms as T
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Boxes, ImageList, Instances

from eva_backbone.errors import InputError

from .box_selection import BoxSelection
from .cascade_roi_heads import CascadeROIHeads, rescore_by_maskness

DEFAULT_SCALES = (1.0, 1.25)
# A region of a view shows a detection if the IoU of their boxes is at least this.
_SAME_BOX = 0.7


class View(NamedTuple):
    """A view of an image.

    Attributes:
        pixels: uint8 [3, h, w], in the model's channel order.
        is_mirrored: Whether left and right are exchanged.
    """

    pixels: torch.Tensor
    is_mirrored: bool


class ViewSet(NamedTuple):
    """The views of an image, and (height, width) of the image as the recipe resizes it."""

    views: list[View]
    size: tuple[int, int]


class TestTimeAugmentation:
    """Make views of images and detect objects in them.

    Args:
        scales: Sizes of the views relative to the image as the recipe resizes it. A view that is larger than the square
            that the model pads images to is padded to a larger square.
        mirror: Add the mirrored image of each view.

    Raises:
        InputError: There are no scales, or one is not positive.
    """

    __test__ = False  # pytest would take it for a test class

    def __init__(self, scales: Sequence[float] = DEFAULT_SCALES, mirror: bool = True) -> None:
        self.scales, self.mirror = tuple(scales), mirror
        if not self.scales or min(self.scales) <= 0:
            raise InputError(f"the scales of test-time augmentation are {list(scales)}; give numbers above 0.")

    def views(self, image: np.ndarray, resize: T.Augmentation) -> ViewSet:
        """Return the views of an image.

        Args:
            image: uint8 [H, W, 3] of any size, in the model's channel order.
            resize: The recipe's test-time resize.

        Raises:
            ValueError: The image is too narrow for the resize.
        """
        resized = T.AugInput(image)
        resize(resized)
        height, width = resized.image.shape[:2]
        views = []
        for scale in self.scales:
            pixels = resized.image
            if scale != 1:
                size = (max(round(height * scale), 1), max(round(width * scale), 1))
                # From the original image: enlarging what was shrunk before would add nothing.
                pixels = T.ResizeTransform(*image.shape[:2], *size).apply_image(image)
            views.append(View(_to_tensor(pixels), False))
            if self.mirror:
                views.append(View(_to_tensor(pixels[:, ::-1]), True))
        return ViewSet(views, (height, width))

    def detect(self, model: GeneralizedRCNN, view_set: ViewSet) -> Instances:
        """Return the detections of `model` in all views, like `model.inference` does without post-processing.

        Args:
            model: Detector in evaluation mode.
            view_set: The views of an image.

        Returns:
            Instances of the size of the resized image, with `pred_boxes`, `scores`, `pred_classes` and, from a model
            with a mask head, `pred_masks` [N, 1, M, M].

        Raises:
            InputError: The class of the model's heads is unknown.
        """
        roi_heads = model.roi_heads
        score_regions, predictor, selection = _box_stage(roi_heads)
        boxes, scores, mask_views = [], [], []
        nearest = min(self.scales, key=lambda scale: abs(scale - 1))
        scales = np.repeat(self.scales, 2 if self.mirror else 1)
        for view, scale in zip(view_set.views, scales, strict=True):
            images = _pad(model, view.pixels)
            levels = model.backbone(images.tensor)
            proposals, _ = model.proposal_generator(images, levels, None)
            (view_boxes,), (view_scores,) = score_regions(levels, proposals)
            boxes.append(_from_view(view_boxes.unflatten(1, (-1, 4)), view, view_set.size).flatten(1))
            scores.append(view_scores)
            if roi_heads.mask_on and scale == nearest:
                mask_views.append((view, {name: levels[name] for name in roi_heads.mask_in_features}))
        (detections,), _ = selection.select(predictor, [torch.cat(boxes)], [torch.cat(scores)], [view_set.size])
        detections.scores = detections.scores * score_agreement(detections, boxes, scores)
        detections = detections[detections.scores.argsort(descending=True, stable=True)]
        if roi_heads.mask_on:
            detections.pred_masks = _mean_masks(roi_heads, mask_views, detections)
            if getattr(roi_heads, "maskness_thresh", None) is not None:
                detections = rescore_by_maskness(detections, roi_heads.maskness_thresh)
        return detections


def _to_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _pad(model: GeneralizedRCNN, pixels: torch.Tensor) -> ImageList:
    """Normalise and pad a view as the model does, but to a larger square if the model's is too small."""
    normalised = (pixels.to(model.device) - model.pixel_mean) / model.pixel_std
    constraints = dict(model.backbone.padding_constraints)
    if constraints.get("square_size", 0) > 0:
        constraints["square_size"] = max(constraints["square_size"], *pixels.shape[1:])
    return ImageList.from_tensors([normalised], model.backbone.size_divisibility, padding_constraints=constraints)


def _box_stage(roi_heads: Any) -> tuple[Any, Any, BoxSelection]:
    """Return the function that gives boxes and scores of regions, the predictor with the thresholds, the selection."""
    if isinstance(roi_heads, CascadeROIHeads):
        return roi_heads.score_regions, roi_heads.box_predictor[-1], roi_heads.box_selection
    if type(roi_heads) is not StandardROIHeads:
        raise InputError(
            f"test-time augmentation supports StandardROIHeads and detectron2_ext's CascadeROIHeads, not "
            f"{type(roi_heads).__name__}; predict without it."
        )

    def score_regions(features: dict[str, torch.Tensor], proposals: list[Instances]) -> tuple[Any, Any]:
        levels = [features[name] for name in roi_heads.box_in_features]
        pooled = roi_heads.box_pooler(levels, [x.proposal_boxes for x in proposals])
        predictions = roi_heads.box_predictor(roi_heads.box_head(pooled))
        predictor = roi_heads.box_predictor
        return predictor.predict_boxes(predictions, proposals), predictor.predict_probs(predictions, proposals)

    return score_regions, roi_heads.box_predictor, getattr(roi_heads.box_predictor, "box_selection", BoxSelection())


def _from_view(boxes: torch.Tensor, view: View, size: tuple[int, int]) -> torch.Tensor:
    """Convert boxes [..., 4] of a view to those of the image of `size` (height, width)."""
    height, width = view.pixels.shape[1:]
    x0, y0, x1, y1 = boxes.unbind(-1)
    if view.is_mirrored:
        x0, x1 = width - x1, width - x0
    across, down = size[1] / width, size[0] / height
    return torch.stack([x0 * across, y0 * down, x1 * across, y1 * down], dim=-1)


def _to_view(boxes: torch.Tensor, view: View, size: tuple[int, int]) -> torch.Tensor:
    """Convert boxes [N, 4] of the image of `size` (height, width) to those of a view."""
    height, width = view.pixels.shape[1:]
    x0, y0, x1, y1 = boxes.unbind(-1)
    across, down = width / size[1], height / size[0]
    x0, y0, x1, y1 = x0 * across, y0 * down, x1 * across, y1 * down
    if view.is_mirrored:
        x0, x1 = width - x1, width - x0
    return torch.stack([x0, y0, x1, y1], dim=-1)


def score_agreement(detections: Instances, boxes: list[torch.Tensor], scores: list[torch.Tensor]) -> torch.Tensor:
    """Return for each detection [N] the mean over the views of its score there, divided by the best of them.

    The score in a view is the best one of the detection's class among the regions that show the detection, or 0.

    Args:
        detections: Detections selected from all views.
        boxes: Boxes [R, 4] or [R, K * 4] of the regions of each view.
        scores: Their scores [R, K + 1].
    """
    corners, classes = detections.pred_boxes.tensor, detections.pred_classes
    height, width = detections.image_size
    limits = corners.new_tensor([width, height, width, height])  # detections are clipped, regions are not
    best = []
    for view_boxes, view_scores in zip(boxes, scores, strict=True):
        per_class = torch.minimum(view_boxes.unflatten(1, (-1, 4)).clamp(min=0), limits)
        region_boxes = per_class if per_class.shape[1] == 1 else per_class[:, classes]
        is_same = _iou(corners, region_boxes) >= _SAME_BOX
        # Regions with scores that are not finite are left out by the selection, too.
        class_scores = view_scores[:, classes].float().nan_to_num(0, 0, 0)
        best.append((class_scores * is_same).amax(dim=0) if len(class_scores) else class_scores.new_zeros(len(corners)))
    best_scores = torch.stack(best)
    highest = best_scores.amax(dim=0)
    return torch.where(highest > 0, best_scores.mean(dim=0) / highest.clamp(min=1e-9), 1)


def _iou(boxes: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return the IoU [R, N] of boxes [N, 4] with boxes [R, N, 4] or [R, 1, 4]; 0 for boxes without area."""
    low, high = torch.maximum(boxes[:, :2], others[..., :2]), torch.minimum(boxes[:, 2:], others[..., 2:])
    intersection = (high - low).clamp(min=0).prod(dim=-1)
    area, other_area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1), (others[..., 2:] - others[..., :2]).prod(dim=-1)
    return intersection / (area + other_area - intersection).clamp(min=1e-9)


def _mean_masks(
    roi_heads: Any, views: list[tuple[View, dict[str, torch.Tensor]]], detections: Instances
) -> torch.Tensor:
    """Return the mask probabilities [N, 1, M, M] of the detections, averaged over views with their feature maps."""
    total: Any = 0
    for view, levels in views:
        boxes = Boxes(_to_view(detections.pred_boxes.tensor, view, detections.image_size))
        # Without scores, because the heads would rescore those of each view by its masks and sort them.
        given = Instances(tuple(view.pixels.shape[1:]), pred_boxes=boxes, pred_classes=detections.pred_classes)
        (given,) = roi_heads.forward_with_given_boxes(levels, [given])
        total = total + (given.pred_masks.flip(3) if view.is_mirrored else given.pred_masks)
    return total / len(views)
