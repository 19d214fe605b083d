from ..common.models.cascade_rcnn_vitdet_eva import model
from ..common.o365_loader_lsj_1024 import dataloader
from ..common.optim_eva import optimizer
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

# EVA-01's own recipe for eva_o365.pth was not released. Batch, learning rate, warm-up and length are those of the
# billion-parameter configs kept in EVA-02 (first stage, 1024 pixels); the published weights say 380,000 iterations,
# which no released config gives. The steps of the learning rate in this stage are unknown: here it stays constant.
# The frozen patch embedding is EVA-01's; EVA-02 trains it.

# train.init_checkpoint: eva_psz14to16.pt
model.roi_heads.num_classes = 365
# The position tables keep the size of the next stage, which is that of the published file (img_size=1280).
model.backbone.square_pad = 1024

# 25 epochs of 1,792,292 images at 128
train.max_iter = 350057
optimizer.lr = 1e-4
lr_multiplier = warmup_then_steps(max_iter=350057, warmup_iters=15000, milestones=[350056])
