from eva_semseg.models import MODELS

from .eva_giant_mask2former import model

_backbone, _head = MODELS["eva_giant_mask2former_rel_pos"]
model.backbone.update(_backbone)
model.decode_head.update(_head)
