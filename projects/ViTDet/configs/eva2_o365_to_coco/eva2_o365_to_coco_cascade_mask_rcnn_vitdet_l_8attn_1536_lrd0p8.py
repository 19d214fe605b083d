from ..common.coco_loader_lsj_1536 import dataloader
from ..common.models.cascade_mask_rcnn_vitdet_eva02 import model, use_eva02
from ..common.optim_eva02 import optimizer, use_layer_decay
from ..common.schedule import warmup_then_constant
from ..common.train_ema import train

# Both published files are from one training: the mask head is new and takes longer to converge.
published = {
    "init": ["eva02_L_m38m_to_o365.pth"],
    "evaluate": ["eva02_L_coco_det_sys_o365.pth", "eva02_L_coco_seg_sys_o365.pth"],
}

use_eva02("large", image_size=1536, num_global=8, drop_path_rate=0.3, use_act_checkpoint=True)
use_layer_decay(num_layers=24, rate=0.8, lr=4e-5)

dataloader.train.total_batch_size = 64
train.max_iter = 40000
train.eval_period = train.checkpointer.period = 500
# The moving average takes the place of a decay of the learning rate.
lr_multiplier = warmup_then_constant(max_iter=40000, warmup_iters=400)
