"""The recipe of upernet_eva02_large_24_512_slide_80k.py with multi-scale evaluation: the mean over 12 views."""

from ...common.multi_scale import evaluate_at_larger_scales
from .upernet_eva02_large_24_512_slide_80k import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva02_L_ade_seg_upernet_sz512.pth"]}

evaluate_at_larger_scales(dataloader, window=512)
