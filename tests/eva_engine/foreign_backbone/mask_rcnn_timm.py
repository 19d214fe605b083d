"""Mask R-CNN on a timm ViT: a packaged recipe with another backbone."""

from detectron2.config import LazyCall as L

from tests.eva_engine.foreign_backbone.timm_vit import TimmViT

from ....projects.ViTDet.configs.COCO.mask_rcnn_vitdet_b_100ep import dataloader, lr_multiplier, model, optimizer, train

model.backbone.net = L(TimmViT)(name="vit_tiny_patch16_224", depth=4, img_size=256)
model.backbone.in_feature = "last_feat"
model.backbone.square_pad = 256
model.roi_heads.batch_size_per_image = 64
optimizer.params.lr_factor_func.num_layers = 4
dataloader.train.total_batch_size = 1
train.device = "cpu"
train.amp.enabled = False
