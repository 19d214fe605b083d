"""EVA-02-L for your photos on one GPU with 24 GB: starts from the published detector for COCO.

    python -m tools train --config-file projects/ViTDet/configs/custom/large_24gb.py --weights eva02_L_coco_bsl \
        --train-json train.json --train-images photos --val-json val.json --val-images photos

As base_24gb.py, but larger: the activations of the blocks are recomputed to fit the card.
"""

from .base_24gb import dataloader, fit, lr_multiplier, model, optimizer, train, use_eva02, use_layer_decay

use_eva02("large", image_size=1024, num_global=4, drop_path_rate=0.4)
use_layer_decay(num_layers=24, rate=0.8, lr=1e-4)

train.activation_checkpointing = "torch"
