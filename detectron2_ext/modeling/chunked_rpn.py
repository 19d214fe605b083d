"""A region proposal network whose matching of anchors needs bounded memory, however many objects an image has."""

import copy

import torch
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.proposal_generator import RPN
from detectron2.structures import Boxes, Instances, pairwise_iou

_MAX_PAIRS = 2**23  # of an anchor and an object at a time; a pair needs about 40 bytes


class ChunkedRPN(RPN):
    """Detectron2's `RPN` with the same labels. It matches anchors in chunks instead of all at once.

    An image of 1024 pixels has 262,000 anchors, for which 1,000 objects would need 6 GB.
    """

    @torch.no_grad()
    def label_and_sample_anchors(
        self, anchors: list[Boxes], gt_instances: list[Instances]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the labels of the anchors of each image, and the box [R, 4] that each is matched to; see `RPN`."""
        all_anchors = Boxes.cat(anchors)
        labels, matched_boxes = [], []
        for instances in gt_instances:
            boxes = instances.gt_boxes
            matches, labels_of_image = match_anchors(self.anchor_matcher, boxes, all_anchors)
            if self.anchor_boundary_thresh >= 0:
                labels_of_image[~all_anchors.inside_box(instances.image_size, self.anchor_boundary_thresh)] = -1
            labels.append(self._subsample_labels(labels_of_image))
            no_boxes = torch.zeros_like(all_anchors.tensor)
            matched_boxes.append(boxes.tensor[matches] if len(boxes) else no_boxes)
        return labels, matched_boxes


def match_anchors(
    matcher: Matcher, boxes: Boxes, anchors: Boxes, max_pairs: int = _MAX_PAIRS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Match anchors to objects by their overlap, with the results of `matcher(pairwise_iou(boxes, anchors))`.

    Args:
        matcher: The rule.
        boxes: Boxes of the objects.
        anchors: The anchors.
        max_pairs: Number of overlaps that are in memory at a time.

    Returns:
        Index of the object, and label (1: object, 0: background, -1: ignored), of each anchor.
    """
    chunks = anchors.tensor.split(max(1, max_pairs // max(1, len(boxes))))
    if len(chunks) == 1:
        return matcher(pairwise_iou(boxes, anchors))
    by_threshold = copy.copy(matcher)
    by_threshold.allow_low_quality_matches = False
    matches, labels, largest = [], [], []
    for chunk in chunks:
        overlaps = pairwise_iou(boxes, Boxes(chunk))
        matches_of_chunk, labels_of_chunk = by_threshold(overlaps)
        matches.append(matches_of_chunk)
        labels.append(labels_of_chunk)
        largest.append(overlaps.amax(dim=1))
    if matcher.allow_low_quality_matches:
        # The anchors with the largest overlap with an object are labelled 1, however small it is. Which anchors these
        # are is known only after all chunks; the overlaps are computed again, since they do not fit into memory.
        largest_of_all = torch.stack(largest).amax(dim=0)
        for chunk, labels_of_chunk in zip(chunks, labels, strict=True):
            is_largest = pairwise_iou(boxes, Boxes(chunk)) == largest_of_all[:, None]
            labels_of_chunk[is_largest.any(dim=0)] = 1
    return torch.cat(matches), torch.cat(labels)
