from detectron2.config import LazyCall as L

from eva_classification.evaluation import RealAnswers

from .zero_shot_in1k import dataloader, lr_multiplier, model, optimizer, train

# The validation images of ImageNet-1K, with its file names. labels_file: another list than the one in timm.
dataloader.evaluator.answers = L(RealAnswers)(labels_file=None)
