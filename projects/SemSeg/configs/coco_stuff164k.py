"""COCO-Stuff-164K: the EVA-01 giant ViT with adapter and Mask2Former, as published."""

from .common.coco_stuff_loader import dataloader
from .common.models.eva_giant_mask2former import model
from .common.optim import optimizer
from .common.schedule import train_for_iterations
from .common.train import train

published = {"init": ["eva_psz14to16.pt"], "evaluate": ["eva_sem_seg_mask2former_cocostuff_53p4.pth"]}

optimizer.lr = 1.5e-5
lr_multiplier = train_for_iterations(train, iterations=60_000, warmup_iters=1500)
