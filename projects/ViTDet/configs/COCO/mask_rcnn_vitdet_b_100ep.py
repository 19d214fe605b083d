from ..common.coco_loader_lsj_1024 import dataloader
from ..common.models.mask_rcnn_vitdet import model
from ..common.optim import optimizer
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

# train.init_checkpoint: the MAE pre-trained ViT-B.

# 100 epochs: 118,000 images * 100 / 64
train.max_iter = 184375
lr_multiplier = warmup_then_steps(max_iter=184375, warmup_iters=250, milestones=[163889, 177546])

optimizer.params.overrides = {"pos_embed": {"weight_decay": 0.0}}
