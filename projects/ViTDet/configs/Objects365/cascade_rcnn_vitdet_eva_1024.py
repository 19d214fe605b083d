from ..common.models.cascade_rcnn_vitdet_eva import model
from ..common.o365_loader_lsj_1024 import dataloader
from ..common.optim_eva import optimizer
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

published = {"init": ["eva_psz14to16.pt"]}

# EVA-01's recipe for eva_o365.pth was not released. Batch size, learning rate, warm-up and number of iterations are
# those of the billion-parameter configs in the EVA-02 release (first stage, 1024 pixels). The published weights record
# 380,000 iterations, which no released config has. The steps of the learning rate in this stage are unknown, so it is
# constant here. The patch embedding is frozen as in EVA-01; EVA-02 trains it.

model.roi_heads.num_classes = 365
# The relative position tables keep the size of the next stage, which is that of the published file (img_size=1280).
model.backbone.square_pad = 1024

# 25 epochs of 1,792,292 images with batch size 128
train.max_iter = 350057
optimizer.lr = 1e-4
lr_multiplier = warmup_then_steps(max_iter=350057, warmup_iters=15000, milestones=[350056])
