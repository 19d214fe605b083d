"""Layer-wise learning-rate decay of a plain ViT."""

from collections.abc import Callable
from functools import partial

from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate


def layer_decay(num_layers: int, lr_decay_rate: float) -> Callable[[str], float]:
    """Factor of the learning rate by parameter name, for `lr_factor_func` of Detectron2's parameter groups.

    Position and patch embedding are layer 0, block i is layer i + 1, all else (pyramid, RPN, heads) is layer
    `num_layers` + 1; the factor is `lr_decay_rate` ** (`num_layers` + 1 - layer). Source: ViTDet paper, appendix A.2.
    """
    return partial(get_vit_lr_decay_rate, num_layers=num_layers, lr_decay_rate=lr_decay_rate)
