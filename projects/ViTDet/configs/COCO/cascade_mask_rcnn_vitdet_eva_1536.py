from projects.ViTDet.configs.COCO.cascade_mask_rcnn_vitdet_eva import lr_multiplier, optimizer, train
from projects.ViTDet.configs.common.coco_loader_lsj_1024 import dataloader
from projects.ViTDet.configs.common.models.cascade_mask_rcnn_vitdet_eva import model

from ..common.evaluate_at_1536 import evaluate_at_1536

# To evaluate: eva_coco_det.pth, eva_coco_seg.pth
evaluate_at_1536(model, dataloader)
