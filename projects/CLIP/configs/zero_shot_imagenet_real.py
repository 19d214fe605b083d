from detectron2.config import LazyCall as L

from eva_classification.evaluation import RealAnswers
from projects.CLIP.configs.eva_clip_g14 import lr_multiplier, model, optimizer, train
from projects.CLIP.configs.zero_shot_in1k import dataloader

# The validation images of ImageNet-1K, with its file names. labels_file: another list than the one in timm.
dataloader.evaluator.answers = L(RealAnswers)(labels_file=None)
