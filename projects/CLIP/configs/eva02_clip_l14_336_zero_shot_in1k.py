"""Zero-shot classification of ImageNet-1K by EVA-02-CLIP L/14 at 336 pixels."""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.zero_shot_evaluator import ZeroShotEvaluator

from .common.zero_shot_loader import test
from .eva02_clip_l14_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["EVA02_CLIP_L_336_psz14_s6B.pt"]}

dataloader.test = test
dataloader.apply_exif_orientation = False
dataloader.evaluator = L(ZeroShotEvaluator)()
