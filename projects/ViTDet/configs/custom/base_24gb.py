"""EVA-02-B for your photos on one GPU with 24 GB: starts from the published detector for COCO.

    python -m tools train --config-file projects/ViTDet/configs/custom/base_24gb.py --weights eva02_B_coco_bsl \
        --train-json train.json --train-images photos --val-json val.json --val-images photos

`fit` measures the training data before the run and sets anchors, objects per image and schedule; see
docs/howto/custom_data.md. The backbone learns low-rank updates (`pip install peft`); train.lora.rank=0 trains all of
it, and with train.freeze=["backbone.net.*"] it learns nothing.
"""

from detectron2.config import LazyCall as L

from detectron2_ext.fitting import RecipeFit

from ..common.coco_loader_lsj_1024 import dataloader
from ..common.few_images import use_few_image_augmentations, use_few_image_schedule
from ..common.models.cascade_mask_rcnn_vitdet_eva02 import model, use_eva02
from ..common.optim_eva02 import optimizer, use_layer_decay
from ..common.train_amp import train

fit = L(RecipeFit)(images_seen=16_000, max_epochs=50)

use_eva02("base", image_size=1024, num_global=4, drop_path_rate=0.1)
use_layer_decay(num_layers=12, rate=0.7, lr=1e-4)
use_few_image_augmentations(dataloader)
lr_multiplier = use_few_image_schedule(train)

train.amp.dtype = "bfloat16"
train.lora.rank = 16
dataloader.train.total_batch_size = 8
train.accumulation_steps = 4  # two images at a time
