from ..common.lvis_loader_lsj_1536 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva02 import model, use_eva02
from ..common.models.lvis_heads import use_lvis_heads
from ..common.optim_eva02 import optimizer, use_layer_decay
from ..common.schedule import warmup_then_constant
from ..common.train_ema import train

published = {"init": ["eva02_L_in21k_to_o365.pth"], "evaluate": ["eva02_L_lvis_sys_o365.pth"]}

use_eva02("large", image_size=1536, num_global=8, drop_path_rate=0.3, use_act_checkpoint=True)
use_lvis_heads(model, score_thresh=0.02, topk=300)
use_layer_decay(num_layers=24, rate=0.8, lr=4e-5)

dataloader.train.total_batch_size = 64
train.max_iter = 70000
train.eval_period = train.checkpointer.period = 5000
# The moving average takes the place of a decay of the learning rate.
lr_multiplier = warmup_then_constant(max_iter=70000, warmup_iters=700)
