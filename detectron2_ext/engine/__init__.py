"""Training and evaluation of Detectron2 recipes."""

from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate

from .layer_decay import layer_decay

__all__ = ["get_vit_lr_decay_rate", "layer_decay"]
