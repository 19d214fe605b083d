"""The layers of box and mask heads whose size depends on the number of classes."""

from typing import Any

import torch
from torch import nn

from eva_backbone.errors import check_num_classes


def reset_class_layers(roi_heads: Any, num_classes: int) -> None:
    """Replace the class-dependent layers of Detectron2's ROI heads in place, initialised as Detectron2 does.

    Box regression and masks that are shared by all classes stay shared. With a single class, both kinds look the same:
    box regression then stays shared, as in all published recipes, and masks become one per class. A federated loss,
    whose weights are frequencies of the old classes, is switched off.

    Args:
        roi_heads: `StandardROIHeads` or `CascadeROIHeads`, with or without a mask head.
        num_classes: New number of classes, without the background.

    Raises:
        InputError: `num_classes` is not a positive whole number.
    """
    check_num_classes(num_classes)
    old_num_classes = roi_heads.num_classes
    roi_heads.num_classes = num_classes
    predictors = roi_heads.box_predictor
    stages: list[Any] = list(predictors) if isinstance(predictors, nn.ModuleList) else [predictors]
    for predictor in stages:
        predictor.num_classes = num_classes
        # Detectron2's standard deviations. With weights near zero, all classes start equally likely and boxes start as
        # the proposals. The extra class is the background.
        predictor.cls_score = _new_linear(predictor.cls_score, num_classes + 1, std=0.01)
        box_dim = len(predictor.box2box_transform.weights)  # x, y, width and height
        if predictor.bbox_pred.out_features != box_dim:
            predictor.bbox_pred = _new_linear(predictor.bbox_pred, num_classes * box_dim, std=0.001)
        if predictor.use_fed_loss:
            predictor.use_fed_loss = False
            del predictor.fed_loss_cls_weights
    mask_head = getattr(roi_heads, "mask_head", None)
    if mask_head is not None and mask_head.predictor.out_channels == old_num_classes:
        old = mask_head.predictor
        new = nn.Conv2d(old.in_channels, num_classes, kernel_size=1)
        mask_head.predictor = _initialize(new, old.weight, std=0.001)


def _new_linear(old: nn.Linear, num_outputs: int, std: float) -> nn.Module:
    return _initialize(nn.Linear(old.in_features, num_outputs), old.weight, std)


def _initialize(layer: Any, like: torch.Tensor, std: float) -> nn.Module:
    """Initialise a new layer, and move it to the device and dtype of the weight that it replaces."""
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer.to(like)
