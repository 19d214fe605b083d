from ..common.evaluate_at_1536 import evaluate_at_1536
from .cascade_mask_rcnn_vitdet_eva import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_coco_det.pth", "eva_coco_seg.pth"]}

evaluate_at_1536(model, dataloader)
