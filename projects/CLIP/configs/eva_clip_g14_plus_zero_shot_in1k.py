"""Zero-shot classification of ImageNet-1K by EVA-CLIP g/14+."""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.zero_shot_evaluator import ZeroShotEvaluator

from .common.zero_shot_loader import test
from .eva_clip_g14_plus import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["EVA01_CLIP_g_14_plus_psz14_s11B.pt"]}

dataloader.test = test
dataloader.apply_exif_orientation = False
dataloader.evaluator = L(ZeroShotEvaluator)()
