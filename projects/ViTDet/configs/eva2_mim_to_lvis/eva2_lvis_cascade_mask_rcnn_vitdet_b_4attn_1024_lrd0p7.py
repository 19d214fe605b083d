from ..common.lvis_loader_lsj_1024 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva02 import model, use_eva02
from ..common.models.lvis_heads import use_lvis_heads
from ..common.optim_eva02 import optimizer, use_layer_decay
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

# Weights of pre-training on IN-21K only: the larger Merged-38M has images of LVIS.
published = {"init": ["eva02_B_pt_in21k_p14to16.pt"], "evaluate": ["eva02_B_lvis_bsl.pth"]}

use_eva02("base", image_size=1024, num_global=4, drop_path_rate=0.1)
use_lvis_heads(model, score_thresh=0.02, topk=300)
use_layer_decay(num_layers=12, rate=0.7, lr=1e-4)

dataloader.train.total_batch_size = 128
train.max_iter = 50000
train.eval_period = train.checkpointer.period = 2500
lr_multiplier = warmup_then_steps(max_iter=50000, warmup_iters=1000, milestones=[40000, 45000])
