"""ADE20K: the variant with relative positions, layer scale and nine decoder layers."""

from .common.ade20k_loader import dataloader
from .common.models.eva_giant_mask2former_rel_pos import model
from .common.optim import optimizer
from .common.schedule import train_for_iterations
from .common.train import train

published = {
    "init": ["eva_sem_seg_mask2former_cocostuff_relpos_layerscale_9dec_53p2.pth"],
    "evaluate": ["eva_sem_seg_mask2former_ade_relpos_layerscale_9dec_ss61p5_ms62p3.pth"],
}

# To train, set train.init_checkpoint to eva_sem_seg_mask2former_cocostuff_relpos_layerscale_9dec_53p2.pth
# (its classifier is not loaded).
# To evaluate, set it to eva_sem_seg_mask2former_ade_relpos_layerscale_9dec_ss61p5_ms62p3.pth
model.decode_head.num_classes = 150
optimizer.lr = 1e-5
optimizer.params.decay_rate = 0.9
lr_multiplier = train_for_iterations(train, iterations=40_000, warmup_iters=1500)
