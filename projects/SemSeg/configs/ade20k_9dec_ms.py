"""The recipe of ade20k_9dec_ss.py with multi-scale evaluation: the mean over 14 views of each image."""

from .ade20k_9dec_ss import dataloader, lr_multiplier, model, optimizer, train
from .common.multi_scale import evaluate_at_scales

evaluate_at_scales(dataloader)
