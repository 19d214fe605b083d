from detectron2.config import LazyCall as L

from eva_classification.evaluation import RealLabels

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_clip_psz14.pt"]}

# The validation images of ImageNet-1K under their original file names. labels_file: null for the labels in timm.
dataloader.evaluator.label_mapping = L(RealLabels)(labels_file=None)
