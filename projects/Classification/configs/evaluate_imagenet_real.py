from detectron2.config import LazyCall as L

from eva_classification.evaluation import RealLabels

from .in1k_336 import dataloader, lr_multiplier, model, optimizer, train

published = {"evaluate": ["eva_21k_1k_336px_psz14_ema_89p6.pt"]}

# The validation images of ImageNet-1K with their original file names. labels_file: null for the file in timm.
dataloader.evaluator.label_mapping = L(RealLabels)(labels_file=None)
