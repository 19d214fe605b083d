"""ADE20K: the EVA-01 giant ViT with adapter and Mask2Former, as published."""

from .common.ade20k_loader import dataloader
from .common.models.eva_giant_mask2former import model
from .common.optim import optimizer
from .common.schedule import train_for_iterations
from .common.train import train

published = {
    "init": ["eva_sem_seg_mask2former_cocostuff_53p4.pth"],
    "evaluate": ["eva_sem_seg_mask2former_ade_ss61p5_ms62p3.pth"],
}

# Training starts without the classifier of the initial weights, which is for other classes.
model.decode_head.num_classes = 150
dataloader.train.total_batch_size = 64
optimizer.lr = 2.5e-5
lr_multiplier = train_for_iterations(train, iterations=20_000, warmup_iters=500)
