"""Mask R-CNN on the image encoder of SAM: a packaged recipe with another backbone."""

from detectron2.config import LazyCall as L

from tests.eva_engine.foreign_backbone.sam_vit import SamViT

from ....projects.ViTDet.configs.COCO.mask_rcnn_vitdet_b_100ep import dataloader, lr_multiplier, model, optimizer, train

model.backbone.net = L(SamViT)(name="samvit_base_patch16", depth=4, embed_dim=192, num_heads=3, img_size=256)
model.backbone.in_feature = "last_feat"
model.backbone.square_pad = 256
model.roi_heads.batch_size_per_image = 64
optimizer.params.lr_factor_func.num_layers = 4
dataloader.train.total_batch_size = 1
train.device = "cpu"
train.amp.enabled = False
