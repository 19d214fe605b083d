"""The selection of detections by hard NMS or soft-NMS, with a fixed number of them and no sizes that depend on values.

Both emit the best candidate again and again and lower the scores of those of its class that overlap it: hard NMS to
nothing, soft-NMS by a factor. The first detections are therefore found without sorting or comparing all candidates, of
which there are up to regions times classes.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..modeling.box_selection import BoxSelection
from .box_overlap import box_iou, group_offset, largest_kept_iou
from .fixed_loop import repeat_while

# Score of what is not a candidate, or not any more. Those of candidates are probabilities.
_NO_CANDIDATE = -1.0


class Selected(NamedTuple):
    """Detections of the images of a batch, best first.

    Attributes:
        boxes: Boxes [B, D, 4]; zeros where there is no detection.
        scores: Scores [B, D]; zeros where there is no detection.
        classes: int64 [B, D].
        is_valid: bool [B, D]; the valid ones come first.
    """

    boxes: Tensor
    scores: Tensor
    classes: Tensor
    is_valid: Tensor


class GreedySelection:
    """`BoxSelection.select` for a fixed number of detections.

    Args:
        selection: Settings of the detector.
        score_threshold: Only pairs of a region and a class with a higher score are candidates.
        nms_threshold: IoU above which hard NMS removes a box.
        num_detections: Number of detections per image.
    """

    def __init__(
        self, selection: BoxSelection, score_threshold: float, nms_threshold: float, num_detections: int
    ) -> None:
        self.selection = selection
        override = selection.override_score_thresh
        self.score_threshold = score_threshold if override is None else override
        self.max_iou = largest_kept_iou(nms_threshold)
        self.num_detections = num_detections
        # Numbers of float32, in which soft-NMS computes.
        self.soft_iou, self.sigma = float(np.float32(selection.iou_threshold)), float(np.float32(selection.sigma))
        # Candidates with a lower score are dropped.
        self.min_score = float(np.float32(max(selection.min_score, 0.0))) if selection.use_soft_nms else 0.0

    def select(self, boxes: Tensor, scores: Tensor, is_valid: Tensor) -> Selected:
        """Return the detections.

        Args:
            boxes: Clipped boxes of the regions, float32 [B, R, K, 4], or [B, R, 1, 4] if the classes share them.
            scores: Probabilities of the classes without background, float32 [B, R, K].
            is_valid: bool [B, R]; regions that are not valid are left out.
        """
        is_candidate = is_valid[..., None] & (scores > self.score_threshold)
        num_classes = scores.shape[2]
        candidates = torch.where(is_candidate, scores, _NO_CANDIDATE)
        if self.selection.use_soft_nms and not self.selection.class_wise:
            # All candidates are of one class; their numbers, row by row, stay those of the pairs.
            shared = boxes.expand(-1, -1, num_classes, -1).flatten(1, 2)[:, None]
            numbers, found, is_found = self._run(shared, candidates.flatten(1)[:, None])
        else:
            offset = None
            if not self.selection.use_soft_nms:
                pairs = boxes.expand(-1, -1, num_classes, -1).flatten(1, 2)
                offset = group_offset(pairs, is_candidate.flatten(1))
            by_class = candidates.transpose(1, 2)
            numbers, found, is_found = self._run(boxes.transpose(1, 2).contiguous(), by_class, offset)
        regions, classes = numbers // num_classes, numbers % num_classes
        # Of the boxes of a region, the one of the class or the only one.
        column = classes if boxes.shape[2] > 1 else torch.zeros_like(classes)
        row = regions * boxes.shape[2] + column
        chosen = boxes.flatten(1, 2).gather(1, row[..., None].expand(-1, -1, 4))
        zero = torch.zeros_like(found)
        return Selected(
            torch.where(is_found[..., None], chosen, 0.0), torch.where(is_found, found, zero), classes, is_found
        )

    def _run(self, boxes: Tensor, scores: Tensor, offset: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Emit candidates.

        Args:
            boxes: Boxes [B, K, R, 4], or [B, 1, R, 4] if the classes share them.
            scores: Scores [B, K, R], `_NO_CANDIDATE` where there is none.
            offset: Distance [B] by which the boxes of consecutive classes are moved apart.

        Returns:
            Numbers, region * K + class, int64 [B, D]; scores [B, D]; and whether there is a detection, bool [B, D].
        """
        batch, num_classes, num_regions = scores.shape
        device = scores.device
        num_detections, min_score = self.num_detections, self.min_score
        region_numbers = torch.arange(num_regions, device=device)
        class_numbers = torch.arange(num_classes, device=device)
        positions = torch.arange(num_detections, device=device)
        after_last = num_regions * num_classes
        shared = boxes.shape[1] == 1

        def is_live(score: Tensor, count: Tensor) -> Tensor:
            # Candidates below the smallest score are dropped, except for the first detection of an image.
            return (score >= min_score) | ((count == 0) & (score >= 0))

        def condition(count: Tensor, best: Tensor, *_state: Tensor) -> Tensor:
            return (count < num_detections) & is_live(best.amax(dim=(0, 1)), count)

        def step(
            count: Tensor, best: Tensor, best_region: Tensor, left: Tensor, numbers: Tensor, found: Tensor
        ) -> tuple[Tensor, ...]:
            # `best` [B, K] and `best_region` [B, K] are the best candidate of each class in `left` [B, K, R]. Of equal
            # scores the lowest number comes first.
            score = best.amax(dim=1)
            own_numbers = best_region * num_classes + class_numbers
            number = torch.where(best == score[:, None], own_numbers, after_last).amin(dim=1)
            region, class_id = number // num_classes, number % num_classes
            is_here = (positions == count) & is_live(score, count)[:, None]
            numbers = torch.where(is_here, number[:, None], numbers)
            found = torch.where(is_here, score[:, None], found)
            of_class = class_id[:, None, None].expand(-1, 1, num_regions)
            class_scores = left.gather(1, of_class)[:, 0]
            class_boxes = boxes[:, 0] if shared else boxes.gather(1, of_class[..., None].expand(-1, -1, -1, 4))[:, 0]
            if offset is not None:
                class_boxes = class_boxes + (class_id * offset)[:, None, None]
            emitted = class_boxes.gather(1, region[:, None, None].expand(-1, 1, 4))
            is_gone = (class_scores < 0) | (region_numbers == region[:, None])
            lowered = torch.where(is_gone, _NO_CANDIDATE, self._lower(class_scores, box_iou(emitted, class_boxes)))
            left = left.scatter(1, of_class, lowered[:, None])
            class_best, class_region = _best(lowered, region_numbers)
            is_class = class_numbers == class_id[:, None]
            best = torch.where(is_class, class_best[:, None], best)
            best_region = torch.where(is_class, class_region[:, None], best_region)
            return count + 1, best, best_region, left, numbers, found

        state = (
            torch.zeros((), dtype=torch.int64, device=device),
            *_best(scores, region_numbers),
            # A loop must keep the strides, which `contiguous` leaves as they are if there is only one class.
            scores.clone(memory_format=torch.contiguous_format),
            torch.zeros(batch, num_detections, dtype=torch.int64, device=device),
            torch.full((batch, num_detections), _NO_CANDIDATE, device=device),
        )
        *_, numbers, found = repeat_while(condition, step, state)
        return numbers, found, found > _NO_CANDIDATE

    def _lower(self, scores: Tensor, iou: Tensor) -> Tensor:
        """Return the scores [B, R] of candidates after a box was emitted with which they have IoU [B, R]."""
        selection = self.selection
        if not selection.use_soft_nms:
            return torch.where(iou > self.max_iou, _NO_CANDIDATE, scores)
        if selection.method == "gaussian":
            return scores * torch.exp(-(iou * iou) / self.sigma)
        factor = torch.zeros_like(iou) if selection.method == "naive" else 1 - iou
        return torch.where(iou >= self.soft_iou, scores * factor, scores)


def _best(scores: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best of the scores [..., R], [...], and the first of the `numbers` [R] that has it, int64 [...]."""
    best = scores.amax(dim=-1)
    return best, torch.where(scores == best[..., None], numbers, scores.shape[-1]).amin(dim=-1)
