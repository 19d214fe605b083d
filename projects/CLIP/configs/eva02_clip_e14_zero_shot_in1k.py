"""Zero-shot classification of ImageNet-1K by EVA-02-CLIP E/14."""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.zero_shot_evaluator import ZeroShotEvaluator

from .common.zero_shot_loader import test
from .eva02_clip_e14 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["EVA02_CLIP_E_psz14_s4B.pt"]}

dataloader.test = test
dataloader.apply_exif_orientation = False
dataloader.evaluator = L(ZeroShotEvaluator)()
