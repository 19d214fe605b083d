"""Retrieval on COCO, 5,000 images of Karpathy's test split, by EVA-CLIP g/14+."""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.retrieval_evaluator import RetrievalEvaluator

from .common.retrieval_loader import test
from .eva_clip_g14_plus_zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["EVA01_CLIP_g_14_plus_psz14_s11B.pt"]}

dataloader.test = test
dataloader.evaluator = L(RetrievalEvaluator)()
