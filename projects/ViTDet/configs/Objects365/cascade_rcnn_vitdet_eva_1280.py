from ..common.models.cascade_rcnn_vitdet_eva import model
from ..common.o365_loader_lsj_1280 import dataloader
from ..common.optim_eva import optimizer
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

published = {"init": ["eva_psz14to16.pt"], "evaluate": ["eva_o365.pth"]}

# The published recipe is unknown; see the config for 1024 pixels. Learning rate and warm-up are those of EVA-02 for
# training at 1280 pixels from the start. Its second stage after 1024 pixels is this config with
#   optimizer.lr=1e-4 lr_multiplier.warmup_length=0.014283
#   lr_multiplier.scheduler.values=[1.0,0.1,0.01] lr_multiplier.scheduler.milestones=[45000,350056]

model.roi_heads.num_classes = 365

# 25 epochs of 1,792,292 images with batch size 128
train.max_iter = 350057
optimizer.lr = 1.5e-4
lr_multiplier = warmup_then_steps(max_iter=350057, warmup_iters=3500, milestones=[350056])
