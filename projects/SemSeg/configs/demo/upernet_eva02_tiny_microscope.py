"""A small EVA-02 with UperNet, trained like mask2former_eva_tiny_microscope.py."""

from eva_semseg.models import MODELS

from ..common.models.eva02_base_upernet import model
from .mask2former_eva_tiny_microscope import SIDE, dataloader, lr_multiplier, optimizer, train

_backbone, _head, _auxiliary_head = MODELS["eva02_tiny_upernet"]
model.backbone.update(_backbone, img_size=SIDE)
model.decode_head.update(_head, num_classes=3)
model.auxiliary_head.update(_auxiliary_head)
model.inference.windows.update(size=(SIDE, SIDE), stride=(96, 96), batch_size=16)
model.inference.update(pixel_mean=[70.0, 70.0, 70.0], pixel_std=[60.0, 60.0, 60.0])
