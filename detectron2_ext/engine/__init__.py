"""Training and evaluation of Detectron2 recipes."""

from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate

from .build import build_model
from .evaluation import evaluate
from .optimization import build_optimizer, layer_decay
from .recipe import OwnData, load_config, use_own_data
from .training import train

__all__ = [
    "OwnData",
    "build_model",
    "build_optimizer",
    "evaluate",
    "get_vit_lr_decay_rate",
    "layer_decay",
    "load_config",
    "train",
    "use_own_data",
]
