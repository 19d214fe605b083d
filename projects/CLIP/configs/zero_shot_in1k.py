"""Zero-shot classification of ImageNet-1K: --eval-only train.init_checkpoint=eva_clip_psz14.pt"""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.zero_shot_evaluator import ZeroShotEvaluator

from .common.zero_shot_loader import test
from .eva_clip_g14 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_clip_psz14.pt", "EVA01_CLIP_g_14_psz14_s11B.pt"]}

dataloader.test = test
dataloader.apply_exif_orientation = False
dataloader.evaluator = L(ZeroShotEvaluator)()
