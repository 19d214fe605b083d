from ..common.coco_loader_lsj_1536 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva02 import model, use_eva02
from ..common.optim_eva02 import optimizer, use_layer_decay
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

published = {"init": ["eva02_B_pt_in21k_p14to16.pt"], "evaluate": ["eva02_B_coco_sys.pth"]}

use_eva02("base", image_size=1536, num_global=6, window_size=32, drop_path_rate=0.1)
use_layer_decay(num_layers=12, rate=0.7, lr=5e-5)

dataloader.train.total_batch_size = 128
train.max_iter = 60000
train.eval_period = train.checkpointer.period = 500
lr_multiplier = warmup_then_steps(max_iter=60000, warmup_iters=1000, milestones=[48000, 54000])
