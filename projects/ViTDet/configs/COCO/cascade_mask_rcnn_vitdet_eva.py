from ..common.coco_loader_lsj_1280 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva import model
from ..common.optim_eva import optimizer
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

published = {"init": ["eva_o365.pth"]}

# The published box AP is from iteration 35000, the mask AP from the last one.
train.max_iter = 45000
optimizer.lr = 2.5e-5
lr_multiplier = warmup_then_steps(max_iter=45000, warmup_iters=500, milestones=[40000, 44999])
