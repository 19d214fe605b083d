"""Cascade Mask R-CNN on a plain ViT of timm, for COCO or custom data; see docs/howto/timm_backbones.md."""

import torch
from detectron2.config import LazyCall as L

from detectron2_ext.modeling.timm_vit import TimmViT
from eva_backbone.timm_models import pixel_mean, pixel_std
from eva_engine.training.optimization import layer_decay_groups

from ..common.coco_loader_lsj_1024 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet import model
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

# Side in pixels of the square that images are padded to; the image sizes below follow it. A multiple of 16.
model.backbone.square_pad = 1024
model.backbone.net = L(TimmViT)(
    # Name of a plain ViT in timm, with or without the tag of its weights.
    name="vit_small_patch16_dinov3.lvd1689m",
    img_size="${..square_pad}",
    # True: timm takes the weights from its cache, or downloads them. Otherwise give their file as
    # train.init_checkpoint; without either, training starts from random weights.
    pretrained=False,
    # Side of the attention windows in patches of 16 pixels, and number of blocks that attend globally nevertheless. 0:
    # all blocks attend globally, as in pre-training.
    window_size=0,
    num_global_blocks=4,
    # Increases linearly from 0 in the first block to this rate in the last.
    drop_path_rate=0.1,
    out_feature="last_feat",
)
# The statistics that the weights were trained with, from timm's description of them.
for _key, _statistic in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
    model[_key] = L(_statistic)(name="${model.backbone.net.name}", channel_order="${model.input_format}")

_, _resize, _crop = dataloader.train.mapper.augmentations
_resize.target_height = _resize.target_width = "${model.backbone.square_pad}"
_crop.crop_size = ["${model.backbone.square_pad}", "${model.backbone.square_pad}"]
(_resize,) = dataloader.test.mapper.augmentations
_resize.short_edge_length = _resize.max_size = "${model.backbone.square_pad}"

optimizer = L(torch.optim.AdamW)(
    # The training loop sets params.model before it builds the optimizer. Layers, and tokens and tables without weight
    # decay, are those of timm.
    params=L(layer_decay_groups)(
        base_lr="${..lr}",
        weight_decay="${..weight_decay}",
        # Learning rate of layer i of the backbone: lr * decay_rate ** (depth + 1 - i).
        decay_rate=0.8,
    ),
    lr=1e-4,
    betas=(0.9, 0.999),
    weight_decay=0.1,
)

# 36 epochs: 118,000 images * 36 / 64
train.max_iter = 66375
lr_multiplier = warmup_then_steps(max_iter=66375, warmup_iters=1000, milestones=[59000, 63900])
