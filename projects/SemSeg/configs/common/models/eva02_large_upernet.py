from eva_semseg.models import MODELS

from .eva02_base_upernet import model

_backbone, _head, _auxiliary_head = MODELS["eva02_large_upernet"]
model.backbone.update(_backbone)
model.decode_head.update(_head)
model.auxiliary_head.update(_auxiliary_head)
