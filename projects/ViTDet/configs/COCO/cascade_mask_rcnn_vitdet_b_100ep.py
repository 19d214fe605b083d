from ..common.models.cascade_mask_rcnn_vitdet import model
from .mask_rcnn_vitdet_b_100ep import dataloader, lr_multiplier, optimizer, train
