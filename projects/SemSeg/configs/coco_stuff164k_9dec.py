"""COCO-Stuff-164K: the variant with relative positions, layer scale and nine decoder layers."""

from .common.coco_stuff_loader import dataloader
from .common.models.eva_giant_mask2former_rel_pos import model
from .common.optim import optimizer
from .common.schedule import train_for_iterations
from .common.train import train

published = {
    "init": ["eva_psz14to16.pt"],
    "evaluate": ["eva_sem_seg_mask2former_cocostuff_relpos_layerscale_9dec_53p2.pth"],
}

# To train, set train.init_checkpoint to eva_psz14to16.pt.
# To evaluate, set it to eva_sem_seg_mask2former_cocostuff_relpos_layerscale_9dec_53p2.pth
optimizer.lr = 1e-5
lr_multiplier = train_for_iterations(train, iterations=80_000, warmup_iters=1500)
