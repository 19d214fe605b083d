"""Detectron2's region proposals with a fixed number of them, and a mask of those that there are."""

from typing import NamedTuple

import torch
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.proposal_generator import RPN
from torch import Tensor, nn

from eva_backbone.errors import InputError

from .box_overlap import box_iou, group_offset, largest_kept_iou
from .fixed_loop import repeat_while


class Proposals(NamedTuple):
    """Proposals of the images of a batch, best first.

    Attributes:
        boxes: Boxes [B, P, 4] in pixels; zeros where there is no proposal.
        logits: Objectness [B, P]; -inf where there is no proposal.
        is_valid: bool [B, P]; the valid ones come first.
    """

    boxes: Tensor
    logits: Tensor
    is_valid: Tensor


class FixedProposals(nn.Module):
    """The inference of Detectron2's `RPN` with its parameters, without sizes that depend on values.

    Args:
        rpn: Proposal generator of a detector.

    Raises:
        InputError: It has another class, or other anchors than upright boxes.
    """

    def __init__(self, rpn: nn.Module) -> None:
        super().__init__()
        if not isinstance(rpn, RPN) or not isinstance(rpn.anchor_generator, DefaultAnchorGenerator):
            raise InputError(
                f"{type(rpn).__name__} cannot be exported; use Detectron2's RPN with DefaultAnchorGenerator."
            )
        self.rpn = rpn
        self.in_features = list(rpn.in_features)
        self.num_candidates, self.num_proposals = rpn.pre_nms_topk[False], rpn.post_nms_topk[False]
        self.max_iou, self.min_size = largest_kept_iou(rpn.nms_thresh), rpn.min_box_size

    def forward(self, features: dict[str, Tensor], limits: Tensor) -> Proposals:
        """Return the proposals.

        Args:
            features: Maps of the pyramid.
            limits: Width, height, width and height of each image in pixels, float32 [B, 4].
        """
        maps = [features[name] for name in self.in_features]
        anchors = self.rpn.anchor_generator(maps)
        logit_maps, delta_maps = self.rpn.rpn_head(maps)
        levels = []
        for level_anchors, logit_map, delta_map in zip(anchors, logit_maps, delta_maps, strict=True):
            levels.append(self._best_of_level(level_anchors.tensor, logit_map, delta_map, limits))
        boxes, logits, valid = (list(parts) for parts in zip(*levels, strict=True))
        kept = self._suppress(boxes, valid)
        all_logits = torch.where(torch.cat(kept, dim=1), torch.cat(logits, dim=1), -torch.inf)
        best, index = all_logits.topk(min(self.num_proposals, all_logits.shape[1]), dim=1)
        is_valid = best > -torch.inf
        chosen = torch.cat(boxes, dim=1).gather(1, index[..., None].expand(-1, -1, 4))
        return Proposals(torch.where(is_valid[..., None], chosen, 0.0), best, is_valid)

    def _best_of_level(
        self, anchors: Tensor, logit_map: Tensor, delta_map: Tensor, limits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes [B, k, 4], logits [B, k] and whether NMS gets them, bool [B, k], best first."""
        batch, num_anchors, height, width = logit_map.shape
        # To [B, H * W * A], the order of the anchors.
        logits = logit_map.permute(0, 2, 3, 1).flatten(1)
        deltas = delta_map.unflatten(1, (num_anchors, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        best, index = logits.topk(min(self.num_candidates, height * width * num_anchors), dim=1)
        best_deltas = deltas.gather(1, index[..., None].expand(-1, -1, 4))
        decoded = self.rpn.box2box_transform.apply_deltas(best_deltas.flatten(0, 1), anchors[index.flatten()])
        boxes = decoded.reshape(batch, -1, 4)
        is_finite = boxes.isfinite().all(dim=2) & best.isfinite()
        boxes = clip_boxes(boxes, limits)
        sides = boxes[..., 2:] - boxes[..., :2]
        return boxes, best, is_finite & (sides > self.min_size).all(dim=2)

    def _suppress(self, boxes: list[Tensor], valid: list[Tensor]) -> list[Tensor]:
        """Return which boxes of each level NMS keeps, bool [B, k]."""
        offset = group_offset(torch.cat(boxes, dim=1), torch.cat(valid, dim=1))
        removes = []
        for level, (level_boxes, is_valid) in enumerate(zip(boxes, valid, strict=True)):
            moved = level_boxes + (level * offset)[:, None, None]
            iou = box_iou(moved[:, :, None], moved[:, None])  # [B, k, k]
            # Boxes are sorted: each may remove only those after it. As numbers, for matrix products.
            removes.append(torch.triu((iou > self.max_iou) & is_valid[:, :, None], diagonal=1).float())

        def step(_has_changed: Tensor, *kept: Tensor) -> tuple[Tensor, ...]:
            updated = []
            has_changed = torch.zeros((), dtype=torch.bool, device=kept[0].device)
            for is_valid, is_kept, overlaps in zip(valid, kept, removes, strict=True):
                num_removers = (is_kept[:, None].float() @ overlaps)[:, 0]
                updated.append(is_valid & (num_removers < 0.5))
                has_changed = has_changed | (updated[-1] != is_kept).any()
            return (has_changed, *updated)

        # A box is kept if no box before it that is kept removes it. After n steps this is settled for the first n boxes
        # at least, mostly for all after a few; what a step does not change is the result of NMS.
        start = torch.ones((), dtype=torch.bool, device=offset.device)
        return list(repeat_while(_first, step, (start, *[is_valid.clone() for is_valid in valid]))[1:])


def _first(has_changed: Tensor, *_kept: Tensor) -> Tensor:
    return has_changed.clone()


def clip_boxes(boxes: Tensor, limits: Tensor) -> Tensor:
    """Clip boxes [B, N, 4] to their images, whose width, height, width and height are in `limits` [B, 4]."""
    return torch.minimum(boxes.clamp(min=0), limits[:, None])
