"""Retrieval on COCO, 5,000 images of Karpathy's test split: --eval-only train.init_checkpoint=eva_clip_psz14.pt"""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.retrieval_evaluator import RetrievalEvaluator

from .common.retrieval_loader import test
from .eva_clip_g14 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_clip_psz14.pt"]}

dataloader.test = test
dataloader.apply_exif_orientation = False
dataloader.evaluator = L(RetrievalEvaluator)()
