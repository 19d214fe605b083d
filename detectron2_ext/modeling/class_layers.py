"""The layers of box and mask heads whose size is the number of classes."""

from torch import nn


def reset_class_layers(roi_heads: nn.Module, num_classes: int) -> None:
    """Replace the class-dependent layers of Detectron2's ROI heads, in place, initialised as Detectron2 does.

    Args:
        roi_heads: `StandardROIHeads` or `CascadeROIHeads`, with or without a mask head.
        num_classes: new number of classes, without the background.
    """
    roi_heads.num_classes = num_classes
    predictors = roi_heads.box_predictor
    for predictor in predictors if isinstance(predictors, nn.ModuleList) else [predictors]:
        predictor.num_classes = num_classes
        width = predictor.cls_score.in_features
        predictor.cls_score = _linear(width, num_classes + 1, std=0.01)
        box_dim = len(predictor.box2box_transform.weights)
        is_class_agnostic = predictor.bbox_pred.out_features == box_dim
        if not is_class_agnostic:
            predictor.bbox_pred = _linear(width, num_classes * box_dim, std=0.001)
    mask_head = getattr(roi_heads, "mask_head", None)
    if mask_head is not None and mask_head.predictor.out_channels > 1:
        old = mask_head.predictor
        mask_head.predictor = type(old)(old.in_channels, num_classes, kernel_size=1)
        nn.init.normal_(mask_head.predictor.weight, std=0.001)
        nn.init.zeros_(mask_head.predictor.bias)


def _linear(width: int, outputs: int, std: float) -> nn.Linear:
    layer = nn.Linear(width, outputs)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer
