from projects.ViTDet.configs.COCO.mask_rcnn_vitdet_b_100ep import lr_multiplier, optimizer, train
from projects.ViTDet.configs.common.coco_loader_lsj_1024 import dataloader
from projects.ViTDet.configs.common.models.mask_rcnn_vitdet import model
