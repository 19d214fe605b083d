from ..common.lvis_loader_lsj_1280 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva import model
from ..common.models.lvis_heads import use_lvis_heads
from ..common.optim_eva import optimizer
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

published = {"init": ["eva_o365.pth"]}

use_lvis_heads(model, score_thresh=0.02, topk=300)

train.max_iter = 75001
# As in the released config. It is 8 times the COCO value, possibly a leftover from the ViTDet recipe for LVIS.
optimizer.lr = 2e-4
lr_multiplier = warmup_then_steps(max_iter=75001, warmup_iters=250, milestones=[70000, 75000])
