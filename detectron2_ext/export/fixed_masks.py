"""The mask head for a fixed number of detections, and the rescoring by their masks."""

from typing import Any

import torch
from detectron2.modeling.roi_heads import MaskRCNNConvUpsampleHead
from torch import Tensor, nn

from eva_backbone.errors import InputError

from .fixed_pooling import FixedPooler
from .greedy_selection import Selected


class FixedMasks(nn.Module):
    """Predict the mask of each detection with the parameters of a detector.

    Args:
        roi_heads: Heads of a detector that predicts masks.

    Raises:
        InputError: Its mask head has another class.
    """

    def __init__(self, roi_heads: Any) -> None:
        super().__init__()
        if type(roi_heads.mask_head) is not MaskRCNNConvUpsampleHead:
            raise InputError(
                f"{type(roi_heads.mask_head).__name__} cannot be exported; use Detectron2's MaskRCNNConvUpsampleHead."
            )
        self.in_features = list(roi_heads.mask_in_features)
        self.pooler = FixedPooler(roi_heads.mask_pooler)
        self.layers = nn.ModuleList(list(roi_heads.mask_head)[:-1])
        self.predictor = roi_heads.mask_head.predictor

    def forward(self, features: dict[str, Tensor], selected: Selected) -> Tensor:
        """Return the mask probabilities [B, D, M, M] of the detections; zeros where there is no detection."""
        x = self.pooler([features[name] for name in self.in_features], selected.boxes)
        for layer in self.layers:
            x = layer(x)
        logits = self._class_logits(x, selected.classes.flatten())
        masks = logits.float().sigmoid().unflatten(0, selected.scores.shape)
        return torch.where(selected.is_valid[..., None, None], masks, 0.0)

    def _class_logits(self, x: Tensor, classes: Tensor) -> Tensor:
        """Return for each map of x [N, C, M, M] the logits [N, M, M] of its class, int64 [N].

        The last layer is a 1x1 convolution with an output per class, of which only one is wanted: with the 1203 classes
        of LVIS, computing all would take most of the time and memory.
        """
        weight, bias = self.predictor.weight.flatten(1), self.predictor.bias
        x = x.to(weight.dtype)
        if len(weight) == 1:
            return self.predictor(x)[:, 0]
        products = weight[classes][:, None] @ x.flatten(2)
        return (products[:, 0] + bias[classes][:, None]).unflatten(1, x.shape[2:])


def rescore(selected: Selected, masks: Tensor, threshold: float) -> tuple[Selected, Tensor, Tensor]:
    """Return what `rescore_by_maskness` gives: the detections and masks by the new scores, and the old scores [B, D].

    Args:
        selected: Detections.
        masks: Mask probabilities [B, D, M, M].
        threshold: Only pixels strictly above this probability count.
    """
    pixels = masks.flatten(2)
    foreground = pixels > threshold
    maskness = (pixels * foreground).sum(dim=2) / foreground.sum(dim=2).clamp(min=1)
    scores = selected.scores * maskness
    order = _descending(torch.where(selected.is_valid, scores, -1.0))
    boxes = selected.boxes.gather(1, order[..., None].expand(-1, -1, 4))
    ordered = [x.gather(1, order) for x in (scores, selected.classes, selected.is_valid, selected.scores)]
    masks = masks.gather(1, order[..., None, None].expand_as(masks))
    return Selected(boxes, *ordered[:3]), masks, ordered[3]


def _descending(scores: Tensor) -> Tensor:
    """Return the order [B, D] of descending scores [B, D], of equal ones that of their positions in every runtime."""
    positions = torch.arange(scores.shape[1], device=scores.device)
    is_earlier = positions[:, None] < positions
    precedes = (scores[:, :, None] > scores[:, None]) | ((scores[:, :, None] == scores[:, None]) & is_earlier)
    rank = precedes.sum(dim=1)  # number of those before it
    return torch.zeros_like(rank).scatter(1, rank, positions.expand_as(rank))
