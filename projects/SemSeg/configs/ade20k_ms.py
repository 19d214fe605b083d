"""The recipe of ade20k_ss.py, evaluated at several sizes: the mean of 14 views of each image."""

from projects.SemSeg.configs.ade20k_ss import dataloader, lr_multiplier, model, optimizer
from projects.SemSeg.configs.common.train import train

from .common.multi_scale import evaluate_at_scales

evaluate_at_scales(dataloader)
