from ..common.models.cascade_mask_rcnn_vitdet_eva02 import model, use_eva02
from ..common.o365_loader_lsj_1536 import dataloader
from ..common.optim_eva02 import optimizer, use_layer_decay
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

published = {
    "init": ["eva02_L_pt_m38m_p14to16.pt", "eva02_L_pt_in21k_p14to16.pt"],
    "evaluate": ["eva02_L_m38m_to_o365.pth", "eva02_L_in21k_to_o365.pth"],
}

use_eva02("large", image_size=1536, num_global=8, drop_path_rate=0.4)
# The dataset has boxes only. It is validated on images that are trained on, as in the release.
model.roi_heads.update(num_classes=365, mask_in_features=None, mask_pooler=None, mask_head=None)
use_layer_decay(num_layers=24, rate=0.8, lr=6e-5)

dataloader.train.total_batch_size = 160
train.max_iter = 400000
train.eval_period = 10000
train.checkpointer.period = 2500
lr_multiplier = warmup_then_steps(max_iter=400000, warmup_iters=5000, milestones=[320000, 360000])
