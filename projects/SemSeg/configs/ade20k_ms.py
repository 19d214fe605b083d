"""The recipe of ade20k_ss.py with multi-scale evaluation: the mean over 14 views of each image."""

from .ade20k_ss import dataloader, lr_multiplier, model, optimizer, train
from .common.multi_scale import evaluate_at_scales

published = {"evaluate": ["eva_sem_seg_mask2former_ade_ss61p5_ms62p3.pth"]}

evaluate_at_scales(dataloader)
