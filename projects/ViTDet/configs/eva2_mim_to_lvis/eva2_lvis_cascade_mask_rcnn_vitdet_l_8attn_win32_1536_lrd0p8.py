from ..common.lvis_loader_lsj_1536 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva02 import model, use_eva02
from ..common.models.lvis_heads import use_lvis_heads
from ..common.optim_eva02 import optimizer, use_layer_decay
from ..common.schedule import warmup_then_steps
from ..common.train_amp import train

# Weights of pre-training on IN-21K only: the larger Merged-38M has images of LVIS.
published = {"init": ["eva02_L_pt_in21k_p14to16.pt"], "evaluate": ["eva02_L_lvis_sys.pth"]}

use_eva02("large", image_size=1536, num_global=8, window_size=32, drop_path_rate=0.4, use_act_checkpoint=True)
use_lvis_heads(model, score_thresh=0.02, topk=300)
use_layer_decay(num_layers=24, rate=0.8, lr=1e-4)

dataloader.train.total_batch_size = 128
train.max_iter = 40000
train.eval_period = train.checkpointer.period = 2500
lr_multiplier = warmup_then_steps(max_iter=40000, warmup_iters=1000, milestones=[32000, 36000])
