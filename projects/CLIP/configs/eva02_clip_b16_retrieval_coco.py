"""Retrieval on COCO, 5,000 images of Karpathy's test split, by EVA-02-CLIP B/16."""

from detectron2.config import LazyCall as L

from eva_clip.evaluation.retrieval_evaluator import RetrievalEvaluator

from .common.retrieval_loader import test
from .eva02_clip_b16_zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["EVA02_CLIP_B_psz16_s8B.pt"]}

dataloader.test = test
dataloader.evaluator = L(RetrievalEvaluator)()
